"""Lengths: about how many tokens the questions of each training row have, counted without a tokeniser.

Another process reads large files: the lengths of 360,000 rows take 8 MB, reading the rows takes over 100 MB.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from vqa_core.apart import run_apart
from vqa_core.config import CHOICE_INSTRUCTION, DataSettings
from vqa_core.data.competition import read_competition
from vqa_core.data.index.index import NONE, SPLITS, open_index
from vqa_core.data.prepare import column_map
from vqa_core.data.report import usable
from vqa_core.files import stamp_of
from vqa_core.runs.examples import Example, choose_val_images, iterate_examples, split_by_image
from vqa_core.runs.run_dir import RunDir

_WORDS = re.compile(r"\w+|[^\w\s]")
_AROUND = 3  # tokens around a question and its answer
_OF_CHOICE = 3  # tokens of an option beside its text: its letter, a full stop, the end of the line

Lengths = tuple[tuple[int, ...], ...]
"""For each training row (image), the tokens of each of its questions."""


def lengths_of(examples: Iterable[Example]) -> Lengths:
    """The lengths of training rows, counting one token per word or sign; a test checks how far off that is."""
    groups: dict[str, list[int]] = {}
    for e in examples:
        length = _words(e.question) + _words(e.answer or "") + _AROUND
        groups.setdefault(e.image or e.image_id, []).append(length + _words_of_choices(e.choices))
    return tuple(map(tuple, groups.values()))


def lengths_of_run(run: RunDir) -> Lengths:
    """The lengths of a prepared run; an InputError if the run is not prepared."""
    if not run.train.is_file():
        run.examples("train")  # raises the error
    return _of_file(run.train, *stamp_of(run.train))


def lengths_of_data(root: Path, settings: DataSettings) -> Lengths:
    """The lengths that the competition folder `root` would have once prepared.

    Images are not opened: damaged ones count, and copies under several names may be split otherwise.
    """
    return _of_data(root, settings, *stamp_of(root / "train.csv"))


def lengths_of_index(path: Path, val_fraction: float, split_seed: int) -> Lengths:
    """`lengths_of_data` for the data and columns of the index at `path`, read from the index alone.

    If two image ids name one file, the index has one of them, so the split may differ by that image.
    """
    return _of_index(path, val_fraction, split_seed, *stamp_of(path))


@lru_cache(maxsize=8)
def _of_file(path: Path, _changed: int, size: int) -> Lengths:
    return run_apart(_read_file, path, size=size)


@lru_cache(maxsize=4)
def _of_data(root: Path, settings: DataSettings, _changed: int, size: int) -> Lengths:
    return run_apart(_read_data, root, settings, size=size)


@lru_cache(maxsize=2)
def _of_index(path: Path, val_fraction: float, split_seed: int, _changed: int, size: int) -> Lengths:
    return run_apart(_read_index, path, val_fraction, split_seed, size=size)


def _read_file(path: Path) -> Lengths:
    return lengths_of(iterate_examples(path))


def _read_data(root: Path, settings: DataSettings) -> Lengths:
    competition = read_competition(
        root, column_map(settings), splits=("train", "val"), answer_form=settings.answer_form
    )
    rows = usable(competition.train, {})
    if usable(competition.val, {}):
        return lengths_of(rows)
    return lengths_of(split_by_image(rows, settings.val_fraction, settings.split_seed)[0])


def _read_index(path: Path, val_fraction: float, split_seed: int) -> Lengths:
    index = open_index(path)
    words = np.zeros(index.texts + 1, dtype=np.int64)  # the last, number -1, is for answers that are not known
    given = np.zeros(index.texts + 1, dtype=np.bool_)
    of_choices = np.zeros(index.texts + 1, dtype=np.int64)
    listed = index.columns.get("choices", np.full(index.rows, NONE))  # numbers of texts that are JSON lists
    lists = set(np.unique(listed).tolist())
    for number, text in index.each_text():
        words[number], given[number] = _words(text), bool(text.strip())
        if number in lists:
            of_choices[number] = _words_of_choices(json.loads(text))
    ids = dict(index.each_image_with_a_file())
    image, answer = index.columns["image"], index.columns["answer"]
    kept = given[answer] & (index.columns["split"] == SPLITS.index("train"))
    kept &= np.isin(image, np.fromiter(ids, dtype=np.int64, count=len(ids)))
    held_out = bool((index.columns["split"] == SPLITS.index("val")).any())  # by the source
    image_ids = set() if held_out else {ids[number] for number in np.unique(image[kept]).tolist()}
    left_out = choose_val_images(image_ids, val_fraction, split_seed)
    groups: dict[int, list[int]] = {}
    lengths = words[index.columns["question"][kept]] + words[answer[kept]] + of_choices[listed[kept]] + _AROUND
    for number, length in zip(image[kept].tolist(), lengths.tolist()):
        if ids[number] not in left_out:
            groups.setdefault(number, []).append(length)
    return tuple(map(tuple, groups.values()))


def _words_of_choices(choices: Sequence[str]) -> int:
    """The words of the options' lines, and of the sentence behind them."""
    return sum(_OF_CHOICE + _words(choice) for choice in choices) + (_words(CHOICE_INSTRUCTION) if choices else 0)


def _words(text: str) -> int:
    return len(_WORDS.findall(text))
