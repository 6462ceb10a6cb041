"""Fine-tuning called as a function: what is trained, kept, validated and refused."""

import logging
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.support.tiny import TINY_TRAIN, losses, tiny_run, tiny_vlm
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError, read_json, read_json_lines
from vqa_core.model.folder import save_model_folder
from vqa_core.model.stages import prepare_stage, trained_tensors
from vqa_core.model.vlm import Vlm
from vqa_core.runs.model_folder import Stage
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.training_rows import open_rows
from vqa_core.training import finetune as finetuning
from vqa_core.training.data import TrainingBatches
from vqa_core.training.finetune import Outcome, finetune
from vqa_core.training.prepare import use_tf32
from vqa_core.training.task import TrainingTask
from vqa_core.training.trainer import VqaTrainer

pytestmark = pytest.mark.slow


def train(run: RunDir, vlm: Vlm | None = None, *, resume: bool = False, **settings: Any) -> Outcome:
    chosen = TrainSettings(**TINY_TRAIN | {"max_steps": 6} | settings)
    return finetune(TrainingTask.of_run(run, ModelSettings(), chosen, resume=resume), vlm or tiny_vlm())


@pytest.mark.parametrize("stage", ["align", "lora"])
def test_what_is_frozen_is_the_same_after_training(stage: str, tmp_path: Path) -> None:
    vlm, untouched = tiny_vlm(), tiny_vlm().model.state_dict()
    train(tiny_run(tmp_path), vlm, stage=stage)
    trained = set(trained_tensors(vlm))
    for name, tensor in vlm.model.state_dict().items():
        if "lora" not in name:
            before = untouched[name.replace(".base_layer", "")]
            assert torch.equal(tensor, before) == (name not in trained), name


def test_the_best_and_the_last_checkpoint_are_kept_and_the_best_is_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.5, 0.9, 0.7, 0.9, 0.3])
    monkeypatch.setattr(finetuning, "validator", lambda *_: lambda: {"accuracy": next(accuracies), "questions": 9})
    run = tiny_run(tmp_path)
    outcome = train(run, max_steps=10, eval_every=2, save_every=1)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["checkpoint-10", "checkpoint-8"]  # 8 tied with 4
    best, model = (
        load_file(folder / "trained.safetensors") for folder in (run.checkpoints / "checkpoint-8", run.model)
    )
    assert all(torch.equal(best[name], model[name]) for name in best)
    assert outcome == Outcome(True, 10, 10, {"accuracy": 0.9, "questions": 9})
    described = read_json(run.model / "vqa.json")
    assert described["trained"]["step"] == 8
    assert described["validation"] == {"accuracy": 0.9, "questions": 9}


def test_tf32_is_for_gpus_and_changes_nothing_on_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    train(tiny_run(tmp_path), tf32=True, max_steps=1)
    assert asked == []
    use_tf32(torch.device("cuda", 0))
    assert asked == ["high"]


def test_the_last_step_is_validated_whatever_eval_every_says(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    train(run, max_steps=5, eval_every=0)
    assert [row["step"] for row in read_json_lines(run.metrics) if "eval_accuracy" in row] == [5]


def test_a_training_that_is_told_to_stop_at_its_last_step_is_finished_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = VqaTrainer.log

    def told_to_stop(self: Any, logs: dict[str, float], start_time: float | None = None) -> None:
        original(self, logs, start_time)
        if self.state.global_step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(VqaTrainer, "log", told_to_stop)
    run = tiny_run(tmp_path)
    assert train(run, max_steps=6, eval_every=0) == Outcome(False, 6, 6, {})
    assert not run.model.exists()
    outcome = train(run, max_steps=6, eval_every=0, resume=True)
    assert (outcome.finished, outcome.step, outcome.metrics["questions"]) == (True, 6, 9)


def test_without_validation_examples_the_last_step_is_the_model(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    run.val.write_text("")
    assert train(run, eval_every=2) == Outcome(True, 6, 6, {})
    assert read_json(run.model / "vqa.json")["validation"] == {}


def test_the_time_limit_ends_a_training_with_a_validated_model(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    outcome = train(run, max_steps=1000, max_minutes=0.01)
    assert outcome.finished
    assert 1 <= outcome.step < 1000
    assert outcome.metrics["questions"] == 9
    assert (run.model / "trained.safetensors").is_file()
    trained = read_json(run.model / "vqa.json")["trained"]
    most = int(TINY_TRAIN["batch_questions"])
    assert trained["steps"] == outcome.step
    assert outcome.step <= trained["questions"] <= outcome.step * most, "those of the steps done, not of the plan"


def test_gradient_checkpointing_trains_the_same_weights(tmp_path: Path) -> None:
    runs = [tiny_run(tmp_path / str(recomputes)) for recomputes in (False, True)]
    for recomputes, run in enumerate(runs):
        train(run, gradient_checkpointing=bool(recomputes), lora_dropout=0.0)
    assert losses(runs[1]) == pytest.approx(losses(runs[0]), rel=1e-5)


def test_in_bf16_what_is_trained_is_kept_in_fp32_and_the_rest_stays_as_it_was(tmp_path: Path) -> None:
    vlm = tiny_vlm()
    vlm.model.bfloat16()
    run = tiny_run(tmp_path)
    train(run, vlm, stage="lora")
    formats = {name: parameter.dtype for name, parameter in vlm.model.named_parameters()}
    trained = trained_tensors(vlm)
    assert {name for name, dtype in formats.items() if dtype == torch.float32} == set(trained)
    assert {tensor.dtype for tensor in load_file(run.model / "trained.safetensors").values()} == {torch.float32}
    assert read_json(run.model / "vqa.json")["precision"] == "bfloat16"
    assert losses(run)[6] < losses(run)[1]


def test_data_loading_processes_change_nothing(tmp_path: Path) -> None:
    runs = [tiny_run(tmp_path / str(workers)) for workers in (0, 2)]
    for workers, run in zip((0, 2), runs, strict=True):
        train(run, workers=workers)
    assert losses(runs[1]) == losses(runs[0])


def test_every_question_of_an_epoch_is_learnt_from_once_in_the_order_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    order: list[int] = []
    original = TrainingBatches.__getitem__

    def noting(self: Any, index: int) -> Any:
        order.append(index)
        seen.update((row.row, question) for row in self.plan[index] for question in row.questions)
        return original(self, index)

    monkeypatch.setattr(TrainingBatches, "__getitem__", noting)
    run = tiny_run(tmp_path)
    train(run, max_steps=0, epochs=2, accumulate=3)
    questions = [len(row["questions"]) for row in open_rows(run.rows)]
    assert order == list(range(len(order)))
    assert seen == {(row, number): 2 for row, count in enumerate(questions) for number in range(count)}


def test_a_tracker_that_raises_does_not_stop_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = ModuleType("trackio")
    broken.init = broken.finish = lambda **_: None  # type: ignore[attr-defined]
    broken.log = lambda *_, **__: (_ for _ in ()).throw(OSError("disk full"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", broken)
    monkeypatch.setattr(logging.getLogger("vqa"), "propagate", True)
    run = tiny_run(tmp_path)
    assert train(run, report_to="trackio").finished
    assert "trackio failed (disk full)" in caplog.text
    assert len(losses(run)) == 6


def test_a_broken_training_picture_is_named(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    victim = run.data_root() / open_rows(run.rows)[3]["image"]
    victim.write_bytes(b"not a picture")
    with pytest.raises(InputError, match=f"{victim} is not an image"):
        train(run, max_steps=0, epochs=1)


FOLDERS = {
    "align": Stage("align"),
    "lora": Stage("lora", TINY_TRAIN["lora_rank"], 32.0, TINY_TRAIN["lora_dropout"]),
}


@pytest.mark.parametrize("given", FOLDERS)
@pytest.mark.parametrize("stage", ["align", "lora", "full"])
def test_training_starts_from_the_weights_of_a_model_folder(given: str, stage: str, tmp_path: Path) -> None:
    """A projector goes with any stage; LoRA only with itself, for no other has a place for its matrices."""
    source = tiny_vlm()
    prepare_stage(source, FOLDERS[given], seed=9)
    for tensor in trained_tensors(source).values():
        tensor.data += 0.5
    expected = {name: tensor.detach().clone() for name, tensor in trained_tensors(source).items()}
    save_model_folder(tmp_path / "given", source, FOLDERS[given], about={})
    run, vlm = tiny_run(tmp_path), tiny_vlm()
    base = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}
    settings = {"stage": stage, "init_from": str(tmp_path / "given"), "max_steps": 1, "learning_rate": 0.0}
    if given == "lora" and stage != "lora":
        with pytest.raises(InputError, match=r"given.trained\.safetensors (lacks|has unknown)"):
            train(run, vlm, **settings)
        return
    train(run, vlm, **settings)
    for name, tensor in trained_tensors(vlm).items():
        if name in expected:
            assert torch.equal(tensor, expected[name]), name
        elif "lora_B" in name:
            assert not tensor.any()
        elif "lora_" not in name:
            assert torch.equal(tensor, base[name]), name


def test_lora_on_fewer_layers_is_no_start_for_lora_on_more(tmp_path: Path) -> None:
    source, stage = tiny_vlm(), Stage("lora", TINY_TRAIN["lora_rank"], 32.0, 0.0, ("q_proj",))
    prepare_stage(source, stage)
    save_model_folder(tmp_path / "given", source, stage, about={})
    with pytest.raises(InputError, match=r"given.trained\.safetensors lacks 36 of 46 weights"):
        train(tiny_run(tmp_path), stage="lora", init_from=str(tmp_path / "given"))


def test_a_resumed_training_goes_on_from_its_checkpoint_and_not_from_where_it_started(tmp_path: Path) -> None:
    source = tiny_vlm()
    prepare_stage(source, Stage("align"))
    save_model_folder(tmp_path / "given", source, Stage("align"), about={})
    settings = {"stage": "align", "init_from": str(tmp_path / "given")}
    run = tiny_run(tmp_path)
    train(run, **settings)
    last = load_file(run.checkpoints / "checkpoint-6" / "trained.safetensors")
    shutil.rmtree(tmp_path / "given")
    vlm = tiny_vlm()
    train(run, vlm, resume=True, **settings)
    assert all(torch.equal(tensor, last[name]) for name, tensor in trained_tensors(vlm).items())
