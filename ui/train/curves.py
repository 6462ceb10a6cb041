"""Curves of a training: loss, learning rate and validation accuracy by step, from metrics.jsonl as it grows.

Every value is drawn as a point. Where there are thousands, the lowest and the highest of each stretch are kept, so that
no spike is lost, and the note below says so.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ui.components.parts import Drawn
from ui.components.words import Words
from vqa_core.files import stamp_of
from vqa_core.runs.run_dir import RunDir

DRAWN = 400  # points of a curve
CURVES = ("loss", "rate", "accuracy")

Point = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Curves:
    """What metrics.jsonl holds by now: (step, value), and of accuracies the questions answered.

    `lost` are values that are no finite numbers, such as a loss of NaN, by step; `seconds` is the training's time.
    """

    loss: tuple[Point, ...] = ()
    rate: tuple[Point, ...] = ()
    accuracy: tuple[Point, ...] = ()
    questions: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    seconds: float = 0.0

    @property
    def last_step(self) -> int:
        return max((points[-1][0] for points in (self.loss, self.accuracy) if points), default=0)


def read_curves(run: RunDir) -> Curves:
    """The run's curves; empty where it has no metrics. A line that is torn or not valid is skipped."""
    return _read(run.metrics, *stamp_of(run.metrics))


def stamp_curves(run: RunDir) -> str:
    """Changes whenever `read_curves` may give something else."""
    return ":".join(map(str, (run.metrics, *stamp_of(run.metrics))))


@lru_cache(maxsize=8)
def _read(path: Path, _changed: int, _size: int) -> Curves:
    values: dict[str, list[Point]] = {"loss": [], "learning_rate": [], "eval_accuracy": []}
    questions: list[int] = []
    lost: list[int] = []
    seconds = 0.0
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return Curves()
    for line in lines:
        try:
            row = json.loads(line)
            step, found = int(row["step"]), {name: _number(row[name]) for name in values if name in row}
            seconds = max(seconds, float(row.get("seconds", 0.0)))
            number = int(row.get("eval_questions", 0))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        for name, value in found.items():
            if not math.isfinite(value):
                lost.append(step)
                continue
            values[name].append((step, value))
            if name == "eval_accuracy":
                questions.append(number)
    return Curves(
        tuple(values["loss"]), tuple(values["learning_rate"]), tuple(values["eval_accuracy"]), tuple(questions),
        tuple(lost), seconds,
    )  # fmt: skip


def _number(value: Any) -> float:
    """A value of metrics.jsonl; null stands for a number that was not finite."""
    return math.nan if value is None else float(value)


def thin(points: Sequence[Point], most: int = DRAWN) -> list[Point]:
    """At most `most` points: first and last, and of each stretch the lowest and the highest, in order."""
    if len(points) <= most:
        return list(points)
    inner, stretches = points[1:-1], (most - 2) // 2
    kept: list[Point] = [points[0]]
    for number in range(stretches):
        part = inner[number * len(inner) // stretches : (number + 1) * len(inner) // stretches]
        ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]


def draw_curves(t: Words, curves: Curves, steps: int) -> Drawn:
    """The widgets of CURVES; `steps` is where the training ends."""
    x_max = max(steps, curves.last_step)
    values: Drawn = {
        "loss": {"points": thin(curves.loss), "note": _note(t, curves.loss, curves.lost), "log": t("train.log")},
        "rate": {"points": thin(curves.rate), "note": _note(t, curves.rate, ())},
        "accuracy": {
            "points": list(curves.accuracy),
            "spans": [interval(share, n) for (_, share), n in zip(curves.accuracy, curves.questions)],
            "y_max": 1,
            "percent": True,
            "note": _accuracy_note(t, curves),
        },
    }
    axes = {"x_title": t("train.step"), "x_max": x_max}
    return {
        name: {"title": t(f"train.{name}"), "empty": t(f"train.no_{name}"), **axes, **value}
        for name, value in values.items()
    }


def interval(share: float, n: int) -> tuple[float, float]:
    """95 % of a share of `n` questions taken as independent (Wilson, 1927); (0, 1) of none."""
    if n <= 0:
        return 0.0, 1.0
    z2 = 1.959964**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _note(t: Words, points: Sequence[Point], lost: Sequence[int]) -> str:
    if not points and not lost:
        return ""
    parts = [t("train.newest", value=f"{points[-1][1]:.4g}", step=f"{points[-1][0]:,}")] if points else []
    if len(points) > DRAWN:
        parts.append(t("train.thinned", drawn=f"{DRAWN:,}", points=f"{len(points):,}"))
    if lost:
        parts.append(t("train.not_finite", count=len(lost), step=f"{lost[0]:,}"))
    return " ".join(parts)


def _accuracy_note(t: Words, curves: Curves) -> str:
    if not curves.accuracy:
        return ""
    at = max(range(len(curves.accuracy)), key=lambda index: (curves.accuracy[index][1], index))
    (step, share), n = curves.accuracy[at], curves.questions[at]
    low, high = interval(share, n)
    shares = {name: f"{100 * value:.1f}%" for name, value in (("share", share), ("low", low), ("high", high))}
    return t("train.best", step=f"{step:,}", n=f"{n:,}", **shares)
