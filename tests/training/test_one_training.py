"""One training a run: the second says who trains, and nobody else touches the run meanwhile."""

import signal
from pathlib import Path

import pytest

from tests.support.paused import START_METHOD
from tests.support.processes import forked, run_forked
from tests.support.tiny import tiny_run
from tests.support.trained import write_model
from tests.support.trainings import end, training_flags, when
from train import prepare as prepare_command
from vqa_core.files import InputError
from vqa_core.runs import run_lock
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.run_lock import alone_in, refuse_in_use

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def arguments(parts: Path) -> list[str]:
    return training_flags(parts, max_steps=2)


def contents(run: RunDir) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("place", ["reading", "loading", "saving"])
def test_whoever_comes_second_is_told_who_trains_and_changes_nothing(
    place: str, arguments: list[str], parts: Path, tmp_path: Path
) -> None:
    run, output, mark, second = tiny_run(tmp_path), tmp_path / "output", tmp_path / "mark", tmp_path / "second"
    process = forked(
        "tests.support.paused",
        place,
        mark,
        60,
        "--run",
        run.root,
        *arguments,
        output=output,
        env={START_METHOD: "fork"},
    )
    try:
        when(mark.exists, process)
        before = contents(run)
        write_model(tmp_path / "model", parts)
        commands = [
            ("train.finetune", *arguments),
            ("train.finetune", "--restart", *arguments),
            ("train.finetune", "--resume"),
            ("train.prepare", "--data", run.root.parent / "data"),
            ("eval.predict", "--model", tmp_path / "model"),
        ]
        for name, *args in commands:
            second.unlink(missing_ok=True)
            assert run_forked(name, "--run", run.root, *args, output=second) == 2, name
            said = second.read_text()
            assert f"error: {run.root} is in use by process {process.pid} on " in said, said
            assert "Wait for its end, stop it, or name another --run." in said
        with pytest.raises(InputError, match=f"in use by process {process.pid}"):
            refuse_in_use(run)  # the page
        after = contents(run)
        log = str(run.log)
        assert {**after, log: b""} == {**before, log: b""}
    finally:
        end(process, signal.SIGKILL)
    refuse_in_use(run)
    assert run_forked("train.finetune", "--run", run.root, "--resume", *arguments, output=output) == 0, (
        output.read_text()
    )


def test_a_run_that_is_no_run_gets_no_lock(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes no model"), alone_in(RunDir(tmp_path / "new")):
        raise InputError("takes no model")
    assert not (tmp_path / "new").exists()


def test_the_second_of_several_processes_does_not_wait_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path)
    with alone_in(run):
        with monkeypatch.context() as patch:
            patch.setattr(run_lock, "is_first_process", lambda: False)
            with alone_in(run):
                pass
        with pytest.raises(InputError, match="in use by process"), alone_in(run):
            pass


def test_preparing_takes_the_lock_too(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    with alone_in(run), pytest.raises(InputError, match="is in use by"):
        prepare_command.main(["--run", str(run.root), "--data", str(tmp_path / "data")])
