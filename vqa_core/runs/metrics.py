"""The lines of a training's metrics.jsonl, and its speed."""

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from vqa_core.files import InputError, read_json_lines


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, none where there is no file; without a last one that a kill or a full drive tore.

    Raises InputError for any other line that is not valid.
    """
    if not path.is_file():
        return []
    try:
        return list(read_json_lines(path))
    except InputError:
        rows = _whole_lines(path.read_bytes().rpartition(b"\n")[0])
        if not rows:
            raise
        return rows


def _whole_lines(data: bytes) -> list[dict[str, Any]]:
    """The objects in the lines; none if a line is not one."""
    try:
        rows = [json.loads(line) for line in data.splitlines() if line.strip()]
    except ValueError:
        return []
    return rows if all(isinstance(row, dict) for row in rows) else []


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
