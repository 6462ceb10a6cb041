"""Read CSV files as they are: every field is text, nothing is repaired; encoding and separator are detected."""

import contextlib
import csv
import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa_core.data.columns.separators import find_separator, stated_separator
from vqa_core.data.texts.encodings import cut_line, decode
from vqa_core.files import InputError

csv.field_size_limit(2**31 - 1)  # a field may be as long as its file; the default is 131,072 characters


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: `columns` is its header, `rows` are the records below it, each as long as the header.

    `encoding` is utf-8, utf-8-sig (with a byte-order mark) or another that `decode` tells; `separator` one of
    SEPARATORS. `padded` says that a blank followed every separator, which is no part of the fields. `blank_rows` counts
    rows of nothing but separators, which were skipped.
    """

    path: Path
    encoding: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    separator: str = ","
    padded: bool = False
    blank_rows: int = 0

    def column(self, name: str, flag: str = "") -> list[str]:
        """The fields of the column `name`, in row order; `flag` is the command-line flag that sets that name.

        Raises InputError, with the names of all columns, if no column or more than one has that name.
        """
        change = f" Name the right one with {flag}." if flag else ""
        if self.columns.count(name) > 1:
            raise InputError(f"{self.path} has {self.columns.count(name)} columns {name!r}; keep one.{change}")
        if name not in self.columns:
            near = [known for known in self.columns if known.strip().casefold() == name.strip().casefold()]
            near = near or difflib.get_close_matches(name, self.columns, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{self.path} has no column {name!r}; it has {', '.join(map(repr, self.columns))}.{hint}{change}"
            )
        return self.fields(self.columns.index(name))

    def fields(self, index: int) -> list[str]:
        """The fields of the column at `index`, in row order."""
        return [row[index] for row in self.rows]

    def sample(self) -> str:
        """The first row with a character outside ASCII, as one line, cut to some length; "" if there is none."""
        rows = (", ".join(row) for row in (*self.rows, self.columns))
        return next((cut_line(row) for row in rows if not row.isascii()), "")


def read_table(path: Path, separator: str | None = None, padded: bool | None = None, *, encoding: str = "") -> Table:
    """Read a table with a header line and quotes as in RFC 4180; skip blank lines, and rows of separators alone.

    Without `separator` and `padded`, Excel's first line `sep=;` states the separator, or both are found. `encoding` is
    that of a file that is not UTF-8; "" detects it, as `decode` does. Raises InputError for a missing or empty file, an
    unknown encoding, a row that is longer or shorter than the header, and a quote that is never closed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    text, encoding = decode(data, str(path), encoding)
    lines_before = 0
    if stated := stated_separator(text):
        separator, lines_before, text = separator or stated[0], 1, text[stated[1] :]
    if not text.strip():
        raise InputError(f"{path} is empty; expected a header line with the names of the columns.")
    # newline="" leaves line ends inside quotes as they are.
    source = _Source(path, io.StringIO(text, newline=""), separator or find_separator(text), lines_before)
    del data, text
    padded = source.is_padded() if padded is None else padded
    columns, rows, blank_rows = source.parse(padded=padded)
    return Table(path, encoding, columns, rows, source.separator, padded, blank_rows)


Parsed = tuple[tuple[str, ...], list[list[str]], int]
"""Header, rows, and the number of blank rows that were skipped."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The text of a table, of which `lines_before` lines were taken off."""

    path: Path
    text: io.StringIO
    separator: str
    lines_before: int = 0

    def is_padded(self) -> bool:
        """Whether a blank after the separator is no part of a field: every name of the header but the first begins
        with one, and so does every field, or else the quotes behind the blanks can't be read."""
        self.text.seek(0)
        header = next((row for row in csv.reader(self.text, delimiter=self.separator) if any(map(str.strip, row))), [])
        if len(header) < 2 or not all(name.startswith(" ") for name in header[1:]):
            return False
        try:
            _, rows, _ = self.parse(padded=False)
        except InputError:
            with contextlib.suppress(InputError):
                self.parse(padded=True)
                return True
            return False
        return all(not field or field.startswith(" ") for row in rows for field in row[1:])

    def parse(self, *, padded: bool) -> Parsed:
        """Read all of the text; blanks after separators are left off if `padded`."""
        self.text.seek(0)
        reader = csv.reader(self.text, delimiter=self.separator, strict=True, skipinitialspace=padded)
        columns: tuple[str, ...] = ()
        rows: list[list[str]] = []
        blank_rows = 0
        known: dict[str, str] = {}  # one string per distinct text: answers and image ids repeat many times
        try:
            for row in reader:
                if not row:
                    continue
                if not columns:
                    if any(map(str.strip, row)):
                        columns = tuple(row)
                    continue
                if not row[0].strip() and len(columns) > 1 and self._is_blank(row):
                    blank_rows += 1
                    continue
                if len(row) != len(columns):
                    raise InputError(
                        f"{self.path}, row {len(rows) + 1} (line {self._line(reader)}): fields: {len(row)}, in the "
                        f"header: {len(columns)}. Put a field with {self.separator!r} in it in double quotes."
                    )
                rows.append([known.setdefault(field, field) for field in row])
        except csv.Error as error:
            raise InputError(
                f"{self.path}, row {len(rows) + 1} (up to line {self._line(reader)}): {error}. Is a double quote left "
                f"open or not doubled inside a quoted field?"
            ) from None
        return columns, rows, blank_rows

    def _line(self, reader: Any) -> int:
        return int(reader.line_num) + self.lines_before

    def _is_blank(self, row: Sequence[str]) -> bool:
        """Whether the row that was just read has blank fields only, none in quotes, which are there on purpose."""
        if any(map(str.strip, row)):
            return False
        end = self.text.tell()
        start = max(0, end - sum(map(len, row)) - len(row) - 1)
        self.text.seek(start)
        return '"' not in re.split(r"[\r\n]", self.text.read(end - start).rstrip("\r\n"))[-1]
