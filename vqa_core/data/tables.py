"""Read CSV files as they are: every field is text, nothing is guessed or repaired; the encoding is detected."""

import csv
import difflib
import io
from dataclasses import dataclass
from pathlib import Path

from vqa_core.data.encodings import decode
from vqa_core.files import InputError

csv.field_size_limit(2**31 - 1)  # a field may be as long as its file; the default is 131,072 characters


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: `columns` is its header, `rows` are the records below it, each as long as the header.

    `encoding` is one of utf-8, utf-8-sig (with a byte-order mark), cp949, utf-16-le, utf-16-be.
    """

    path: Path
    encoding: str
    columns: tuple[str, ...]
    rows: list[list[str]]

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
        index = self.columns.index(name)
        return [row[index] for row in self.rows]


def read_table(path: Path) -> Table:
    """Read a comma-separated file with a header line and quotes as in RFC 4180; skip blank lines.

    Raises InputError for a missing or empty file, an unknown encoding, another separator, a row that is longer or
    shorter than the header, and a quote that is never closed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    text, encoding = decode(data, str(path))
    if not text.strip():
        raise InputError(f"{path} is empty; expected a header line with the names of the columns.")
    # newline="" leaves line ends inside quotes as they are.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    del data, text
    rows: list[list[str]] = []
    columns: tuple[str, ...] = ()
    known: dict[str, str] = {}  # one string per distinct text: answers and image ids repeat many times
    try:
        for row in reader:
            if not row:
                continue
            if not columns:
                columns = tuple(row)
                _refuse_other_separators(path, columns)
                continue
            if len(row) != len(columns):
                raise InputError(
                    f"{path}, row {len(rows) + 1} (line {reader.line_num}): fields: {len(row)}, in the header: "
                    f"{len(columns)}. Put a field with a comma in it in double quotes."
                )
            rows.append([known.setdefault(field, field) for field in row])
    except csv.Error as error:
        raise InputError(
            f"{path}, row {len(rows) + 1} (up to line {reader.line_num}): {error}. Is a double quote left open or "
            f"not doubled inside a quoted field?"
        ) from None
    return Table(path, encoding, columns, rows)


def _refuse_other_separators(path: Path, columns: tuple[str, ...]) -> None:
    if len(columns) > 1:
        return
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
        if separator in columns[0]:
            raise InputError(f"{path} is separated by {word}; save it separated by commas. Its header: {columns[0]!r}.")
