"""Fine-tuning a run, from its training rows to model/: what `python -m train.finetune` does."""

import logging
import platform
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

from safetensors.torch import load_file
from torch import Tensor

from vqa_core.folders import replaced_folder
from vqa_core.model.folder import save_model_folder
from vqa_core.model.loading import load_in_of
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.sharding import spread
from vqa_core.planning.run_state import checkpoint_progress, discard_training
from vqa_core.processes import is_first_process
from vqa_core.runs.run_dir import RunDir
from vqa_core.space import DiskError, check_space
from vqa_core.stops import Stopped
from vqa_core.training.arguments import trainer_arguments
from vqa_core.training.control import TrainingControl
from vqa_core.training.losses.separate import loss_of
from vqa_core.training.metric_log import MetricLog
from vqa_core.training.pace import plan_within_limit
from vqa_core.training.plan import TrainingPlan, plan_training
from vqa_core.training.prepare import PreparedModel, prepare_model
from vqa_core.training.resume import check_plan, record_plan
from vqa_core.training.saving import check_room, model_bytes
from vqa_core.training.task import TrainingTask
from vqa_core.training.trackers import Tracker
from vqa_core.training.trainer import Hooks, VqaTrainer
from vqa_core.training.validation import validator
from vqa_core.training.workers import workers_ended

logger = logging.getLogger("vqa")


@dataclass(frozen=True, slots=True)
class TrainingEnd:
    """Where the Trainer stopped: after `step` of `steps`; `interrupted` if it was asked to.

    `best_step` is the step with the best validation `accuracy`; both are None where nothing was validated.
    """

    step: int
    steps: int
    interrupted: bool
    best_step: int | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How training ended: `finished`, or stopped at `step` of `steps`, before model/ was written."""

    finished: bool
    step: int
    steps: int
    metrics: dict[str, float]


def finetune(task: TrainingTask, vlm: AnyVlm | None = None) -> Outcome:
    """Train and write checkpoints, metrics.jsonl and, when finished, model/.

    `vlm` is a model that is built already, for tests. Raises InputError for whatever can't be trained as asked.
    """
    began = False
    with task.stops:
        try:
            model = prepare_model(task, vlm)
            plan = plan_within_limit(task, model, plan_training(task, model))
            check_plan(task, model, plan)
            check_room(task, model, plan)
            _record(task, model)
            began = True
            task.stops.check()
            end = train(task, model, plan)
            if not end.interrupted:
                return keep(task, model, plan, end)
        except Stopped:
            pass
        except DiskError:
            if began and (progress := checkpoint_progress(task.run)):
                logger.warning("Kept up to step %d of %d: with room there, --resume goes on from it.", *progress)
            raise
        return say_stopped(task.run, began=began, restart=task.restart)


def say_stopped(run: RunDir, *, began: bool, restart: bool) -> Outcome:
    """Log where a training was stopped and how it goes on; `began` says whether it had begun to write into its run."""
    progress = checkpoint_progress(run) if began else None
    if progress is None:
        logger.info("Stopped before the first step. Give the same command again.")
        return Outcome(False, 0, 0, {})
    instead = " in place of --restart" if restart else ""
    logger.info("Stopped at step %d of %d. Give the same command with --resume%s to go on.", *progress, instead)
    return Outcome(False, *progress, {})


def _record(task: TrainingTask, model: PreparedModel) -> None:
    """Put what an earlier training has left out of the way, and the settings into config.json: this one will start."""
    if not is_first_process():
        return
    with task.stops.deferred():
        if model.checkpoint is None:
            discard_training(task.run, checkpoints=task.restart, start=task.settings.init_from)
        task.run.write_sections({"model": model.settings.to_dict(), "train": task.settings.to_dict()})


def train(task: TrainingTask, model: PreparedModel, plan: TrainingPlan) -> TrainingEnd:
    """Run the Trainer over the plan's batches, from the model's checkpoint on."""
    settings, vlm = task.settings, model.vlm
    arguments = trainer_arguments(task.run, settings, plan.steps, validates=bool(plan.validation))
    recorded = {"model": model.settings.to_dict(), "train": settings.to_dict()}
    tracker = Tracker(settings.report_to, task.run, recorded, after=model.step)
    metrics = None
    if is_first_process():
        metrics = MetricLog(
            task.run, tracker, plan.steps, plan.plan.epochs, after=model.step, checkpoint=model.checkpoint
        )
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
        stops=task.stops,
    )
    trainer = VqaTrainer(loss, arguments, plan.batches, plan.left_out, settings, hooks)
    deadline = task.started + settings.max_minutes * 60 if settings.max_minutes else None
    control = TrainingControl(task.stops, deadline, bool(plan.validation))
    trainer.add_callback(control)
    try:
        with workers_ended(), task.stops.deferred("finishing this step, then saving"):
            trainer.train(resume_from_checkpoint=str(model.checkpoint) if model.checkpoint else None)
    finally:
        tracker.finish(hurried=task.stops.asked is not None)
    state = trainer.state
    interrupted = control.asked_to_stop or trainer.cut_short
    return TrainingEnd(state.global_step, plan.steps, interrupted, state.best_global_step, state.best_metric)


def keep(task: TrainingTask, model: PreparedModel, plan: TrainingPlan, end: TrainingEnd) -> Outcome:
    """Write model/ from the best checkpoint, whole: until then an earlier one stays."""
    task.stops.check()
    step, tensors = _best_weights(task, end)
    validation = {} if end.accuracy is None else {"accuracy": end.accuracy, "questions": len(plan.validation)}
    if is_first_process():
        trained = plan.plan.first(end.step * plan.batches_per_step)  # the time limit may have ended it sooner
        about = {
            "trained": {
                "steps": end.step,
                "step": step,
                "epochs": round(trained.epochs, 4),
                "questions": trained.questions - plan.left_out.questions,
                **plan.left_out.describe(),
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
        save_dtype, folder = task.settings.save_dtype, task.run.model
        check_space(folder, model_bytes(model.vlm, save_dtype), "The model of this training")
        with replaced_folder(folder) as building:
            save_model_folder(building, model.vlm, model.stage, tensors=tensors, save_dtype=save_dtype, about=about)
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
