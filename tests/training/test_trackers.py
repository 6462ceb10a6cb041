"""wandb and trackio, by modules in their place that do what goes wrong, and wandb itself without a network."""

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from vqa_core.files import read_json, write_json_lines
from vqa_core.runs.run_dir import RunDir
from vqa_core.training import tracker_host, trackers
from vqa_core.training.trackers import Tracker

STAND_IN = """
import json, os, sys, time

class Run:
    def __init__(self, name):
        self.name = name

def _note(call, *args, **kwargs):
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps([call, args, kwargs]) + "\\n")
    exec(os.environ.get("ON_" + call.upper(), ""))

_note("import")

def init(project, name=None, group=None, config=None, resume="never"):
    _note("init", project=project, name=name, config=config, resume=resume)
    return Run("made-up" if resume == "never" and os.environ.get("TAKEN") else name)

def log(metrics, step=None):
    _note("log", metrics, step=step)

def finish():
    _note("finish")
"""
WANDB = (
    STAND_IN.replace('group=None, config=None, resume="never"', "id=None, **kwargs")
    .replace("config=config, resume=resume", "id=id, **kwargs")
    .replace('"made-up" if resume == "never" and os.environ.get("TAKEN") else name', "name")
)
NO_END = "time.sleep(3600)"
LONG_S = 60.0
"""What a test waits for at most, on a machine that is busy with others."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `trackio` and a `wandb` that note their calls and do in each what ON_... says."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "trackio.py").write_text(STAND_IN)
    (folder / "wandb.py").write_text(WANDB)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr(trackers, "FINISH_S", LONG_S)
    return tmp_path


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="vqa")


def calls(place: Path) -> list[Any]:
    path = place / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def use(place: Path, name: str = "trackio", steps: tuple[int, ...] = (3, 4), after: int = 0) -> Tracker:
    run = RunDir(place / "mine")
    run.root.mkdir(exist_ok=True)
    tracker = Tracker(name, run, {"train": {"epochs": 2}}, after)
    for step in steps:
        tracker.log({"step": step, "loss": step / 10}, step)
    return tracker


def when(condition: Any) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_tracker_gets_the_run_s_name_its_settings_and_every_line(place: Path) -> None:
    use(place).finish()
    named = {"project": "vqa-workbench", "name": "mine", "config": {"train": {"epochs": 2}}, "resume": "never"}
    assert calls(place) == [
        ["import", [], {}],
        ["init", [], named],
        ["log", [{"loss": 0.3}], {"step": 3}],
        ["log", [{"loss": 0.4}], {"step": 4}],
        ["finish", [], {}],
    ]


def test_wandb_gets_the_run_s_folder_and_an_id(place: Path) -> None:
    use(place, "wandb").finish()
    (_, _, given) = calls(place)[1]
    assert given["dir"] == str(place / "mine")
    assert given["resume"] == "allow"
    assert given["id"] == read_json(place / "mine" / "tracker.json")["wandb"]["id"]


# -- what goes wrong there ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["import", "init", "log", "finish"])
@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("raise ConnectionError('no network')", "no network"),
        ("raise OSError(28, 'No space left on device')", "No space left on device"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("input('API key: ')", "EOF when reading a line"),
    ],
    ids=["raises", "disk full", "exits", "interrupts", "asks"],
)
def test_what_fails_is_left_out_with_a_warning(
    call: str, does: str, said: str, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(f"ON_{call.upper()}", does)
    use(place).finish()
    assert calls(place)[-1][0] == call
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.startswith("trackio failed (")
    assert said in warning
    assert warning.endswith("and is left out; metrics.jsonl goes on.")


@pytest.mark.parametrize("does", ["os._exit(5)", f"os.kill(os.getpid(), {int(signal.SIGKILL)})"])
def test_a_process_of_theirs_that_dies_is_left_out(
    does: str, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ON_LOG", does)
    use(place).finish()
    assert "trackio failed (its process ended with " in caplog.text


@pytest.mark.parametrize("source", [None, "import no_such_module_at_all", "def init("])
def test_a_missing_package_and_a_broken_one_are_left_out(
    source: str | None, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if source is None:
        (place / "modules" / "trackio.py").unlink()
        if __import__("importlib").util.find_spec("trackio"):
            pytest.skip("trackio is installed")
    else:
        (place / "modules" / "trackio.py").write_text(source)
    use(place).finish()
    assert "trackio failed (" in caplog.text


@pytest.mark.parametrize("call", ["import", "init", "log", "finish"])
def test_what_hangs_neither_stops_nor_slows_a_run(
    call: str, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(f"ON_{call.upper()}", NO_END)
    monkeypatch.setattr(trackers, "FINISH_S", 0.2)
    started = time.monotonic()
    tracker = use(place, steps=tuple(range(500)))
    host = tracker._host
    assert host is not None
    assert time.monotonic() - started < 10
    if call == "finish":
        assert tracker._begun.wait(LONG_S)
    else:
        when(lambda: call in [name for name, *_ in calls(place)])
    started = time.monotonic()
    tracker.finish()
    assert time.monotonic() - started < 10
    if call in ("import", "init"):
        assert "trackio failed (it did not begin)" in caplog.text
    else:
        assert "trackio is not done yet; it goes on by itself" in caplog.text
        host.kill()
    host.wait()


def test_one_that_never_begins_is_given_up(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ON_INIT", NO_END)
    monkeypatch.setattr(trackers, "INIT_S", 0.2)
    tracker = use(place)
    host = tracker._host
    assert host is not None
    assert host.wait(LONG_S) == -signal.SIGKILL
    tracker.log({"step": 5, "loss": 0.1}, 5)
    tracker.finish()
    assert caplog.text.count("trackio failed (it did not begin within 0 s)") == 1


def test_lines_that_a_slow_one_does_not_take_are_dropped_and_that_is_said_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ON_LOG", NO_END)
    monkeypatch.setattr(trackers, "WAITING", 10)
    monkeypatch.setattr(trackers, "FINISH_S", 0.1)
    tracker = use(place, steps=())
    host = tracker._host
    assert host is not None
    started = time.monotonic()
    for step in range(20_000):
        tracker.log({"step": step, "loss": 0.5, "note": "x" * 100}, step)
    assert time.monotonic() - started < 30
    tracker.finish()
    host.kill()
    assert caplog.text.count("trackio failed (it takes lines too slowly) and some lines are missing there") == 1


def test_after_the_training_it_lingers_no_longer_than_it_may(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that is killed leaves nothing behind: the end of the input is enough."""
    monkeypatch.setenv("ON_LOG", NO_END)
    source = "from vqa_core.training import tracker_host as host; host.LINGERS_S = 1; host.main('trackio')"
    monkeypatch.setattr(trackers.sys, "executable", sys.executable)
    original = trackers.subprocess.Popen

    def shorter(command: list[str], **options: Any) -> Any:
        return original([command[0], "-c", source], **options)

    monkeypatch.setattr(trackers.subprocess, "Popen", shorter)
    tracker = use(place)
    host = tracker._host
    assert host is not None
    when(lambda: any(call[0] == "log" for call in calls(place)))
    assert host.stdin is not None
    os.close(host.stdin.fileno())  # what the death of a process does
    assert host.wait(LONG_S) != 0


def test_their_handlers_and_streams_are_not_ours(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "ON_INIT",
        "import signal; signal.signal(signal.SIGTERM, lambda *_: None); sys.excepthook = print; sys.stdout = None",
    )
    before = signal.getsignal(signal.SIGTERM), sys.excepthook, sys.stdout
    use(place).finish()
    assert before == (signal.getsignal(signal.SIGTERM), sys.excepthook, sys.stdout)


def test_what_they_print_is_in_the_log(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ON_INIT", "print('see https://example.org/run')")
    use(place).finish()
    when(lambda: "see https://example.org/run" in caplog.text)


def test_of_several_processes_only_the_first_speaks_to_the_tracker(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for name, value in group.items():
        monkeypatch.setenv(name, value)
    use(place).finish()
    assert calls(place) == []


# -- a training that goes on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_resumed_training_goes_on_in_the_same_run_and_sends_no_step_twice(name: str, place: Path) -> None:
    """Stopped behind its checkpoint, it trains some steps again; wandb refuses steps that do not increase."""
    run = RunDir(place / "mine")
    use(place, name, steps=(1, 2, 3, 4)).finish()
    write_json_lines(run.metrics, [{"step": step, "loss": 1.0} for step in (1, 2, 3, 4)])
    use(place, name, steps=(3, 4, 5), after=2).finish()
    first, second = (given for call, _, given in calls(place) if call == "init")
    assert second["resume"] == "allow"
    identity = "id" if name == "wandb" else "name"
    assert first[identity] == second[identity]
    assert [given["step"] for call, _, given in calls(place) if call == "log"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_training_that_starts_anew_gets_a_new_run(name: str, place: Path) -> None:
    use(place, name).finish()
    use(place, name).finish()
    first, second = (given for call, _, given in calls(place) if call == "init")
    if name == "wandb":
        assert first["id"] != second["id"]
    else:
        assert second["resume"] == "never"


def test_trackio_s_own_name_for_a_run_is_kept_for_a_resume(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes one up where the name is taken."""
    monkeypatch.setenv("TAKEN", "1")
    use(place).finish()
    use(place, after=2).finish()
    assert [given["name"] for call, _, given in calls(place) if call == "init"] == ["mine", "made-up"]


def test_a_resumed_training_that_had_no_tracker_before_begins_a_run_and_sends_all(place: Path) -> None:
    run = RunDir(place / "mine")
    run.root.mkdir()
    write_json_lines(run.metrics, [{"step": step, "loss": 1.0} for step in (1, 2, 3, 4)])
    use(place, steps=(3, 4, 5), after=2).finish()
    assert calls(place)[1][2]["resume"] == "never"
    assert [given["step"] for call, _, given in calls(place) if call == "log"] == [3, 4, 5]


# -- wandb itself ------------------------------------------------------------------------------------------------------


@pytest.mark.slow(seconds=15)
def test_wandb_itself_runs_offline_without_a_key_twice_under_one_id(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "modules" / "wandb.py").unlink()
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run = RunDir(place / "mine")
    use(place, "wandb", steps=(1, 2)).finish()
    write_json_lines(run.metrics, [{"step": step, "loss": 1.0} for step in (1, 2)])
    use(place, "wandb", steps=(2, 3), after=1).finish()
    assert "failed" not in caplog.text
    identity = read_json(run.tracker)["wandb"]["id"]
    folders = sorted(path.name for path in (run.root / "wandb").glob("offline-run-*"))
    assert folders
    assert all(name.endswith(identity) for name in folders)


def test_the_host_knows_its_last_call() -> None:
    assert json.loads(tracker_host.FINISH)["call"] == "finish"
