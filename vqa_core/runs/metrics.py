"""The speed of a training, from the lines of its metrics.jsonl."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any


def seconds_per_step(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """The mean seconds per step between each two consecutive lines with a loss.

    Lines of a validation have none, so its time does not count. Raises KeyError or TypeError for lines of another kind.
    """
    paces = []
    for before, after in pairwise(rows):
        if "loss" in before and "loss" in after:
            steps, seconds = after["step"] - before["step"], after["seconds"] - before["seconds"]
            if steps > 0 and seconds > 0:
                paces.append(seconds / steps)
    return paces
