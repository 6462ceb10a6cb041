"""Models of the hub: no network, no right, no such name or revision is said at once, with the way on."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.damage import to_broken_link, to_half, to_pointer
from tests.support.tiny import tiny_parts
from vqa_core import ROOT
from vqa_core.files import InputError
from vqa_core.model.parts import load_language_model, load_tokenizer
from vqa_core.model.reading import hub_access
from vqa_core.model.reading.hub_access import check_reachable, hub_refusal, snapshot_of

CODES = {"gated": (403, "GatedRepo"), "private": (401, "RepoNotFound"), "none": (404, "RepoNotFound"),
         "revision": (404, "RevisionNotFound"), "busy": (429, ""), "down": (503, "")}  # fmt: skip


class Hub(BaseHTTPRequestHandler):
    """A hub that refuses: `org/gated` as a gated model, and so on."""

    def do_HEAD(self) -> None:
        name = self.path.split("?")[0].removeprefix("/api/models").split("/")[2]
        code, error = CODES[name]
        self.send_response(code)
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


ASK = """
import json, sys, time
import torch
from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.model.build import build_any
said = {}
for name in sys.argv[1:]:
    started = time.monotonic()
    settings = ModelSettings(base_model=f"org/{name}", revision=("v9",) if name == "revision" else ())
    try:
        build_any(settings)
    except InputError as error:
        said[name] = [str(error), time.monotonic() - started]
print(json.dumps(said))
"""


def ask(endpoint: str, names: list[str], cache: Path) -> dict[str, Any]:
    """What is said of models of the hub at `endpoint`, and after how many seconds, in a process with a network."""
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ASK, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow(seconds=12)
def test_what_the_hub_answers_is_said_in_a_sentence(endpoint: str, tmp_path: Path) -> None:
    said = ask(endpoint, list(CODES), tmp_path)
    assert said.keys() == CODES.keys()
    for name, text in {
        "gated": "is given only to those who asked for it",
        "private": "is no folder here, and the hub has no model of that name",
        "none": "is no folder here, and the hub has no model of that name",
        "revision": "has no revision 'v9'. --revision takes a branch, a tag or a commit",
        "busy": "can't be fetched now: the hub answers",
        "down": "can't be fetched now: the hub answers",
    }.items():
        assert said[name][0].startswith(f"The model 'org/{name}' {text}"), said[name]
        assert said[name][1] < 10
    assert all("HF_TOKEN" in said[name][0] for name in ("gated", "private", "none", "busy"))


@pytest.mark.slow(seconds=12)
def test_a_hub_that_can_not_be_reached_is_said_within_seconds(tmp_path: Path) -> None:
    said = ask("http://127.0.0.1:9", ["model"], tmp_path)
    text, seconds = said["model"]
    assert text.startswith("The model 'org/model' is not on this machine, and the hub can't be reached (")
    assert "`hf download org/model --local-dir DIR`" in text
    assert seconds < 15


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of `org/tiny` in the hub's cache, as links to blobs."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    _, language = tiny_parts(tmp_path / "parts")
    model = cache / "models--org--tiny"
    snapshot = model / "snapshots" / ("0" * 40)
    for folder in (model / "refs", model / "blobs", snapshot):
        folder.mkdir(parents=True)
    (model / "refs/main").write_text("0" * 40)
    for number, path in enumerate(sorted(language.iterdir())):
        path.rename(model / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    return snapshot


def test_what_was_fetched_is_found(fetched: Path) -> None:
    assert (
        snapshot_of("org/tiny", None) == snapshot_of("org/tiny", "main") == snapshot_of("org/tiny", "0" * 40) == fetched
    )
    assert snapshot_of("org/tiny", "v1") is None
    assert snapshot_of("org/other", None) is None
    load("org/tiny")


def load(name: str) -> None:
    load_language_model(name, torch.float32)
    load_tokenizer(name)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_of_the_hubs_cache_is_named(file: str, fetched: Path) -> None:
    for damage, says in ((to_half, file), (to_pointer, "is a Git LFS pointer"), (to_broken_link, "is a link to")):
        damage(fetched / file)
        with pytest.raises(InputError, match=says) as error:
            load("org/tiny")
        assert str(fetched / file) in str(error.value)


def test_a_hub_that_does_not_answer_is_asked_twice_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(url: str, timeout: float) -> None:
        asked.append((url, timeout))
        raise ConnectionError("Network is unreachable")

    monkeypatch.setattr(hub_access, "is_offline_mode", lambda: False)
    monkeypatch.setattr(hub_access, "get_hf_file_metadata", fail)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(InputError, match=r"the hub can't be reached \(Network is unreachable\)"):
        check_reachable("language model", "org/model", None)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("You are trying to access a gated repo.\nMake sure to have access to it", "set HF_TOKEN"),
        ("org/m is not a local folder and is not a valid model identifier listed on", "the hub has no model"),
        ("v9 is not a valid git identifier (branch name, tag name or commit id)", "has no revision 'v9'"),
        ("We couldn't connect to 'https://huggingface.co' to load the files", "the hub can't be reached"),
    ],
)
def test_what_transformers_says_of_the_hub_is_understood(text: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_access, "is_offline_mode", lambda: False)
    refusal = hub_refusal("model", "org/m", "v9", OSError(text))
    assert refusal
    assert says in str(refusal)
    assert hub_refusal("model", "org/m", "v9", OSError("something else")) is None
