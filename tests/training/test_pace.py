"""A time limit cuts the plan, so that the learning rate comes to its end in time; a resume keeps that plan."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny import TINY_TRAIN, tiny_run, tiny_vlm
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import read_json, read_json_lines
from vqa_core.model.stages import trained_tensors
from vqa_core.runs.run_dir import RunDir
from vqa_core.training import pace
from vqa_core.training.finetune import Outcome, finetune
from vqa_core.training.losses.separate import loss_of
from vqa_core.training.pace import Pace, measure_pace
from vqa_core.training.plan import plan_training
from vqa_core.training.prepare import prepare_model
from vqa_core.training.task import TrainingTask

pytestmark = pytest.mark.slow


def task_of(run: RunDir, *, resume: bool = False, **settings: Any) -> TrainingTask:
    return TrainingTask.of_run(run, ModelSettings(), TrainSettings(**TINY_TRAIN | settings), resume=resume)


def train(run: RunDir, **settings: Any) -> Outcome:
    return finetune(task_of(run, **settings), tiny_vlm())


def rates_of(run: RunDir) -> list[float]:
    return [row["learning_rate"] for row in read_json_lines(run.metrics) if "learning_rate" in row]


@pytest.mark.parametrize(
    ("seconds", "every", "validated", "steps"),
    [(100, 0, 0, 50), (100, 0, 40, 45), (100, 5, 40, 22), (1, 0, 0, 1), (-5, 0, 0, 1)],
)
def test_validations_take_their_part_of_the_time(seconds: float, every: int, validated: int, steps: int) -> None:
    assert Pace(seconds=2.0, answer_s=0.25).steps_within(seconds, every, validated) == steps


def test_the_learning_rate_ends_with_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pace, "measure_pace", lambda *_: Pace(6.0, 0.0))
    monkeypatch.setattr(logging.getLogger("vqa"), "propagate", True)
    caplog.set_level(logging.INFO, "vqa")
    run = tiny_run(tmp_path)
    outcome = train(run, max_steps=40, max_minutes=1, eval_every=0)
    assert outcome.finished
    assert 8 <= outcome.steps <= 9  # 95 % of a minute, less the time until now
    rates = rates_of(run)
    assert len(rates) == outcome.steps
    assert rates[-1] < max(rates) / 5
    assert f"A step takes about 6 s here: {outcome.steps} of 40 steps fit into 1 minutes" in caplog.text
    about = read_json(run.model / "vqa.json")
    assert about["trained"]["steps"] == outcome.steps


def test_a_limit_that_leaves_time_for_all_changes_nothing(tmp_path: Path) -> None:
    runs = [tiny_run(tmp_path / name) for name in ("with", "without")]
    for run, minutes in zip(runs, (60, 0), strict=True):
        assert train(run, max_steps=5, max_minutes=minutes).steps == 5
    weights = [(run.model / "trained.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]  # measuring leaves no trace in weights, gradients or random state


def test_a_training_that_goes_on_keeps_its_plan_whatever_the_speed_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, resumed = tiny_run(tmp_path / "straight"), tiny_run(tmp_path / "resumed")
    monkeypatch.setattr(pace, "measure_pace", lambda *_: Pace(6.0, 0.0))
    limit = {"max_steps": 40, "max_minutes": 1, "eval_every": 0, "save_every": 2}
    outcome = train(straight, **limit)
    train(resumed, **limit)
    for path in resumed.checkpoints.iterdir():
        assert read_json(path / "plan.json")["within_limit"] == {"epochs": 1.0, "max_steps": 40}
    # as if it had been killed after the step before the last checkpoint
    monkeypatch.setattr(pace, "measure_pace", lambda *_: pytest.fail("measured again"))
    again = train(resumed, resume=True, **limit)
    assert again.steps == outcome.steps
    assert rates_of(straight) == rates_of(resumed)
    longer = finetune(task_of(resumed, resume=True, **limit | {"max_steps": 41, "max_minutes": 0}), tiny_vlm())
    assert longer.steps == 41


def test_measuring_takes_the_time_of_steps_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    task = task_of(tiny_run(tmp_path), max_steps=8)
    vlm = tiny_vlm()
    model = prepare_model(task, vlm)
    plan = plan_training(task, model)
    before = {name: tensor.clone() for name, tensor in trained_tensors(vlm).items()}
    modes = [part.training for part in vlm.model.modules()]
    state = torch.random.get_rng_state()
    began = time.monotonic()
    found = measure_pace(loss_of(vlm), plan, 2, 60.0)
    assert 0 < found.seconds < 2 * (time.monotonic() - began)
    assert 0 < found.answer_s < found.seconds
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [part.training for part in vlm.model.modules()] == modes
    for name, tensor in trained_tensors(vlm).items():
        assert torch.equal(tensor, before[name])
        assert tensor.grad is None
