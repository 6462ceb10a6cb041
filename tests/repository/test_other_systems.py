"""Windows and macOS, played on Linux: every command and the page's jobs without what those systems do not have.

tests/support/other_systems/sitecustomize.py says what is played, and what cannot be.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import free_port
from tests.support.processes import TIMEOUT_S, environment
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, losses, tiny_competition, tiny_parts
from vqa_core import ROOT
from vqa_core.files import read_json, write_json
from vqa_core.runs.checkpoints import newest_valid
from vqa_core.runs.run_dir import RunDir

pytestmark = [pytest.mark.slow(seconds=90), pytest.mark.skipif(sys.platform != "linux", reason="plays other systems")]

SYSTEMS = ("windows", "macos")
SHIM = ROOT / "tests" / "support" / "other_systems"
STEPS = 40


def system_environment(system: str) -> dict[str, str]:
    return environment() | {"PYTHONPATH": os.pathsep.join([str(SHIM), str(ROOT)]), "VQA_TEST_SYSTEM": system}


def run(system: str, *command: object) -> str:
    """Run `python ...` to its end on the played system; return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=system_environment(system),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_shim_hides_what_the_system_lacks_from_our_code_only(system: str) -> None:
    code = (
        "import os, runpy, subprocess, sys; from vqa_core import locks\n"
        "from vqa_core.model.packing import torch\n"
        "print(hasattr(os, 'fork'), locks.os.name, locks.sys.platform, hasattr(locks.os, 'fork'))"
    )
    expected = {"windows": "True nt win32 False", "macos": "True posix darwin True"}[system]
    assert run(system, "-c", code).splitlines()[-1] == expected


@pytest.mark.parametrize("system", SYSTEMS)
def test_from_the_data_to_the_submission(system: str, tmp_path: Path) -> None:
    """A training, with a worker for its pictures, is stopped in good order, resumed to its end, and answers."""
    data, made = tiny_competition(tmp_path / "대회 data"), RunDir(tmp_path / "runs" / "내 런")
    tower, language = tiny_parts(tmp_path / "parts")
    config: dict[str, Any] = {
        "data": {"val_fraction": 0.2},
        "model": TINY_MODEL | {"vision_tower": str(tower), "language_model": str(language)},
        "train": TINY_TRAIN | {"max_steps": STEPS, "save_every": 1000, "eval_every": 0, "workers": 1},
    }
    write_json(tmp_path / "config.json", config)
    place = ("--run", made.root, "--config", tmp_path / "config.json")
    run(system, "-m", "train.prepare", "--data", data, *place)
    said = stop_training(system, made, *place)
    checkpoint = newest_valid(made.checkpoints)
    assert checkpoint, said
    assert 0 < int(checkpoint.name.removeprefix("checkpoint-")) < STEPS, said
    run(system, "-m", "train.finetune", *place, "--resume")
    assert sorted(losses(made)) == list(range(1, STEPS + 1))
    run(system, "-m", "eval.predict", "--run", made.root, "--split", "val")
    run(system, "-m", "eval.score", "--run", made.root, "--split", "val")
    assert read_json(made.root / "score.json")
    run(system, "-m", "eval.predict", "--run", made.root, "--split", "test")
    run(system, "-m", "eval.submit", "--run", made.root)
    assert made.submission.is_file()


def stop_training(system: str, made: RunDir, *place: object) -> str:
    """Train until some steps are done, then ask to stop as the page does on that system; return what was printed."""
    output = made.root.parent / "training.txt"
    with output.open("wb") as log:
        training = subprocess.Popen(
            [sys.executable, "-m", "train.finetune", *map(str, place)],
            env=system_environment(system),
            cwd=ROOT,
            stdout=log,
            stderr=log,
            process_group=0,
        )
    deadline = time.monotonic() + TIMEOUT_S
    while not (made.metrics.is_file() and made.metrics.read_text(encoding="utf-8").count("\n") >= 3):
        assert training.poll() is None, output.read_text(encoding="utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if system == "windows":
        os.killpg(training.pid, signal.SIGUSR2)  # Ctrl-Break, which reaches its workers too
    else:
        training.terminate()
    training.wait(TIMEOUT_S)
    return output.read_text(encoding="utf-8")


@pytest.mark.parametrize("system", SYSTEMS)
def test_jobs_of_the_page(system: str, tmp_path: Path) -> None:
    folder = tmp_path / "작업 폴더"
    folder.mkdir()
    assert run(system, "-m", "tests.support.jobs_visit", folder).splitlines()[-1] == "all of it"


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_page_answers(system: str, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    folders = ("--runs", str(tmp_path / "runs"), "--data", str(tmp_path / "data"))
    with log.open("wb") as output:
        page = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), *folders],
            env=system_environment(system),
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + TIMEOUT_S
        answer = b""
        while not answer:
            assert page.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ko/") as found:
                answer = found.read()
            time.sleep(0.1)
        assert b"gradio" in answer
    finally:
        page.kill()
        page.wait()


@pytest.mark.parametrize("name", ["train.prepare", "train.finetune", "train.convert", "eval.predict", "eval.submit"])
def test_a_terminal_of_few_characters_takes_any_text(name: str, tmp_path: Path) -> None:
    """cp949 has Hangul, but no emoji."""
    env = {"PYTHONIOENCODING": "cp949", "PYTHONUTF8": "0"}
    wrong = tmp_path / "\U0001f600 그림"
    for given in (["--help"], ["--run", str(wrong), "--data", str(wrong)]):
        done = subprocess.run(
            [sys.executable, "-m", name, *given],
            env=environment() | env,
            cwd=ROOT,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        assert b"UnicodeEncodeError" not in done.stderr, done.stderr.decode("cp949")
