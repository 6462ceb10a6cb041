"""A training whose numbers are not finite says so, applies nothing of it, and keeps what was good."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.tiny import TINY_TRAIN, tiny_run, tiny_vlm
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.model.folder import start_from
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import Vlm
from vqa_core.runs.model_folder import Stage
from vqa_core.runs.run_dir import RunDir
from vqa_core.training.finetune import Outcome, finetune
from vqa_core.training.losses.packed import PackedLoss
from vqa_core.training.task import TrainingTask

pytestmark = pytest.mark.slow


def train(run: RunDir, vlm: Vlm | None = None, **settings: Any) -> Outcome:
    chosen = TrainSettings(**TINY_TRAIN | {"save_every": 1, "log_every": 1, "eval_every": 0} | settings)
    return finetune(TrainingTask.of_run(run, ModelSettings(), chosen, resume=False), vlm or tiny_vlm())


def metrics(run: RunDir) -> list[dict[str, Any]]:
    """The lines, read by a parser that refuses what JSON does not have."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in run.metrics.read_text().splitlines()]


def spoil(monkeypatch: pytest.MonkeyPatch, *steps: int, value: float = math.nan) -> None:
    """Make the loss of these steps, counted from 1, not finite."""
    original, calls = PackedLoss.forward, iter(range(1, 1000))

    def forward(self: PackedLoss, *args: Any, **kwargs: Any) -> Any:
        outputs = original(self, *args, **kwargs)
        if next(calls) in steps:
            outputs["loss"] = outputs["loss"] * value
        return outputs

    monkeypatch.setattr(PackedLoss, "forward", forward)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_without_a_finite_loss_changes_nothing_and_is_logged_as_what_it_is(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(monkeypatch, 3, value=value)
    run = tiny_run(tmp_path)
    with caplog.at_level("INFO", logger="vqa"):
        assert train(run, max_steps=6).finished
    lines = [line for line in metrics(run) if "loss" in line]
    assert [line["step"] for line in lines if line["loss"] is None] == [3]
    assert [line.get("skipped_steps") for line in lines] == [None, None, 1, None, None, None]
    assert f"step 3: the loss is {value}" in caplog.text
    assert "step 3 of 6: loss nan" in caplog.text
    assert all(torch.isfinite(value).all() for value in load_file(run.model / "trained.safetensors").values())


def test_the_loss_of_a_line_is_the_mean_over_the_steps_that_were_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tiny_run(tmp_path / "1"), tiny_run(tmp_path / "2")
    for run, log_every in ((one, 3), (other, 1)):
        with monkeypatch.context() as patch:
            spoil(patch, 2)
            train(run, max_steps=3, log_every=log_every)
    (line,) = [line for line in metrics(one) if "loss" in line]
    single = [line["loss"] for line in metrics(other) if line.get("loss") is not None]
    assert line["skipped_steps"] == 1
    assert line["loss"] == pytest.approx(sum(single) / 2, rel=1e-5)


def test_a_training_that_diverges_ends_with_an_error_and_keeps_its_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, *range(4, 30))
    run = tiny_run(tmp_path)
    with pytest.raises(
        InputError, match=r"diverged: the loss .* at step 6 \(in a row: 3.*--init-from .*checkpoint-2\."
    ):
        train(run, max_steps=20, max_skipped_steps=3)
    # the weights of step 3 never gave a finite loss
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["checkpoint-2", "diverged-3"]
    assert not run.model.exists()
    assert metrics(run)[-1]["loss"] is None


def test_a_training_that_ends_while_it_diverges_writes_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 6)
    run = tiny_run(tmp_path)
    with pytest.raises(InputError, match=r"diverged: the loss .* at step 6 \(in a row: 1,"):
        train(run, max_steps=6)
    assert not run.model.exists()


def test_a_learning_rate_that_is_far_too_high(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    with pytest.raises(InputError, match=r"The learning rate was 1\.0e\+30") as caught:
        train(run, max_steps=30, learning_rate=1e30, max_grad_norm=0, warmup_ratio=0)
    assert "--max-grad-norm" in str(caught.value)
    assert not run.model.exists()
    assert metrics(run)
    for folder in run.checkpoints.iterdir():
        assert all(torch.isfinite(value).all() for value in load_file(folder / "trained.safetensors").values())


def test_a_model_with_weights_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    train(run, max_steps=1)
    file = run.model / "trained.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values())).view(-1)[0] = math.inf
    save_file(tensors, file)
    vlm = tiny_vlm()
    prepare_stage(vlm, Stage("lora", lora_rank=4))
    with pytest.raises(InputError, match="comes from a training that diverged"):
        start_from(vlm, run.model)
