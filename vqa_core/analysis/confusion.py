"""Confusion: which answer was given how often where which one is right."""

from dataclasses import dataclass

import numpy as np

from vqa_core.analysis.slicing import OTHER, Bools, Ints, Slicing


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows are right answers, columns given ones; `keys` (`key_of`) names both, the commonest first.

    Where there are more answers, `others` of them, OTHER is the last key and stands for them all; the cell where it
    meets itself counts wrong answers only.
    """

    keys: list[str]
    others: int
    cells: list[list[int]]


def confusion(wanted: Slicing, given: Slicing, at: Ints, most: int = 12) -> Confusion:
    """The matrix of the questions `at`, with some `most` answers apart; `wanted` and `given` have the same keys."""
    codes = wanted.codes[at], given.codes[at]
    counts = np.bincount(np.concatenate(codes), minlength=len(wanted.keys))
    ranked = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    shown = ranked if len(ranked) == most + 1 else ranked[:most]  # one alone needs no stand-in
    others = len(ranked) - len(shown)
    row = np.full(len(wanted.keys), len(shown))
    row[shown] = np.arange(len(shown))
    counted = (row[codes[0]] < len(shown)) | (codes[0] != codes[1])
    side = len(shown) + (others > 0)
    flat = np.bincount(row[codes[0]][counted] * side + row[codes[1]][counted], minlength=side * side)
    keys = [wanted.keys[code] for code in shown] + [OTHER] * (others > 0)
    return Confusion(keys, others, flat.reshape(side, side).tolist())


def in_cell(wanted: Slicing, given: Slicing, at: Ints, row: str, column: str) -> Bools:
    """Which questions lie in that row and column of the matrix of the questions `at`; "" stands for any."""
    mask = np.ones(len(given.codes), dtype=np.bool_)
    if OTHER in (row, column):
        apart = [key for key in confusion(wanted, given, at).keys if key != OTHER]
    for slicing, key in ((wanted, row), (given, column)):
        if key == OTHER:
            mask &= ~np.isin(slicing.codes, [slicing.keys.index(name) for name in apart])
        elif key:
            mask &= slicing.where(key)
    if row == column == OTHER:
        mask &= wanted.codes != given.codes
    return mask
