"""The character that separates the fields of a table, found from its header and its first rows."""

import contextlib
import csv
import io
import re

from vqa_core.data.columns.column_names import fields_named

SEPARATORS = ",;\t|"
_HEAD = 1 << 16  # characters that are looked at
_SAID = re.compile(r'[ \t]*"?sep=(.)"?[,;\t| ]*(?:\r\n|\r|\n|$)', re.IGNORECASE)


def stated_separator(text: str) -> tuple[str, int] | None:
    """The separator that Excel's first line `sep=;` states, and the length of that line; None without such a line."""
    found = _SAID.match(text)
    return (found[1], found.end()) if found and found[1] in SEPARATORS else None


def find_separator(text: str) -> str:
    """The separator of a table: the one with which the first rows have as many fields as the header.

    Of several, the one that shows the most usual names in the header; then the comma, also where none fits.
    """
    head, best = text[:_HEAD], (False, 0, False)
    chosen = ","
    for separator in SEPARATORS:
        rows = _read(head, separator)
        if len(text) > _HEAD:
            rows = rows[:-1]  # the last is cut
        if not rows or len(rows[0]) < 2:
            continue
        even = all(len(row) == len(rows[0]) for row in rows)
        merit = (even, sum(bool(fields_named(name)) for name in rows[0]), True)
        if merit > best:
            chosen, best = separator, merit
    return chosen


def _read(head: str, separator: str) -> list[list[str]]:
    """The rows with any text in them, as far as they can be read."""
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows.extend(filter(_has_text, csv.reader(io.StringIO(head, newline=""), delimiter=separator)))
    return rows


def _has_text(row: list[str]) -> bool:
    return any(map(str.strip, row))
