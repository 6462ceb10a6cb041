"""How fast a training went, by the lines of its metrics.jsonl."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any


def seconds_per_step(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """The mean seconds of a step between each two consecutive lines that have a loss.

    A line of a validation has none, so its time is left out. Raises KeyError or TypeError for lines of another kind.
    """
    found = []
    for before, after in pairwise(rows):
        if "loss" in before and "loss" in after:
            steps, seconds = after["step"] - before["step"], after["seconds"] - before["seconds"]
            if steps > 0 and seconds > 0:
                found.append(seconds / steps)
    return found
