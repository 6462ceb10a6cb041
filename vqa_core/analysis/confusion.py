"""Confusion matrix: how often each answer was given where each answer is right."""

from dataclasses import dataclass

import numpy as np

from vqa_core.analysis.slicing import OTHER, Bools, Ints, Slicing


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows are right answers, columns given answers; `keys` (`key_of`) names both, the most frequent first.

    If there are more answers than keys, the last key is OTHER and stands for the remaining `others`; the cell where it
    meets itself counts wrong answers only.
    """

    keys: list[str]
    others: int
    cells: list[list[int]]


def confusion(wanted: Slicing, given: Slicing, at: Ints, most: int = 12) -> Confusion:
    """The matrix of the questions `at`, with about `most` answers of its own; `wanted` and `given` share their keys."""
    codes = wanted.codes[at], given.codes[at]
    counts = np.bincount(np.concatenate(codes), minlength=len(wanted.keys))
    ranked = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    shown = ranked if len(ranked) == most + 1 else ranked[:most]  # OTHER would stand for one answer only
    others = len(ranked) - len(shown)
    row = np.full(len(wanted.keys), len(shown))
    row[shown] = np.arange(len(shown))
    counted = (row[codes[0]] < len(shown)) | (codes[0] != codes[1])
    side = len(shown) + (others > 0)
    flat = np.bincount(row[codes[0]][counted] * side + row[codes[1]][counted], minlength=side * side)
    keys = [wanted.keys[code] for code in shown] + [OTHER] * (others > 0)
    return Confusion(keys, others, flat.reshape(side, side).tolist())


def in_cell(wanted: Slicing, given: Slicing, at: Ints, row: str, column: str) -> Bools:
    """Mask of the questions in that row and column of the matrix of the questions `at`, (n,); "" means any."""
    mask = np.ones(len(given.codes), dtype=np.bool_)
    if OTHER in (row, column):
        named = [key for key in confusion(wanted, given, at).keys if key != OTHER]
    for slicing, key in ((wanted, row), (given, column)):
        if key == OTHER:
            mask &= ~np.isin(slicing.codes, [slicing.keys.index(name) for name in named])
        elif key:
            mask &= slicing.where(key)
    if row == column == OTHER:
        mask &= wanted.codes != given.codes
    return mask
