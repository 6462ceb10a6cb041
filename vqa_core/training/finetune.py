"""Fine-tuning a run, from its training rows to model/: what `python -m train.finetune` does."""

import logging
import platform
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from safetensors.torch import load_file
from torch import Tensor

from vqa_core.model.folder import save_model_folder
from vqa_core.model.loading import load_in_of
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.sharding import spread
from vqa_core.planning.run_state import discard_training
from vqa_core.processes import is_first_process
from vqa_core.training.arguments import trainer_arguments
from vqa_core.training.control import TrainingControl
from vqa_core.training.metric_log import MetricLog
from vqa_core.training.plan import TrainingPlan, plan_training
from vqa_core.training.prepare import PreparedModel, prepare_model
from vqa_core.training.resume import check_plan, record_plan
from vqa_core.training.separate_loss import loss_of
from vqa_core.training.task import TrainingTask
from vqa_core.training.trackers import Tracker
from vqa_core.training.trainer import Hooks, VqaTrainer
from vqa_core.training.validation import validator

logger = logging.getLogger("vqa")


@dataclass(frozen=True, slots=True)
class TrainingEnd:
    """Where the Trainer stopped: after `step` of `steps`; `interrupted` if a signal stopped it before the last.

    `best_step` is the step with the best validation `accuracy`; both are None where nothing was validated.
    """

    step: int
    steps: int
    interrupted: bool
    best_step: int | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How training ended: `finished`, or stopped early at `step` of `steps` by a signal."""

    finished: bool
    step: int
    steps: int
    metrics: dict[str, float]


def finetune(task: TrainingTask, vlm: AnyVlm | None = None) -> Outcome:
    """Train and write checkpoints, metrics.jsonl and, when finished, model/.

    `vlm` is a model that is built already, for tests. Raises InputError for whatever can't be trained as asked.
    """
    model = prepare_model(task, vlm)
    plan = plan_training(task, model)
    check_plan(task, model, plan)
    _record(task, model)
    end = train(task, model, plan)
    return keep(task, model, plan, end)


def _record(task: TrainingTask, model: PreparedModel) -> None:
    """Put an earlier training out of the way and the settings into config.json, now that this training will start."""
    if not is_first_process():
        return
    if task.restart:
        discard_training(task.run)
    task.run.write_section("model", model.settings.to_dict())
    task.run.write_section("train", task.settings.to_dict())


def train(task: TrainingTask, model: PreparedModel, plan: TrainingPlan) -> TrainingEnd:
    """Run the Trainer over the plan's batches, from the model's checkpoint on."""
    settings, vlm = task.settings, model.vlm
    arguments = trainer_arguments(task.run, settings, plan.steps, validates=bool(plan.validation))
    tracker = Tracker(settings.report_to, task.run, {"model": model.settings.to_dict(), "train": settings.to_dict()})
    metrics = None
    if is_first_process():
        metrics = MetricLog(task.run, tracker, plan.steps, plan.plan.epochs, after=model.step)
    loss = loss_of(vlm)
    if settings.parallel == "fsdp2":
        units = [name for part in (vlm.vision_tower, vlm.language_model) for name in part._no_split_modules or ()]
        spread(loss, units, arguments.device)
    hooks = Hooks(
        validate=validator(vlm, plan.validation, task.data_root, settings, task.pixel_limit, plan.answers.limit)
        if plan.validation
        else None,
        log=metrics.write if metrics else None,
        plan=partial(record_plan, task, model, plan),
    )
    trainer = VqaTrainer(loss, arguments, plan.batches, settings, hooks)
    deadline = task.started + settings.max_minutes * 60 if settings.max_minutes else None
    try:
        with TrainingControl(deadline, bool(plan.validation)) as control:
            trainer.add_callback(control)
            trainer.train(resume_from_checkpoint=str(model.checkpoint) if model.checkpoint else None)
    finally:
        tracker.finish()
    state = trainer.state
    interrupted = control.asked_to_stop and state.global_step < plan.steps
    return TrainingEnd(state.global_step, plan.steps, interrupted, state.best_global_step, state.best_metric)


def keep(task: TrainingTask, model: PreparedModel, plan: TrainingPlan, end: TrainingEnd) -> Outcome:
    """Write model/ from the best checkpoint, unless training was stopped before its end."""
    if end.interrupted:
        logger.info("Stopped at step %d of %d. Give the same command with --resume to go on.", end.step, end.steps)
        return Outcome(False, end.step, end.steps, {})
    step, tensors = _best_weights(task, end)
    validation = {} if end.accuracy is None else {"accuracy": end.accuracy, "questions": len(plan.validation)}
    if is_first_process():
        trained = plan.plan.first(end.step * plan.batches_per_step)  # the time limit may have ended it sooner
        about = {
            "trained": {
                "steps": end.step,
                "step": step,
                "epochs": round(trained.epochs, 4),
                "questions": trained.questions,
            },
            "validation": validation,
            "answer_tokens": plan.answers.to_dict(),
            "train": task.settings.to_dict(),
            "precision": str(model.vlm.dtype).removeprefix("torch."),
            "attention": model.vlm.attention,
            "load_in": load_in_of(model.vlm.language_model),
            "versions": {name: version(name) for name in ("torch", "transformers")}
            | {"python": platform.python_version()},
        }
        save_dtype = task.settings.save_dtype
        save_model_folder(task.run.model, model.vlm, model.stage, tensors=tensors, save_dtype=save_dtype, about=about)
        logger.info("Wrote %s after %.0f s.", task.run.model, time.monotonic() - task.started)
    return Outcome(True, end.step, end.steps, validation)


def _best_weights(task: TrainingTask, end: TrainingEnd) -> tuple[int, dict[str, Tensor]]:
    """The best validated step, or the last where none was validated, and its trained weights."""
    folder, best = task.run.checkpoints, end.best_step or end.step
    if not (folder / f"checkpoint-{best}").is_dir():
        logger.warning("The checkpoint of step %d, the best on validation, is gone; the last step's is used.", best)
        best = end.step
    elif best != end.step:
        logger.info("Step %d was best on validation (%.4f); its weights are kept.", best, end.accuracy)
    return best, load_file(folder / f"checkpoint-{best}" / "trained.safetensors")
