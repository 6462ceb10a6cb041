"""TrainingControl: when a training saves, validates and stops, besides the steps that its settings name."""

import logging
import time
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vqa_core.stops import Stops

logger = logging.getLogger("vqa")


class TrainingControl(TrainerCallback):  # type: ignore[misc]
    """Saves and stops after the step in which a stop is asked for; validates, too, at the time limit and the last step.

    If one of several processes is asked, all of them stop. `asked_to_stop` is up to date after each step.
    """

    def __init__(self, stops: Stops, deadline: float | None, validates: bool) -> None:
        self.stops, self.deadline, self.validates = stops, deadline, validates
        self.asked_to_stop = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """A resumed training logs, validates and saves as often as it is asked to now, not as its checkpoint was."""
        state.compute_steps(args, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        late = self.deadline is not None and time.monotonic() > self.deadline
        self.asked_to_stop, late = any_process(args.device, self.stops.asked is not None, late)
        if self.asked_to_stop:
            self.stops.ask()
            late = False
        if late:
            logger.info("The time limit is reached at step %d of %d.", state.global_step, state.max_steps)
        last = state.global_step >= state.max_steps
        control.should_evaluate |= self.validates and (last or late)
        control.should_save |= last or late or self.asked_to_stop
        control.should_training_stop |= late or self.asked_to_stop


def any_process(device: torch.device, *flags: bool) -> tuple[bool, ...]:
    """The flags, each true if it is true in any process. Processes that disagreed would wait for each other."""
    if not distributed.is_initialized():
        return flags
    shared = torch.tensor([int(flag) for flag in flags], device=device)
    distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
    return tuple(bool(flag) for flag in shared.tolist())
