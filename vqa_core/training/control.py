"""TrainingControl: when a training saves, validates and stops, besides the steps that its settings name."""

import logging
import signal
import time
from types import FrameType
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger("vqa")


class TrainingControl(TrainerCallback):  # type: ignore[misc]
    """Saves and stops on SIGTERM or Ctrl-C; validates, saves and stops at the time limit and at the last step.

    Every validated step becomes a checkpoint. If one of several processes gets a signal, all of them stop.
    `asked_to_stop` is up to date after each step.
    """

    def __init__(self, deadline: float | None, validates: bool) -> None:
        self.deadline, self.validates = deadline, validates
        self.asked_to_stop = False
        self._signalled = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "TrainingControl":
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # in another thread than the main one, whose program handles signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: FrameType | None) -> None:
        logger.info("Got %s: finishing this step, then saving.", signal.Signals(number).name)
        self._signalled = True

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """A resumed training logs, validates and saves as often as it is asked to now, not as its checkpoint was."""
        state.compute_steps(args, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        late = self.deadline is not None and time.monotonic() > self.deadline
        self.asked_to_stop, late = _any_process(args.device, self._signalled, late)
        if late:
            logger.info("The time limit is reached at step %d of %d.", state.global_step, state.max_steps)
        last = state.global_step >= state.max_steps  # then training is finished, even if it was asked to stop
        control.should_evaluate |= self.validates and (last or (late and not self.asked_to_stop))
        control.should_save |= last or late or self.asked_to_stop
        control.should_training_stop |= late or self.asked_to_stop

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        control.should_save = True


def _any_process(device: torch.device, *flags: bool) -> tuple[bool, ...]:
    """The flags, each true if it is true in any process. Processes that disagreed would wait for each other."""
    if not distributed.is_initialized():
        return flags
    shared = torch.tensor([int(flag) for flag in flags], device=device)
    distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
    return tuple(bool(flag) for flag in shared.tolist())
