"""What spreadsheets do to ids: `202311150000` becomes `2.02311E+11`, `00017` becomes `17` or `17.0`."""

import re
from collections.abc import Callable, Iterable, Sequence

_ROUNDED = re.compile(r"\s*[+-]?\d(?:[.,]\d*)?[eE]\+\d{1,3}\s*")


def rounded_ids(ids: Sequence[str]) -> list[str]:
    """The ids that a spreadsheet has rounded, each with its row: `row 3: '2.02311E+11'`."""
    return [f"row {row}: {text!r}" for row, text in enumerate(ids, start=1) if _ROUNDED.fullmatch(text)]


def pairs_without_zeros(ids: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """(id, other) that are the same number, but for leading zeros or `.0` in one of them."""
    return _pairs(ids, others, lambda text: re.sub(r"\.0+$", "", text.strip()).lstrip("0") or "0")


def pairs_but_for_case(ids: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """(id, other) that differ in case and in blanks at the ends only."""
    return _pairs(ids, others, lambda text: text.strip().casefold())


def _pairs(ids: Iterable[str], others: Iterable[str], plain: Callable[[str], str]) -> list[tuple[str, str]]:
    known = {plain(text): text for text in others}
    return [(text, known[plain(text)]) for text in ids if known.get(plain(text), text) != text]
