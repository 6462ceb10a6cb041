"""Read CSV files as they are: every field is text, nothing is guessed or repaired; the encoding is detected."""

import csv
import difflib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vqa_core.files import InputError

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


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


def decode(data: bytes, name: str = "The text") -> tuple[str, str]:
    """Text and encoding of `data`: tries a byte-order mark, then zero bytes (UTF-16), then UTF-8, then CP949.

    Raises InputError if none fits; other one-byte encodings look alike and are not guessed.
    """
    for mark, encoding in _BOMS.items():
        if data.startswith(mark):
            return _decode_as(data, encoding, name).removeprefix("\ufeff"), encoding
    head = data[:1000]
    if head.count(0):  # text in UTF-8 or CP949 has no zero bytes; half of ASCII in UTF-16 are
        encoding = "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
        return _decode_as(data, encoding, name), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        line, problem = data.count(b"\n", 0, error.start) + 1, f"byte 0x{data[error.start]:02x}"
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        text = ""
    if not text or not _is_korean(text):
        raise InputError(f"{name} is neither UTF-8 (line {line}: {problem}) nor CP949 nor UTF-16. Save it as UTF-8.")
    return text, "cp949"


def _decode_as(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} looks like {encoding} at its start but cannot be decoded as such ({error.reason}). Save it as "
            "UTF-8."
        ) from None


def _is_korean(text: str) -> bool:
    """Whether most non-ASCII characters are in KS X 1001, the everyday part of CP949.

    Western one-byte text, such as Latin-1, can decode as CP949, but then gives its rare syllables.
    """
    counts = {character: count for character, count in Counter(text).items() if not character.isascii()}
    everyday = sum(count for character, count in counts.items() if _is_everyday(character))
    return 2 * everyday > sum(counts.values())


def _is_everyday(character: str) -> bool:
    try:
        return len(character.encode("euc_kr")) == 2  # Python writes other syllables as eight bytes
    except UnicodeEncodeError:
        return False


def _refuse_other_separators(path: Path, columns: tuple[str, ...]) -> None:
    if len(columns) > 1:
        return
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
        if separator in columns[0]:
            raise InputError(f"{path} is separated by {word}; save it separated by commas. Its header: {columns[0]!r}.")
