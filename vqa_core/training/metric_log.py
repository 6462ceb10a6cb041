"""MetricLog: writes each line of metrics to metrics.jsonl, to the log and to the tracker."""

import errno
import json
import logging
import math
import os
from pathlib import Path
from typing import Any

from vqa_core.files import write_json_lines
from vqa_core.runs.metrics import read_metrics
from vqa_core.runs.run_dir import RunDir
from vqa_core.space import disk_error
from vqa_core.training.saving import validation_due, validation_of
from vqa_core.training.trackers import Tracker

logger = logging.getLogger("vqa")


class MetricLog:
    """The metrics of one training.

    Args:
        steps: steps of the whole training, which makes `epochs` passes over the images.
        after: the step that training continues from; lines of later steps are dropped, as they will be written again.
        checkpoint: the checkpoint of that step, which tells whether its validation is written again, too.
    """

    def __init__(
        self, run: RunDir, tracker: Tracker, steps: int, epochs: float, after: int, checkpoint: Path | None = None
    ) -> None:
        self.path, self.tracker, self.steps, self.epochs = run.metrics, tracker, steps, epochs
        found = validation_of(checkpoint) if checkpoint else None
        again = checkpoint is not None and found is None and validation_due(checkpoint)
        kept = [row for row in read_metrics(self.path) if row["step"] <= after]
        kept = [row for row in kept if not (again and row["step"] == after and "eval_accuracy" in row)]
        write_json_lines(self.path, kept)
        self._seconds_before = max((row["seconds"] for row in kept), default=0.0)
        self._first: tuple[int, float] | None = None
        if found and not any(row["step"] == after and "eval_accuracy" in row for row in kept):  # killed in between
            self.write(after, 0.0, {f"eval_{name}": value for name, value in found.items()})

    def write(self, step: int, seconds: float, values: dict[str, Any]) -> None:
        """Add a line: `step`, `epoch`, the values, and `seconds` of training so far, before a resume included.

        JSON has no NaN and no infinity: null stands for them. Raises InputError where the drive is full.
        """
        epoch = round(self.epochs * step / self.steps, 4)
        known = {
            name: None if value != value or value in (math.inf, -math.inf) else value for name, value in values.items()
        }
        line = {"step": step, "epoch": epoch, **known, "seconds": round(self._seconds_before + seconds, 2)}
        self._append((json.dumps(line) + "\n").encode())
        self.tracker.log(line, step)
        if "eval_accuracy" in line:
            accuracy, questions = line["eval_accuracy"], line["eval_questions"]
            logger.info("step %d: validation accuracy %.4f (%d questions)", step, accuracy, questions)
        elif "loss" in line:
            self._first = self._first or (step, seconds)
            rate = (step - self._first[0]) / max(seconds - self._first[1], 1e-9)
            left = f", {rate:.3f} steps/s, {(self.steps - step) / rate / 60:.1f} min left" if rate else ""
            shown = f"loss {values['loss']:.4f}, learning rate {line['learning_rate']:.2e}{left}"
            logger.info("step %d of %d: %s", step, self.steps, shown)  # progress.py reads this line

    def _append(self, line: bytes) -> None:
        """Write a whole line or nothing."""
        try:
            with self.path.open("ab", buffering=0) as file:
                before = file.seek(0, os.SEEK_END)
                if file.write(line) < len(line):
                    file.truncate(before)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise disk_error(self.path, error, len(line)) from error
