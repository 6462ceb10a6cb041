"""RunLayer: what a run adds to the rows of its dataset: its validation split and its tags; and its predictions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vqa_core.data.index.index import SPLITS, Codes, DataIndex, Mask, Question
from vqa_core.files import read_json_lines, stamp_of
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.tags import TAGS, Tags

VAL = "val"
LAYER_SPLITS = SPLITS


@dataclass(frozen=True, eq=False, slots=True)
class RunLayer:
    """The rows of an index that a run holds out for validation, ascending, and tag -> mask of its rows, (rows,)."""

    val: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    tags: Mapping[str, Mask] = field(default_factory=dict)

    def splits(self, index: DataIndex) -> Codes:
        """Each row's position in LAYER_SPLITS, (rows,)."""
        codes = index.columns["split"].copy()
        codes[self.val] = LAYER_SPLITS.index(VAL)
        return codes

    def split_of(self, question: Question) -> str:
        """`train`, `val` or `test`."""
        place = int(np.searchsorted(self.val, question.row))
        return VAL if place < len(self.val) and self.val[place] == question.row else question.split

    def tags_of(self, question: Question) -> list[str]:
        """The tags of a question."""
        return [tag for tag, rows in self.tags.items() if rows[question.row]]


NO_RUN = RunLayer()


def layer_of(run: RunDir, index: DataIndex) -> RunLayer:
    """What `run` adds to `index`; reads the run's files again only when they have changed.

    A run that holds nothing out, or was prepared from other data, adds nothing. Raises InputError if a file of the run
    is malformed.
    """
    return _layer(run, index, stamp_of(run.val), stamp_of(run.tags))


@lru_cache(maxsize=4)
def _layer(run: RunDir, index: DataIndex, _val: tuple[int, int], _tags: tuple[int, int]) -> RunLayer:
    held_out = [str(row.get("question_id")) for row in read_json_lines(run.val)] if run.val.is_file() else []
    masks: dict[str, Mask] = {}
    for split in ("train", "test"):
        by_tag: dict[str, list[str]] = {}
        for question_id, names in Tags(run, split).read().items():
            for name in names:
                by_tag.setdefault(name, []).append(question_id)
        for name, ids in by_tag.items():
            mask = masks.setdefault(name, np.zeros(index.rows, np.bool_))
            mask[index.rows_of(ids, test=split == "test")] = True
    order = [*TAGS, *(name for name in masks if name not in TAGS)]
    return RunLayer(index.rows_of(held_out), {name: masks[name] for name in order if name in masks})


def find_predictions(path: Path, question_ids: Sequence[str]) -> dict[str, Prediction]:
    """The answers to some questions in a predictions file, if any; the first, if there are several.

    Caches nothing, so the file may be of any size and still growing; a missing file has no answers.
    """
    data = path.read_bytes() if path.is_file() else b""
    predictions: dict[str, Prediction] = {}
    for question_id in question_ids:
        # vqa_core.runs.predictions writes the id at the head of its line, unescaped
        head = f'{{"question_id": {json.dumps(question_id, ensure_ascii=False)}, '.encode("utf-8", "surrogatepass")
        start = data.find(head)
        end = data.find(b"\n", start)
        if start < 0 or end < 0:
            continue  # missing, or its line is still being written
        try:
            predictions[question_id] = Prediction(**json.loads(data[start:end]))
        except (ValueError, TypeError):
            continue
    return predictions
