"""Divergence: a step whose loss or gradient is no finite number is not applied; too many in a row end the training."""

import logging
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from vqa_core.commands import shell_word
from vqa_core.files import InputError
from vqa_core.runs.checkpoints import set_aside, steps_below

logger = logging.getLogger("vqa")


class StepHealth:
    """Which steps of a training gave finite numbers.

    Gradients are averaged over processes, so their norm, and with it every decision here, is the same in all of them.

    Args:
        patience: so many steps in a row that are not applied end the training.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.in_a_row = 0
        self._loss: float | None = None  # the first loss of this step that is not finite
        self._seen = self._skipped = 0  # steps since the last line of metrics
        self._last = (0, 0.0)  # step and gradient norm of the newest step that was not applied

    def see_loss(self, loss: Tensor) -> Tensor:
        """A batch's loss as it may be summed: 0 in place of one that is not finite, which is remembered."""
        value = float(loss)
        if math.isfinite(value):
            return loss
        self._loss = value if self._loss is None else self._loss
        return loss.new_zeros(loss.shape)

    def see_step(self, step: int, gradient_norm: float) -> bool:
        """Whether step `step`, whose gradient is complete, may be applied."""
        loss, self._loss = self._loss, None
        self._seen += 1
        if math.isfinite(gradient_norm):
            self.in_a_row = 0
            return True
        self._skipped += 1
        self.in_a_row += 1
        self._last = (step, gradient_norm)
        logger.warning(
            "step %d: the loss is %s and the norm of its gradient %s; the step is not applied (%d in a row, %d end the "
            "training).", step, "finite" if loss is None else loss, gradient_norm, self.in_a_row, self.patience,
        )  # fmt: skip
        return False

    def see_empty_step(self) -> None:
        """A step without a picture that could be read: nothing of it is applied."""
        self._seen += 1
        self._skipped += 1

    def describe(self, logs: dict[str, Any]) -> dict[str, Any]:
        """A line of metrics whose loss is the mean over the steps since the last line that were applied; NaN if none
        was. `skipped_steps` counts the others, where there are any."""
        seen, skipped, self._seen, self._skipped = self._seen, self._skipped, 0, 0
        if not skipped:
            return logs
        applied = seen - skipped
        return logs | {"loss": logs["loss"] * seen / applied if applied else math.nan, "skipped_steps": skipped}

    def diverged(self, checkpoints: Path, rate: float, weights: str = "") -> InputError:
        """The error that ends a training, with what is left of it in the folder `checkpoints`.

        `weights` names a weight that is not finite, if one was found.
        """
        step, norm = self._last
        kept = steps_below(checkpoints)
        start = f"begin a new run with --init-from {shell_word(kept[-1][1])}" if kept else "begin again with --restart"
        what = (
            f"the weights are not finite numbers any more, {weights} among them"
            if weights
            else f"the loss or its gradient was not a finite number at step {step} (in a row: {self.in_a_row}, "
            f"gradient norm: {norm})"
        )
        return InputError(
            f"The training diverged: {what}. The learning rate was {rate:.1e}. No model was written. Lower "
            f"--learning-rate, keep --max-grad-norm at 1 or use --precision fp32, and {start}."
        )


def drop_unproven(checkpoints: Path, last_good: int) -> None:
    """Set aside the checkpoint of the last step that was applied: its weights gave no finite loss."""
    for step, path in steps_below(checkpoints):
        if step >= last_good:
            logger.warning("%s gives no finite loss; it is set aside as %s.", path, set_aside(path).name)
