"""Watch a predictions file grow: the number of its answers and the newest ones, without reading it all.

A command appends whole lines to the file. Each call here costs little more at the hundred-thousandth line than at the
first, so the page can call every second.
"""

import json
import mmap
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from vqa_core.files import stamp_of
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction

TAIL_BYTES = 32_768


def count_lines(path: Path) -> int:
    """The number of whole lines in a file; 0 if it is missing."""
    try:
        return _count_lines(path, *stamp_of(path))
    except FileNotFoundError:
        return 0


def newest_predictions(path: Path, count: int) -> list[Prediction]:
    """The last `count` predictions of a file, newest first, as far as its last 32 KB hold them.

    Skips lines that are torn or not predictions: `read_predictions` reports those.
    """
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
            file.seek(start)
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    newest: list[Prediction] = []
    for line in reversed(lines[1:] if start else lines):
        if len(newest) == count:
            break
        try:
            newest.append(Prediction(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return newest


def examples_by_id(path: Path, question_ids: Iterable[str]) -> dict[str, Example]:
    """The examples of these ids in a file of `write_examples`, by id; without those that it lacks."""
    try:
        stamp = stamp_of(path)
        examples = {question_id: _find_example(path, *stamp, question_id) for question_id in question_ids}
    except FileNotFoundError:
        return {}
    return {question_id: example for question_id, example in examples.items() if example is not None}


@lru_cache(maxsize=64)
def _count_lines(path: Path, _changed_ns: int, _size: int) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


@lru_cache(maxsize=4096)
def _find_example(path: Path, _changed_ns: int, _size: int, question_id: str) -> Example | None:
    text = json.dumps({"question_id": question_id}, ensure_ascii=False)[:-1] + ","
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = data.find(text.encode("utf-8", "replace"))
            if start < 0:
                return None
            data.seek(start)
            return Example.from_dict(json.loads(data.readline()))
    except (ValueError, TypeError):  # mmap refuses empty files; a foreign line is not an example
        return None
