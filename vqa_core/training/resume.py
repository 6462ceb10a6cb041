"""The plan that a checkpoint keeps: which questions fell into its steps, and how many steps its rate was meant for."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from transformers import get_scheduler

from vqa_core.config import TrainSettings
from vqa_core.files import InputError, read_json
from vqa_core.planning.resume import plan_settings, ways_from
from vqa_core.processes import process_count
from vqa_core.runs.checkpoints import PLAN
from vqa_core.training.plan import TrainingPlan
from vqa_core.training.prepare import PreparedModel
from vqa_core.training.task import TrainingTask

logger = logging.getLogger("vqa")


def record_plan(task: TrainingTask, model: PreparedModel, plan: TrainingPlan, step: int) -> dict[str, Any]:
    """JSON-ready: what a checkpoint of step `step` is planned with, and what its steps had to leave out."""
    left_out = {"left_out": record} if (record := plan.left_out.record()) else {}
    return left_out | {
        "settings": plan_settings(model.settings, task.settings),
        "processes": process_count(),
        "steps": plan.steps,
        "data": _fingerprint(task),
        "batches": _digest(plan, step),
    }


def check_plan(task: TrainingTask, model: PreparedModel, plan: TrainingPlan) -> None:
    """Raise InputError if the steps that a checkpoint has behind it would not be the first steps of `plan`.

    A plan of another length is logged with what it does to the learning rate. Its settings were compared before. What
    the checkpoint's steps left out goes on to be counted.
    """
    checkpoint, step = model.checkpoint, model.step
    if checkpoint is None:
        return
    record = read_json(checkpoint / PLAN) if (checkpoint / PLAN).is_file() else {}
    processes = record.get("processes", process_count())
    if processes != process_count():
        raise InputError(
            f"{checkpoint} was made by {processes} processes, and this is a training of {process_count()}: other "
            f"questions would fall into its steps. Start {processes} with torchrun --nproc_per_node {processes}. "
            f"{ways_from(checkpoint)}"
        )
    if record.get("data", _fingerprint(task)) != _fingerprint(task):
        raise InputError(
            f"{checkpoint} was trained on other questions than {task.run.rows} holds now. {ways_from(checkpoint)}"
        )
    if plan.steps < step:
        raise InputError(
            f"{checkpoint} is at step {step} already, and --epochs and --max-steps plan {plan.steps} steps. "
            f"{ways_from(checkpoint)}"
        )
    if record.get("batches", _digest(plan, step)) != _digest(plan, step):
        raise InputError(
            f"Other questions fell into the first {step} steps of {checkpoint} than fall into them now, with the same "
            f"settings. Was it made by another version, or is its model another one? {ways_from(checkpoint)}"
        )
    planned = record.get("steps") or int(read_json(checkpoint / "trainer_state.json")["max_steps"])
    if planned != plan.steps:
        _tell_of_length(task.settings, checkpoint, step, planned, plan.steps)
    plan.left_out.restore(record.get("left_out", []), step)


def rate_at(settings: TrainSettings, steps: int, step: int) -> float:
    """The projector's learning rate in step `step`, counted from 0, of a training of `steps` steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=settings.learning_rate)
    warmup = round(settings.warmup_ratio * steps)
    schedule = get_scheduler(settings.scheduler, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    return float(settings.learning_rate * schedule.lr_lambdas[0](step))


def _tell_of_length(settings: TrainSettings, checkpoint: Path, step: int, planned: int, steps: int) -> None:
    logger.warning(
        "The training was planned for %d steps, has done %d and now goes on to %d. The learning rate follows the new "
        "length: it was %.1e in the last step and is %.1e in the next. For a schedule of its own, train another run "
        "with --init-from %s.",
        planned, step, steps, rate_at(settings, planned, max(step - 1, 0)), rate_at(settings, steps, step), checkpoint,
    )  # fmt: skip


def _fingerprint(task: TrainingTask) -> str:
    config = task.run.read_config() if task.run.config.is_file() else {}
    return str(config.get("dataset", {}).get("fingerprint", ""))


def _digest(plan: TrainingPlan, step: int) -> str:
    """Hex SHA-256 of the questions in the first `step` steps, by training row and number."""
    digest = hashlib.sha256()
    for batch in plan.plan.batches[: step * plan.batches_per_step]:
        digest.update(repr([(row.row, row.questions) for row in batch]).encode())
    return digest.hexdigest()
