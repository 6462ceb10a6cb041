"""A drive without room: a sentence and exit code 2, nothing that was there is harmed, and --resume goes on exactly."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import forked, run_forked
from tests.support.tiny import TINY_TRAIN, tiny_run, tiny_vlm
from tests.support.trainings import assert_same_training, checkpoints, training_flags
from vqa_core import space
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError, read_json_lines
from vqa_core.runs.checkpoints import problem_with
from vqa_core.runs.run_dir import RunDir
from vqa_core.training import finetune as finetuning
from vqa_core.training import metric_log, trainer
from vqa_core.training.finetune import Outcome, finetune
from vqa_core.training.task import TrainingTask

pytestmark = pytest.mark.slow


def train(run: RunDir, *, resume: bool = False, restart: bool = False, **settings: Any) -> Outcome:
    chosen = TrainSettings(**TINY_TRAIN | {"max_steps": 6, "eval_every": 4} | settings)
    return finetune(TrainingTask.of_run(run, ModelSettings(), chosen, resume=resume, restart=restart), tiny_vlm())


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the bytes that the drive says are free."""

    def says(count: int) -> None:
        monkeypatch.setattr(space, "free_bytes", lambda _: count)

    return says


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = tiny_run(tmp_path_factory.mktemp("undisturbed"))
    train(run)
    return run


def contents(run: RunDir) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.root.rglob("*")) if path.is_file()}


def test_a_training_for_which_there_is_no_room_is_refused_and_changes_nothing(
    undisturbed: RunDir, tmp_path: Path, free: Callable[[int], None]
) -> None:
    run = RunDir(tmp_path / "run")
    shutil.copytree(undisturbed.root, run.root)
    before = contents(run)
    free(1000)
    with pytest.raises(
        InputError, match=r"3 checkpoints of [\d.]+ MB at once and a model of [\d.]+ MB, needs .*1000 b"
    ):
        train(run, restart=True)
    assert contents(run) == before


def test_room_is_asked_for_before_each_checkpoint(
    undisturbed: RunDir, tmp_path: Path, free: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path)
    original = trainer.checkpoint_bytes

    def fuller(vlm: Any) -> int:
        if checkpoints(run):
            free(1000)
        return original(vlm)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "checkpoint_bytes", fuller)
        with pytest.raises(
            InputError, match=r"The checkpoint of step 4 needs .* MB at .*checkpoints.* 1000 bytes free"
        ):
            train(run)
    assert checkpoints(run) == [3]
    monkeypatch.undo()
    assert train(run, resume=True).finished
    assert_same_training(run, undisturbed)


@pytest.mark.parametrize("name", ["optimizer", "weights", "seal"])
def test_a_drive_that_is_full_in_the_middle_of_a_checkpoint_leaves_the_earlier_one(
    name: str, undisturbed: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path)
    whole = {
        "optimizer": (trainer.VqaTrainer, "_save_optimizer_and_scheduler"),
        "weights": (trainer, "save_file"),
        "seal": (trainer, "seal"),
    }
    holder, attribute = whole[name]
    original, calls = getattr(holder, attribute), iter(range(9))

    def full(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(holder, attribute, full)
        with pytest.raises(InputError, match=r"checkpoint-4 cannot be written: its drive is full \([\d.]+ MB needed"):
            train(run)
    assert [path.name for path in run.checkpoints.iterdir()] == ["checkpoint-3"]
    assert problem_with(run.checkpoints / "checkpoint-3") is None
    assert train(run, resume=True).finished
    assert_same_training(run, undisturbed)


def test_a_limit_that_torch_meets_is_said_as_what_it_is(tmp_path: Path) -> None:
    """Torch raises an error that does not say why a file could not be written."""
    run, output = tiny_run(tmp_path), tmp_path / "output"
    args = training_flags(tmp_path, max_steps=6)
    most = 60_000
    process = forked("tests.support.paused", "limit", "-", most, "--run", run.root, *args, output=output)
    process.join(240)
    assert process.exitcode == 2, output.read_text()
    assert "checkpoint-3 cannot be written: " in output.read_text()
    assert "Traceback" not in output.read_text()
    assert not list(run.checkpoints.iterdir())
    assert run_forked("train.finetune", "--run", run.root, "--resume", output=output) == 0, output.read_text()


def test_metrics_that_can_not_be_written_end_the_training_and_no_line_is_torn(
    undisturbed: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path)
    original = metric_log.MetricLog._append

    def full(self: metric_log.MetricLog, line: bytes) -> None:
        path, self.path = self.path, Path("/dev/full") if b'"step": 5,' in line else self.path
        try:
            original(self, line)
        finally:
            self.path = path

    with monkeypatch.context() as patch:
        patch.setattr(metric_log.MetricLog, "_append", full)
        with pytest.raises(InputError, match="cannot be written: its drive is full"):
            train(run)
    assert checkpoints(run)[-1] == 4
    assert train(run, resume=True).finished
    assert_same_training(run, undisturbed)


def test_a_torn_last_line_of_metrics_is_dropped(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    train(run, max_steps=3)
    with run.metrics.open("a") as file:
        file.write('{"step": 4, "epo')
    train(run, resume=True)
    steps = [row["step"] for row in read_json_lines(run.metrics) if "loss" in row]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_model_that_can_not_be_written_leaves_the_earlier_one(
    undisturbed: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path / "run")
    shutil.copytree(undisturbed.root, run.root)
    before = {path.name: path.read_bytes() for path in run.model.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "save_model_folder", full)
        with pytest.raises(InputError, match="your quota on its drive is used up"):
            train(run, resume=True, max_steps=8)
    assert {path.name: path.read_bytes() for path in run.model.iterdir()} == before
    assert [path.name for path in run.root.iterdir() if path.name.endswith(".tmp")] == []
    assert train(run, resume=True, max_steps=8).finished
