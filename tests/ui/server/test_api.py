"""The named endpoints as a program sees them: docs/api.md's own example against a server that is a process."""

import asyncio
import base64
import io
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from eval import submit
from tests.support.browser import Server
from tests.support.tiny import tiny_competition, tiny_parts, tiny_picture
from tests.support.trained import write_model
from ui.server import tools
from ui.server.api import PUBLIC
from ui.server.guard import TOOLS_LIMIT
from ui.server.page import build_page
from ui.workspace.workspace import Workspace
from vqa_core import ROOT
from vqa_core.config import DataSettings
from vqa_core.data.prepare import prepare
from vqa_core.files import InputError, sha256_of
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

PASSWORD = ("ann", "se:cret")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One run, `mine`, with a tiny model and nothing predicted."""
    folder = tmp_path_factory.mktemp("api")
    data = tiny_competition(folder / "data" / "tiny", train_images=8, test_images=3)
    run = RunDir(folder / "runs" / "mine")
    prepare(run, str(data), DataSettings(val_fraction=0.3))
    tiny_parts(folder / "parts")
    write_model(run.model, folder / "parts")
    return Workspace(folder / "runs", folder / "data")


@pytest.fixture(scope="module")
def server(workspace: Workspace) -> Iterator[Server]:
    args = ["--mcp", "--auth", ":".join(PASSWORD)]
    with Server(workspace.runs, workspace.data, args=args) as server:
        yield server


def headers() -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(":".join(PASSWORD).encode()).decode()}


@pytest.fixture(scope="module")
def client(server: Server) -> Client:
    return Client(server.url, headers=headers(), verbose=False)


def called(server: Server, name: str, data: list[Any]) -> str:
    """What the server says to a call without gradio_client, which would upload the files that it finds in `data`."""
    address = f"{server.url}/gradio_api/call/{name}"
    request = urllib.request.Request(address, json.dumps({"data": data}).encode(), headers())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as reply:
        event = json.load(reply)["event_id"]
    with urllib.request.urlopen(urllib.request.Request(f"{address}/{event}", headers=headers()), timeout=60) as reply:
        return str(reply.read().decode())


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_has_these_endpoints_and_no_other(workspace: Workspace) -> None:
    english, korean = (build_page(workspace, language).get_api_info(all_endpoints=True) for language in ("en", "ko"))
    assert sorted(english["named_endpoints"]) == sorted(f"/{name}" for name in PUBLIC)
    assert not english["unnamed_endpoints"]
    assert korean == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert all(info["description"] for info in english["named_endpoints"].values())


@pytest.mark.slow
def test_the_example_of_the_docs_does_what_it_says(
    workspace: Workspace, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_picture(0).save("picture.png")
    example, job, submission, password = code_blocks()
    names: dict[str, Any] = {}
    address = {"http://127.0.0.1:7860": server.url, "USER:PASSWORD": ":".join(PASSWORD)}

    def run(code: str) -> None:
        for old, new in address.items():
            code = code.replace(old, new)
        exec(compile(code, "docs/api.md", "exec"), names)

    run("from gradio_client import Client, handle_file\n" + password)
    run(re.sub(r"^page = .*\n", "", example, flags=re.MULTILINE))
    assert [found["question"] for found in [names["one"]]] == ["what shape is in the image?"]
    assert names["one"]["run"] == "mine"
    assert 0 < len(names["one"]["likeliest"]) <= 5
    assert names["found"]["question"] == "what color is the shape?"
    run(job)
    assert names["job"]["status"] == "done", names["job"]["log"]
    assert names["job"]["commands"][0].startswith(f"python -m eval.predict --run {workspace.runs / 'mine'} --split val")
    assert names["score"]["overall"]["exact"]["n"] == len(workspace.run("mine").examples("val"))

    with pytest.raises(AppError, match=r"python -m eval\.predict"):
        run(submission)
    with PredictionLog.open(workspace.run("mine").predictions("test")) as log:
        log.append([Prediction(e.question_id, "none", "", 1.0) for e in workspace.run("mine").examples("test")])
    run(submission)
    by_hand = tmp_path / "by-hand.csv"
    submit.main(["--run", str(workspace.runs / "mine"), "--out", str(by_hand)])
    assert Path(names["file"]).read_bytes() == by_hand.read_bytes()
    assert Path(names["file"]).name == "submission.csv"
    assert names["told"]["sha256"] == sha256_of(by_hand)
    assert names["told"]["rows"] == len(workspace.run("mine").examples("test"))


@pytest.mark.parametrize(
    ("endpoint", "arguments", "sentence"),
    [
        ("/score", ("nowhere", "val"), "there is no run 'nowhere'"),
        ("/score", ("../mine", "val"), r"there is no run '\.\./mine'"),
        ("/score", ("mine", "../val"), r"there is no split '\.\./val'"),
        ("/job_status", ("../../runs",), "there is no job"),
        ("/job_cancel", (["a"],), "job_id takes a text"),
        ("/predict_start", ("mine", "train"), "there is no split 'train'"),
        ("/predict_start", ("mine", "val", 0, "guessed"), "--answers 'guessed' is not known"),
        ("/submission", ("mine/../mine",), "there is no run"),
    ],
)
def test_nonsense_is_a_sentence(client: Client, endpoint: str, arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict(*arguments, api_name=endpoint)


@pytest.mark.parametrize(
    "image",
    [
        {"path": "{canary}"},
        {"path": "{canary}", "meta": {"_type": "gradio.FileData"}},
        {"path": "file://{canary}", "meta": {"_type": "gradio.FileData"}},
        {"path": "{url}/picture.png", "url": "{url}/picture.png", "meta": {"_type": "gradio.FileData"}},
        {"path": "x", "url": "data:image/png;base64,AAAA"},
        "{canary}",
        None,
        ["{canary}"],
    ],
)
def test_no_path_and_no_address_that_a_client_sends_is_read(server: Server, tmp_path: Path, image: Any) -> None:
    canary = tmp_path / "canary.png"
    tiny_picture(0).save(canary)
    sent = json.loads(json.dumps(image).replace("{canary}", str(canary)).replace("{url}", server.url))
    told = called(server, "ask", [sent, "is it red?", "mine"])
    assert told.startswith("event: error")
    assert "no uploaded picture" in told or "can't be used" in told
    assert str(tmp_path) not in told


def test_a_picture_that_is_none_is_refused_without_naming_a_path(client: Client, tmp_path: Path) -> None:
    (tmp_path / "not.png").write_text("<svg/>")
    with pytest.raises(AppError, match=r"^The picture is not an image"):
        client.predict(handle_file(str(tmp_path / "not.png")), "?", "mine", api_name="/ask")


def test_below_the_tools_there_is_no_page_and_no_upload(server: Server) -> None:
    for path in ("/tools", "/tools/", "/tools/gradio_api/upload", "/tools/gradio_api/run/score", "/tools/config"):
        request = urllib.request.Request(f"{server.url}{path}", b"{}", headers())
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request, timeout=60)
    large = urllib.request.Request(f"{server.url}/tools/gradio_api/mcp/", b"{}", headers())
    large.add_header("Content-Length", str(TOOLS_LIMIT + 1))
    with pytest.raises(urllib.error.HTTPError, match="413"):
        urllib.request.urlopen(large, timeout=60)


def test_mcp_without_its_package_is_a_sentence(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"--mcp needs the package `mcp`"):
        tools.mount_tools(FastAPI(), workspace)


def test_without_the_password_there_is_nothing(server: Server) -> None:
    with pytest.raises(ValueError, match="credentials"):
        Client(server.url, verbose=False)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{server.url}/tools/gradio_api/mcp/", timeout=60)


def test_the_tools_only_look_and_answer_with_a_password_set(server: Server) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    file = io.BytesIO()
    tiny_picture(0).save(file, "PNG")
    image, large = (
        "data:image/png;base64," + base64.b64encode(file.getvalue() + padding).decode()
        for padding in (b"", bytes(10 << 20))
    )

    async def talk() -> tuple[list[str], list[tuple[bool, str]]]:
        address = f"{server.url}/tools/gradio_api/mcp/"
        async with (
            streamable_http_client(address, http_client=httpx.AsyncClient(headers=headers(), timeout=120)) as (
                read,
                write,
                _,
            ),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            names = [tool.name for tool in (await session.list_tools()).tools]
            calls = [
                ("ask", {"image": large, "question": "what shape is it?", "run": "mine"}),
                ("ask", {"image": image, "question": "what shape is it?", "run": "mine"}),
                ("ask", {"image": "/etc/hostname", "question": "?"}),
                ("score", {"run": "nowhere"}),
                ("predict_start", {"run": "mine"}),
            ]
            found = [await session.call_tool(name, given) for name, given in calls]
            return names, [(bool(one.isError), one.content[0].text) for one in found]  # type: ignore[union-attr]

    names, told = asyncio.run(talk())
    assert sorted(names) == ["ask", "ask_many", "job_status", "score"]
    assert [error for error, _ in told] == [False, False, True, True, True]
    for (_, text), part in zip(
        told, [*['"question": "what shape is it?"'] * 2, "data URL", "no run 'nowhere'", "Unknown tool"]
    ):
        assert part in text
