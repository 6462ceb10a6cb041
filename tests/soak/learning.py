"""The cases that need torch: what a training writes, and the model folder."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file

from tests.soak.faults import Case, Found, Tell
from tests.soak.writes import checkpoints, contents
from tests.support.tiny import TINY_TRAIN, tiny_run, tiny_vlm
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import read_json
from vqa_core.inference.adopt import adopt_model
from vqa_core.model.folder import tensors_of, write_model_folder
from vqa_core.model.stages import trained_tensors
from vqa_core.runs.metrics import read_metrics
from vqa_core.runs.model_folder import Stage
from vqa_core.runs.run_dir import RunDir
from vqa_core.training import finetune as finetuning
from vqa_core.training.finetune import keep
from vqa_core.training.metric_log import MetricLog
from vqa_core.training.task import TrainingTask
from vqa_core.training.trainer import VqaTrainer

SIZES = (0, 1_000, 5_000, 20_000, 60_000)


@cache
def trained() -> SimpleNamespace:
    """A training of the tiny model after its last step: its `trainer`, `task`, `model`, `plan` and `end`."""
    run = tiny_run(Path(mkdtemp()), train_images=4, test_images=1)
    settings = TrainSettings(**TINY_TRAIN | {"max_steps": 2, "eval_every": 0, "eval_questions": 1})
    found = SimpleNamespace()
    made = VqaTrainer.__init__

    def note_trainer(trainer: Any, *args: Any, **kwargs: Any) -> None:
        found.trainer = trainer
        made(trainer, *args, **kwargs)

    def note_end(task: Any, model: Any, plan: Any, end: Any) -> Any:
        found.task, found.model, found.plan, found.end = task, model, plan, end
        return keep(task, model, plan, end)

    with mock.patch.object(VqaTrainer, "__init__", note_trainer), mock.patch.object(finetuning, "keep", note_end):
        finetuning.finetune(TrainingTask.of_run(run, ModelSettings(), settings, resume=False), tiny_vlm())
    return found


def _save(folder: Path, step: int) -> None:
    """Write a checkpoint as the Trainer does at the end of a step."""
    trainer = trained().trainer
    trainer.args.output_dir = str(folder)
    trainer.state.global_step, trainer.state.max_steps = step, 10
    trainer.state.best_global_step = trainer.state.best_metric = None
    trainer.control.should_training_stop = False
    trainer._save_checkpoint(trainer.model, None)


def _newest(folder: Path) -> dict[str, Any]:
    """What a training would go on from, by its weights: where the random numbers stand differs from save to save."""
    found = checkpoints(folder)
    name, files = found["newest"]
    return {"newest": (name, sorted(files), files["trained.safetensors"]), "broken": found["broken"]}


def _trained_twice(folder: Path) -> None:
    """A run with two checkpoints, whose weights are all 1 and 2, and a model of the first."""
    for step in (1, 2):
        checkpoint = RunDir(folder).checkpoints / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        tensors = trained_tensors(trained().model.vlm)
        weights = {name: torch.full_like(tensor, step) for name, tensor in tensors.items()}
        save_file(weights, checkpoint / "trained.safetensors")
    _keep(folder, 1)


def _keep(folder: Path, step: int) -> None:
    """Write model/ as a training does at its end, from the checkpoint of a step."""
    of = trained()
    end = replace(of.end, step=step, best_step=step)
    keep(replace(of.task, run=RunDir(folder)), of.model, of.plan, end)


def _kept(folder: Path) -> Any:
    """Which step's the weights are, and which step's the description says."""
    model = RunDir(folder).model
    if not model.is_dir():
        return None
    return float(next(iter(tensors_of(model).values())).flatten()[0]), read_json(model / "vqa.json")["trained"]["step"]


def _is_model(found: Found) -> bool:
    """The old or the new, or between two renames none, on a drive that cannot swap two folders."""
    return found.now in (found.old, found.new, None)


def _write_model(folder: Path) -> None:
    write_model_folder(folder, ModelSettings(), Stage("align"), {"projector": torch.ones(4, 8)}, about={})


def _model_to_adopt(folder: Path) -> None:
    _write_model(folder / "source")
    (folder / "run").mkdir()


def _adopt(folder: Path, _: Tell) -> None:
    loaded = SimpleNamespace(settings=ModelSettings())
    with mock.patch("vqa_core.inference.adopt.load_model", return_value=loaded):
        adopt_model(RunDir(folder / "run"), str(folder / "source"))


def _log(folder: Path, tell: Tell, *, after: int = 2, last: int = 6) -> None:
    """The steps that follow `after`."""
    tracker: Any = SimpleNamespace(log=lambda *_: None)
    log = MetricLog(RunDir(folder), tracker, steps=6, epochs=1.0, after=after)
    for step in range(after + 1, last + 1):
        log.write(step, 1.0 * step, {"loss": 1.0 / step, "learning_rate": 0.1, "grad_norm": float("nan")})
        tell(str(step))


def _logged(folder: Path) -> None:
    """Four steps of a training whose last checkpoint is that of step 2, and a torn line."""
    _log(folder, lambda _: None, after=0, last=4)
    with RunDir(folder).metrics.open("a") as file:
        file.write('{"step": 5, "ep')


def _steps(folder: Path) -> list[int]:
    return [row["step"] for row in read_metrics(RunDir(folder).metrics)]


def _are_first_steps(found: Found) -> bool:
    told = list(map(int, found.told)) if found.kind != "power" else []
    return bool(found.now == found.new[: len(found.now)] and len(found.now) >= 2 and set(told) <= set(found.now))


LEARNING = [
    Case(
        "a checkpoint of the Trainer",
        lambda folder: _save(folder, 1),
        lambda folder, _: _save(folder, 2),
        _newest,
        lambda found: not found.now["broken"] and found.now["newest"] in (found.old["newest"], found.new["newest"]),
        limits=SIZES,
    ),
    Case(
        "model/: weights and description",
        _trained_twice,
        lambda folder, _: _keep(folder, 2),
        _kept,
        _is_model,
        limits=SIZES,
    ),
    Case(
        "model/: a copy of the model that predict --model names",
        _model_to_adopt,
        _adopt,
        lambda folder: contents(folder / "run" / "model"),
        limits=(0, 100, 600),
    ),
    Case(
        "metrics.jsonl",
        _logged,
        lambda folder, tell: _log(folder, tell),
        _steps,
        _are_first_steps,
        limits=(0, 50, 150, 400),
    ),
]
