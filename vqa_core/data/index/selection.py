"""Selection: the images and questions that pass a filter, in pages, and the counts to show beside every filter.

A filter is a mask over the rows of the index, so counting takes milliseconds for any choice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

from vqa_core.data.index.index import Codes, DataIndex, Mask
from vqa_core.data.index.run_layer import LAYER_SPLITS, NO_RUN, RunLayer

FACETS = ("split", "type", "answer_type", "answer", "length", "tag", "finding")
PAGE = 24  # images
SHOWN = 50  # values of a facet, plus the chosen one

Counts = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for. None lets everything pass; a value that the dataset does not have lets nothing pass.

    `text` is as in `DataIndex.rows_with`. The others are the FACETS: `type` and `length` (a bucket) are the question's,
    `finding` is the code of a finding of the DataReport, `tag` and the split `val` belong to a run.
    """

    text: str = ""
    split: str | None = None
    type: str | None = None
    answer_type: str | None = None
    answer: str | None = None
    length: str | None = None
    tag: str | None = None
    finding: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """What passes a filter.

    Attributes:
        images: numbers of the images with a question that passes, ascending, (images,).
        first: the first row that passes, for each of these images, (images,).
        questions: the number of questions that pass.
        counts: facet -> its values, the most frequent first, each with the number of questions that have it and pass
            all the *other* filters; at most SHOWN of them, and the chosen one.
        more: facet -> the number of further values.
        per_image: number of questions of an image (passing or not) -> the number of such images.
    """

    images: NDArray[np.int32]
    first: NDArray[np.int32]
    questions: int
    counts: Mapping[str, Counts]
    more: Mapping[str, int]
    per_image: Mapping[int, int]

    @property
    def pages(self) -> int:
        """At least 1."""
        return max(1, -(-len(self.images) // PAGE))

    def page(self, number: int) -> tuple[int, list[int], list[int]]:
        """Page `number`, from 1, or the nearest page: its number, its images, and the first passing row of each."""
        number = min(max(1, number), self.pages)
        part = slice(PAGE * (number - 1), PAGE * number)
        return number, self.images[part].tolist(), self.first[part].tolist()

    def position(self, image: int) -> int | None:
        """The position of an image, from 0; None if it does not pass."""
        place = int(np.searchsorted(self.images, image))
        return place if place < len(self.images) and self.images[place] == image else None

    def beside(self, image: int, step: int) -> int | None:
        """The nearest image that passes after `image` (`step` 1) or before it (-1); None at the end."""
        place = int(np.searchsorted(self.images, image, side="right" if step > 0 else "left")) - (step < 0)
        return int(self.images[place]) if 0 <= place < len(self.images) else None


def select(index: DataIndex, wanted: Filter, layer: RunLayer = NO_RUN) -> Selection:
    """The selection of `index` that passes `wanted`; caches the last few."""
    return _select(index, replace(wanted, text=wanted.text.strip()), layer)


@lru_cache(maxsize=8)
def _select(index: DataIndex, wanted: Filter, layer: RunLayer) -> Selection:
    facets = _facets(index, layer)
    chosen = {name: value for name in FACETS if (value := getattr(wanted, name)) is not None}
    masks = {name: facets[name].having(value) for name, value in chosen.items()}
    if wanted.text:
        masks["text"] = _rows_with(index, wanted.text)

    def passing(*, but: str = "") -> Mask:
        others = [mask for name, mask in masks.items() if name != but]
        return reduce(np.logical_and, others, np.ones(index.rows, np.bool_))

    everything = passing()
    rows = np.flatnonzero(everything)
    image = index.columns["image"]
    starts = np.flatnonzero(np.diff(image[rows], prepend=-1))
    images = image[rows[starts]]
    sizes = np.bincount(np.bincount(image, minlength=index.images)[images])
    counted = {
        name: facet.counts(passing(but=name) if name in masks else everything, chosen.get(name))
        for name, facet in facets.items()
    }
    return Selection(
        images=images.astype(np.int32),
        first=rows[starts].astype(np.int32),
        questions=len(rows),
        counts={name: counts for name, (counts, _) in counted.items()},
        more={name: more for name, (_, more) in counted.items()},
        per_image={size: int(count) for size, count in enumerate(sizes) if count},
    )


@lru_cache(maxsize=8)
def _rows_with(index: DataIndex, text: str) -> Mask:
    return index.rows_with(text)


def _facets(index: DataIndex, layer: RunLayer) -> dict[str, "_Coded | _Sets"]:
    def coded(codes: Codes, labels: Sequence[str]) -> _Coded:
        places = {label: code for code, label in enumerate(labels)}
        return _Coded(codes, places.get, lambda codes: {code: labels[code] for code in codes})

    return {
        "split": coded(layer.splits(index), LAYER_SPLITS),
        **{name: coded(index.columns[name], index.labels[name]) for name in ("type", "answer_type", "length")},
        "answer": _Coded(index.columns["answer"], index.number_of, index.texts_of),
        "tag": _Sets(layer.tags, index.rows),
        "finding": _Sets(index.findings, index.rows),
    }


@dataclass(frozen=True, slots=True)
class _Coded:
    """A facet with one value per row, stored as a code; -1 means none."""

    codes: Codes
    code_of: Callable[[str], int | None]
    texts_of: Callable[[Sequence[int]], Mapping[int, str]]

    def having(self, value: str) -> Mask:
        code = self.code_of(value)
        return np.zeros(len(self.codes), np.bool_) if code is None else self.codes == code

    def counts(self, rows: Mask, chosen: str | None) -> tuple[Counts, int]:
        """The most frequent values, and the number of further ones."""
        sizes = np.bincount(self.codes[rows].astype(np.int64) + 1)[1:]
        codes = [int(code) for code in np.argsort(-sizes, kind="stable")[:SHOWN] if sizes[code]]
        texts = self.texts_of(codes)
        shown = [(texts[code], int(sizes[code])) for code in codes]
        more = int(np.count_nonzero(sizes)) - len(shown)
        if chosen is not None and chosen not in texts.values():
            size = int(np.count_nonzero(rows & self.having(chosen)))
            shown.append((chosen, size))
            more -= size > 0
        return shown, more


@dataclass(frozen=True, slots=True)
class _Sets:
    """A facet with any number of values per row."""

    rows_by_value: Mapping[str, Mask]
    rows: int

    def having(self, value: str) -> Mask:
        return self.rows_by_value.get(value, np.zeros(self.rows, np.bool_))

    def counts(self, rows: Mask, chosen: str | None) -> tuple[Counts, int]:
        """All values, since there are few."""
        sizes = {name: int(np.count_nonzero(which & rows)) for name, which in self.rows_by_value.items()}
        return [(name, size) for name, size in sizes.items() if size or name == chosen], 0
