"""The plan of a training: how many steps its batches make, and what the log says of it."""

import logging
from pathlib import Path

import pytest

from tests.support.tiny import TINY_TRAIN, tiny_run, tiny_vlm
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.training.plan import TrainingPlan, plan_training
from vqa_core.training.prepare import prepare_model
from vqa_core.training.task import TrainingTask


def plan(folder: Path, **changes: float) -> TrainingPlan:
    settings = TrainSettings(**TINY_TRAIN | changes)
    task = TrainingTask.of_run(tiny_run(folder), ModelSettings(), settings, resume=False)
    return plan_training(task, prepare_model(task, tiny_vlm()))


@pytest.mark.parametrize("processes", [1, 2])
def test_steps_are_the_batches_over_those_of_a_step_in_all_processes(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = {"WORLD_SIZE": str(processes), "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    for name, value in group.items():
        monkeypatch.setenv(name, value)
    found = plan(tmp_path, max_steps=0, epochs=3, accumulate=4)
    assert found.batches_per_step == 4 * processes
    assert len(found.batches) % processes == 0
    assert (found.steps - 1) * found.batches_per_step < len(found.batches) <= found.steps * found.batches_per_step


def test_the_log_says_on_what_and_for_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("vqa"), "propagate", True)
    caplog.set_level(logging.INFO, "vqa")
    found = plan(tmp_path, max_steps=0, epochs=2)
    rows = found.batches.rows
    questions = sum(len(rows[index]["questions"]) for index in range(len(rows)))  # type: ignore[arg-type]
    said = f"Training: {questions} questions about {len(rows)} images for 2.00 epochs, in all {2 * questions} questions"
    assert f"{said} in {len(found.batches)} batches." in caplog.text
    assert "A step takes 1 batch of up to " in caplog.text
