"""Which reader takes a JSON file: decided by its content, never by its name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqa_core.data.formats.layouts.json_values import read_values
from vqa_core.data.formats.layouts.reader import LayoutReader
from vqa_core.data.formats.layouts.records import Row, tables_of
from vqa_core.data.formats.layouts.table import FLAT, LAYOUTS, is_llava_question, layout_of, nearest_layout
from vqa_core.data.formats.llava import read_conversation_records, read_question_records
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.formats.turns import turns_of
from vqa_core.data.formats.vqav2 import VqaFiles, read_vqav2
from vqa_core.files import InputError, named

NAMES = ("LLaVA", "VQA", *(layout.name for layout in LAYOUTS), FLAT)
"""The formats that a file is compared with. The first two have readers of their own."""


def read_files(paths: Sequence[Path], images: Path, role: str) -> dict[str, SplitData]:
    """Read each file by its content; return the questions by split: `train`, `val`, `test`.

    `images` is the folder of their pictures. `role` is the split of the files. If it is `train`, files and records that
    name another split belong to that. Raises InputError for an unknown format, and for questions to train on that have
    no answers.
    """
    if not images.is_dir():
        raise InputError(f"--images {images} is not a folder. Name the folder that the images' paths are relative to.")
    found: dict[str, SplitData] = {}
    vqa = VqaFiles()
    for path in paths:
        content, encoding = read_values(path)
        if not encoding.startswith("utf-8"):
            found.setdefault(role, SplitData()).note(f"files decoded as {encoding}", str(path))
        tables = [rows for rows in tables_of(content) if rows]
        if _is_empty(content):
            continue
        if sum(vqa.take(path, rows) for rows in tables):
            continue
        for split, data in _read(path, content, tables, images, role).items():
            found.setdefault(split, SplitData()).add(data)
    for split, data in read_vqav2(vqa, images, role).items():
        found.setdefault(split, SplitData()).add(data)
    if not any(data.examples or data.left_out for data in found.values()):
        raise InputError(f"{', '.join(map(str, paths[:3]))}: no question found. Name a file with questions.")
    return found


def _read(path: Path, content: Any, tables: Sequence[Sequence[Row]], images: Path, role: str) -> dict[str, SplitData]:
    for rows in tables:
        records = [row.record for row in rows]
        if any(turns_of(record) is not None for record in records):
            return {role: read_conversation_records(records, str(path), images)}
        if 2 * sum(map(is_llava_question, rows)) >= len(rows):
            if role == "train":
                raise _unanswered(path, rows)
            return {role: read_question_records(records, str(path), images)}
        layout = layout_of(rows)
        if layout:
            found = LayoutReader(path, images, role).read(rows, layout)
            to_train = found.get("train", SplitData()).examples
            if role == "train" and to_train and all(row.answer is None for row in to_train):
                raise _unanswered(path, rows)
            return found
    raise _refusal(path, content, tables)


def _is_empty(content: Any) -> bool:
    """Whether there is nothing in a list, or in the lists of an object."""
    return not content or (isinstance(content, dict) and all(value in ([], {}) for value in content.values()))


def _unanswered(path: Path, rows: Sequence[Row]) -> InputError:
    return InputError(
        f"{path} holds questions without answers; their keys are {_keys(rows)}. Pass it with --test-data. If one of "
        "the keys does hold the answers, rename it to 'answer'."
    )


def _refusal(path: Path, content: Any, tables: Sequence[Sequence[Row]]) -> InputError:
    rows = max(tables, key=len, default=[])
    if not any(isinstance(row.record, dict) for row in rows):
        return InputError(
            f"{path} holds no objects with keys, but {str(content)[:80]!r}. Name a file that has an object with image, "
            "question and answer for each question."
        )
    name, count, lacking = nearest_layout(rows)
    return InputError(
        f"{path} is in no format that is read here ({', '.join(NAMES)}). The nearest is {name}: {count:,} of "
        f"{len(rows):,} records have no {named([need.replace('|', ' or ') for need in lacking])}; their keys are "
        f"{_keys(rows)}. Rename the keys, or leave this file out."
    )


def _keys(rows: Sequence[Row]) -> str:
    """The keys of the rows, each once."""
    return named(
        list(dict.fromkeys(key for row in rows if isinstance(row.record, dict) for key in row.record)), most=12
    )
