"""A training with a time limit plans the steps that fit into it, so that its learning rate comes to its end in time."""

import copy
import logging
import time
from dataclasses import dataclass, replace

import torch

from vqa_core.files import read_json
from vqa_core.model.unpadded import in_mode
from vqa_core.processes import process_count
from vqa_core.runs.checkpoints import PLAN
from vqa_core.training.data import UNREAD
from vqa_core.training.losses.packed import PackedLoss
from vqa_core.training.losses.separate import loss_of
from vqa_core.training.plan import TrainingPlan
from vqa_core.training.prepare import PreparedModel
from vqa_core.training.resume import length_of
from vqa_core.training.task import TrainingTask

logger = logging.getLogger("vqa")

TIMED = 4  # batches, the first of which warms up
SHARE = 0.05  # of the limit that measuring may take; two batches are measured whatever they take
MARGIN = 0.95  # share of the time left that is planned: checkpoints take some, and no speed is constant
ANSWERING = 0.5  # seconds to answer a question while validating, per second to train on one: no backward pass


@dataclass(frozen=True, slots=True)
class Pace:
    """`seconds` of a step, and of answering one validation question."""

    seconds: float
    answer_s: float

    def steps_within(self, seconds: float, every: int, validated: int) -> int:
        """The steps that fit into `seconds`, with a validation of `validated` questions every so many steps.

        The last step is validated whatever `every` says; 0 validates that one only.
        """
        validation = validated * self.answer_s
        each = self.seconds + (validation / every if every else 0.0)
        return max(1, int((seconds - validation) / each))


def plan_within_limit(task: TrainingTask, model: PreparedModel, plan: TrainingPlan) -> TrainingPlan:
    """The plan cut to the steps that `--max-minutes` leaves time for, by a speed measured now.

    A training that goes on keeps the steps it was planned for, whatever its speed is now. Several processes are not
    measured: the limit ends them wherever they are.
    """
    settings = task.settings
    if model.checkpoint:
        return _as_planned(task, model, plan)
    if not settings.max_minutes or process_count() > 1:
        return plan
    limit_s = settings.max_minutes * 60
    pace = measure_pace(loss_of(model.vlm), plan, settings.accumulate, SHARE * limit_s)
    left_s = MARGIN * (limit_s - (time.monotonic() - task.started))
    fitting = pace.steps_within(left_s, settings.eval_every, len(plan.validation))
    if fitting >= plan.steps:
        return plan
    logger.info(
        "A step takes about %.2g s here: %d of %d steps fit into %g minutes; the learning rate is planned for them.",
        pace.seconds, fitting, plan.steps, settings.max_minutes,
    )  # fmt: skip
    return cut(plan, fitting)


def cut(plan: TrainingPlan, steps: int) -> TrainingPlan:
    """The first `steps` steps of a plan."""
    kept = plan.plan.first(steps * plan.batches_per_step)
    batches = copy.copy(plan.batches)
    batches.plan = kept.batches
    return replace(plan, plan=kept, batches=batches, within_limit=True)


def measure_pace(module: PackedLoss, plan: TrainingPlan, accumulate: int, most_s: float) -> Pace:
    """Time some batches of a plan, forward and backward, without changing the model or any random state."""
    chosen = [len(plan.batches) * place // TIMED for place in range(TIMED)]
    seconds, questions = [], []
    started = time.monotonic()
    with torch.random.fork_rng(), in_mode(module, training=True):
        for number, index in enumerate(chosen):
            began = time.monotonic()
            batch = plan.batches[index]
            batch.pop(UNREAD, None)
            device = module.vlm.device
            placed = {name: each.to(device) if isinstance(each, torch.Tensor) else each for name, each in batch.items()}
            loss = module(**placed)["loss"]
            loss.backward()
            loss.item()  # waits for a GPU
            if number or len(chosen) == 1:
                seconds.append(time.monotonic() - began)
                questions.append(sum(len(row.questions) for row in plan.plan.batches[index]))
            if seconds and time.monotonic() - started > most_s:
                break
    module.zero_grad(set_to_none=True)
    return Pace(accumulate * sum(seconds) / len(seconds), ANSWERING * sum(seconds) / sum(questions))


def _as_planned(task: TrainingTask, model: PreparedModel, plan: TrainingPlan) -> TrainingPlan:
    assert model.checkpoint is not None
    record = read_json(model.checkpoint / PLAN) if (model.checkpoint / PLAN).is_file() else {}
    if record.get("within_limit") != length_of(task.settings) or record["steps"] >= plan.steps:
        return plan  # no limit cut it, or another length is asked for now
    logger.info(
        "The learning rate is planned for %d of %d steps, which a time limit left time for when training began.",
        record["steps"], plan.steps,
    )  # fmt: skip
    return cut(plan, record["steps"])
