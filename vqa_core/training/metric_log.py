"""MetricLog: writes each line of metrics to metrics.jsonl, to the log and to the tracker."""

import json
import logging
import math
from typing import Any

from vqa_core.files import append_line, write_json_lines
from vqa_core.runs.metrics import read_metrics
from vqa_core.runs.run_dir import RunDir
from vqa_core.training.trackers import Tracker

logger = logging.getLogger("vqa")


class MetricLog:
    """The metrics of one training.

    Args:
        steps: steps of the whole training, which makes `epochs` passes over the images.
        after: the step that training continues from; lines of later steps are dropped, as they will be written again.
    """

    def __init__(self, run: RunDir, tracker: Tracker, steps: int, epochs: float, after: int) -> None:
        self.path, self.tracker, self.steps, self.epochs = run.metrics, tracker, steps, epochs
        kept = [row for row in read_metrics(self.path) if row["step"] <= after]
        write_json_lines(self.path, kept)
        self._seconds_before = max((row["seconds"] for row in kept), default=0.0)
        self._first: tuple[int, float] | None = None

    def write(self, step: int, seconds: float, values: dict[str, Any]) -> None:
        """Add a line: `step`, `epoch`, the values, and `seconds` of training so far, before a resume included.

        JSON has no NaN and no infinity: null stands for them.
        """
        epoch = round(self.epochs * step / self.steps, 4)
        known = {
            name: None if value != value or value in (math.inf, -math.inf) else value for name, value in values.items()
        }
        line = {"step": step, "epoch": epoch, **known, "seconds": round(self._seconds_before + seconds, 2)}
        append_line(self.path, json.dumps(line))
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
