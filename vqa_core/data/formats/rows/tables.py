"""Read a CSV or TSV file with its pictures inside, such as MMBench's, row by row: it may be larger than the memory.

Also a CSV or TSV file named alone, whose pictures are files. Other CSV files are a competition folder's.
"""

import codecs
import csv
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from vqa_core.data.columns.separators import find_separator, stated_separator
from vqa_core.data.columns.values import Column
from vqa_core.data.competition import SAMPLE, SOLUTION
from vqa_core.data.formats.rows.column_names import answers_optional, find_columns
from vqa_core.data.formats.rows.reader import Row, RowReader
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.pictures.inline import has_inline_pictures
from vqa_core.data.pictures.links import make_link
from vqa_core.data.texts.encodings import decode
from vqa_core.files import InputError, find_duplicates, named
from vqa_core.runs.examples import ColumnMap

SUFFIXES = (".csv", ".tsv")
TEST = "test"
_PARTS = ("train", "val", TEST)
ODD = "rows with more or fewer fields than the header; a field with a separator in it needs double quotes"
_HEAD = (1 << 16) + 1  # characters that show the separator and the header


class TableRows:
    """The rows of a file as objects by column; `odd` has those that do not fit the header, by number of the row."""

    def __init__(self, path: Path, encoding: str = "") -> None:
        self.path, self.odd = path, list[tuple[int, list[str]]]()
        file, self.encoding = _open(path, encoding)
        with file:
            head = file.read(_HEAD)
        stated = stated_separator(head)
        self.separator, self._start = stated or (find_separator(head), 0)
        rows: Iterator[list[str]] = self._reader(io.StringIO(head, newline=""))
        self.columns = tuple(next((row for row in rows if _has_text(row)), []))

    def _reader(self, file: TextIO) -> Any:
        """The rows of a text, behind the line that states the separator, if there is one."""
        file.read(self._start)
        return csv.reader(file, delimiter=self.separator, strict=True)

    def __iter__(self) -> Iterator[dict[str, str]]:
        number = -1
        with _open(self.path, self.encoding)[0] as file:
            reader = self._reader(file)
            try:
                for row in reader:
                    if not _has_text(row):
                        continue
                    number += 1
                    if not number:  # the header
                        continue
                    if len(row) == len(self.columns):
                        yield dict(zip(self.columns, row))
                    else:
                        self.odd.append((number, row))
            except csv.Error as error:
                raise InputError(
                    f"{self.path}, row {number + 1} (up to line {reader.line_num}): {error}. Is a double quote left "
                    f"open or not doubled inside a quoted field?"
                ) from None


def _has_text(row: Sequence[str]) -> bool:
    """Whether a row has any text: Excel leaves some that don't."""
    return any(map(str.strip, row))


def is_table(source: str) -> bool:
    """Whether `source` is a CSV or TSV file, or a folder of such files with pictures inside.

    A train.csv without pictures inside is none, but a part of the competition in its folder.
    """
    return bool(table_files(source))


def table_files(source: str) -> list[Path]:
    """The files of a source that `is_table`: the file itself, or those of a folder with pictures inside."""
    path = Path(source)
    if path.is_file():
        is_part = path.suffix.lower() == ".csv" and path.stem in _PARTS and not has_inline_pictures(path)
        return [path] if path.suffix.lower() in SUFFIXES and not is_part else []
    if not path.is_dir():
        return []
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES and file.is_file()]
    tables = [file for file in files if file.name not in (SAMPLE, SOLUTION) and not file.name.startswith(".")]
    inline = [file for file in tables if has_inline_pictures(file)]
    return [file for file in tables if file in inline or (inline and file.stem in _PARTS)]


def read_tables(
    source: str, columns: ColumnMap, pictures: Path, is_test: Callable[[str], bool], images: Path | None
) -> Iterator[tuple[str, SplitData]]:
    """Yield (name, questions) of each file as `read_dataset` does; files of pictures are linked to, not copied.

    The name is that of the file in a folder, `train` for a file named alone, and TEST for one without answers. Raises
    InputError for a missing column, and for a file of which no picture is found.
    """
    paths = table_files(source)
    known: dict[str, Column] = {}
    read: list[tuple[RowReader, list[Row]]] = []
    told: set[str] = set()
    for path in paths:
        rows = TableRows(path, columns.encoding)
        name = path.stem.lower()
        wanted = answers_optional(columns, rows.columns) if is_test(name) else columns
        found = find_columns(name, rows.columns, wanted, required=("question",))
        if not (found.names["image"] or found.names["image_id"]):
            raise InputError(
                f"{path} has no column of pictures; it has {', '.join(map(repr, rows.columns))}. Name it with "
                f"--image-column."
            )
        _refuse_twice(path, rows.columns, found.names.values())
        folder = images or path.parent
        link = f"linked-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"
        is_alone = not Path(source).is_dir()
        reader = RowReader("train" if is_alone else name, found, known, pictures, folder, link, path.stem)
        found.tell(reader.data, told)
        if rows.encoding:
            reader.data.note(f"files decoded as {rows.encoding}", str(path))
        kept = reader.read(rows)
        lost = list(dict.fromkeys(row.path for row in kept if row.path))
        if lost and not any(row.picture or row.why for row in kept):
            raise InputError(
                f"None of the pictures of {path} ({named(lost)}) is in {folder}. Name the folder that their paths are "
                f"relative to with --images."
            )
        for number, row in rows.odd:
            reader.data.leave_out(ODD, f"{path.name}, row {number}", [field[:80] for field in row])
        if any(row.picture.startswith(link) for row in kept):
            _link(pictures / link, folder)
        answered = any((row.values["answer"] or "").strip() for row in kept)
        reader.split = reader.split if answered else TEST
        read.append((reader, kept))
    for reader, kept in read:
        yield from reader.finish(kept).items()


def copy_companions(sources: Sequence[str], folder: Path) -> None:
    """Copy the sample submission and the solution of a folder of tables, which say how ids and columns are written."""
    for source in sources:
        for name in (SAMPLE, SOLUTION):
            if Path(source).is_dir() and is_table(source) and (Path(source) / name).is_file():
                shutil.copyfile(Path(source) / name, folder / name)


def _refuse_twice(path: Path, columns: Sequence[str], used: Collection[str]) -> None:
    twice = [name for name in find_duplicates(columns) if name in used]
    if twice:
        raise InputError(f"{path} has more than one column {named(twice)}. Keep one, or rename the others.")


def _link(link: Path, folder: Path) -> None:
    if not os.path.lexists(link):
        make_link(link, folder.resolve())


def _open(path: Path, encoding: str) -> tuple[TextIO, str]:
    """The text of a file, as a stream if it is UTF-8, which most are, and "", else decoded as a whole, and how."""
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        with path.open("rb") as file:
            is_other = b"\0" in file.read(1000)
            file.seek(0)
            while not is_other and (part := file.read(1 << 20)):
                decoder.decode(part)
        decoder.decode(b"", final=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        is_other = True
    if is_other:
        text, found = decode(path.read_bytes(), str(path), encoding)
        return io.StringIO(text, newline=""), found
    return path.open(encoding="utf-8-sig", newline=""), ""
