"""DataIndex: the rows, texts, files and findings of a dataset of any size, looked up by number, id or text.

writer.py writes the file; selection.py filters, counts and pages.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_core.answers import casefold
from vqa_core.files import InputError

SPLITS = ("train", "test")  # as the column `split` counts them
TRIGRAM = 3  # characters

Mask = NDArray[np.bool_]
Codes = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """A row of the index. `answer` is None where it is not known."""

    row: int
    split: str
    question_id: str
    question: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """An image by its number in the index. `path` is relative to the dataset, "" where no file was found."""

    number: int
    image_id: str
    path: str
    questions: tuple[Question, ...]


class DataIndex:
    """The index at `path`, its arrays in memory; made by `open_index`.

    Attributes:
        root: the dataset's folder, which the images' paths are relative to.
        fingerprint: of the files that the index was made from.
        report: the DataReport as `to_dict` gives it; None while the images are still being checked.
        rows, images: how many questions and images there are.
        columns: by name one number for each row, (rows,): `image` is ascending; `question` and `answer` are numbers of
            texts; `split`, `type`, `length` and `answer_type` are places in their labels; -1 stands for what is not
            known.
        labels: by column, what its numbers stand for.
        findings: by code of a finding of the report, which rows it is about, (rows,).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # the file never changes in place, so SQLite need not lock it
        self._uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(self._connect()) as database:
            facts = dict(database.execute("select name, value from facts"))
            columns = database.execute("select name, dtype, data from columns").fetchall()
            labels = database.execute("select kind, label from labels order by kind, code").fetchall()
            findings = database.execute("select code, rows from findings").fetchall()
            self.texts: int = database.execute("select count(*) from texts").fetchone()[0]
            self.images: int = database.execute("select count(*) from images").fetchone()[0]
        self.root = Path(facts["root"])
        self.fingerprint: str = facts["fingerprint"]
        self.report: dict[str, Any] | None = json.loads(facts["report"]) if "report" in facts else None
        self.columns: dict[str, Codes] = {name: np.frombuffer(data, dtype=dtype) for name, dtype, data in columns}
        self.rows = len(self.columns["image"])
        self.labels: dict[str, list[str]] = {"split": [*SPLITS], "type": [], "length": [], "answer_type": []}
        for kind, label in labels:
            self.labels[kind].append(label)
        self.findings: dict[str, Mask] = {
            code: np.unpackbits(np.frombuffer(bits, np.uint8), count=self.rows).view(np.bool_)
            for code, bits in findings
        }

    def rows_of_image(self, number: int) -> range:
        """The rows that ask about an image; an InputError if there is none of that number."""
        if not 0 <= number < self.images:
            raise InputError(
                f"This dataset has no image {number}; its images are numbered from 0 to {self.images - 1}."
            )
        return range(*np.searchsorted(self.columns["image"], [number, number + 1]).tolist())

    def image(self, number: int) -> IndexedImage:
        """An image with all its questions; an InputError if there is none of that number."""
        questions = self.questions(self.rows_of_image(number))
        [(image_id, path)] = self.files([number])
        return IndexedImage(number, image_id, path, tuple(questions))

    def files(self, numbers: Sequence[int]) -> list[tuple[str, str]]:
        """Id and path of each of some images, as IndexedImage has them."""
        with closing(self._connect()) as database:
            found = {
                number: (image_id, os.fsdecode(path))
                for number, image_id, path in _in(database, "select number, id, path from images where number", numbers)
            }
        return [found[number] for number in numbers]

    def questions(self, rows: Iterable[int]) -> list[Question]:
        """The questions of some rows."""
        wanted = list(rows)
        columns = [self.columns[name][wanted].tolist() for name in ("split", "question", "answer")]
        with closing(self._connect()) as database:
            ids = dict(_in(database, "select number, id from questions where number", wanted))
        texts = self.texts_of([*columns[1], *columns[2]])
        return [
            Question(row, SPLITS[split], ids[row], texts[question], texts.get(answer))
            for row, split, question, answer in zip(wanted, *columns)
        ]

    def texts_of(self, numbers: Sequence[int]) -> dict[int, str]:
        """The questions or answers of some numbers; numbers that no text has are left out."""
        with closing(self._connect()) as database:
            return dict(_in(database, "select number, text from texts where number", numbers))

    def each_text(self) -> Iterator[tuple[int, str]]:
        """Number and text of every question and answer, one at a time."""
        with closing(self._connect()) as database:
            yield from database.execute("select number, text from texts")

    def each_image_with_a_file(self) -> Iterator[tuple[int, str]]:
        """Number and id of every image of which a file was found, one at a time."""
        with closing(self._connect()) as database:
            yield from database.execute("select number, id from images where length(path) > 0 order by number")

    def number_of(self, text: str) -> int | None:
        """The number of exactly this question or answer; None if nobody asks or gives it."""
        with closing(self._connect()) as database:
            found = database.execute("select number from texts where text = ?", (_storable(text),)).fetchone()
        return found[0] if found else None

    def rows_of(self, question_ids: Iterable[str], *, test: bool = False) -> NDArray[np.int64]:
        """The rows of some question ids of train.csv, or with `test` of test.csv; ascending, unknown ids left out."""
        with closing(self._connect()) as database:
            found = _in(database, "select number, id from questions where id", list(question_ids))
        rows = np.sort(np.array([number for number, _ in found], dtype=np.int64))
        kept: NDArray[np.int64] = rows[self.columns["split"][rows] == SPLITS.index("test" if test else "train")]
        return kept

    def image_of(self, question_id: str, *, test: bool = False) -> int | None:
        """The number of the image that a question of `rows_of` is about; None if there is no such question."""
        rows = self.rows_of([question_id], test=test)
        return int(self.columns["image"][rows[0]]) if len(rows) else None

    def rows_with(self, text: str) -> Mask:
        """Which rows have `text` within the question or the answer, whatever its case, or are of that id, (rows,)."""
        text = _storable(text)
        sought = casefold(text)
        found = np.zeros(self.texts + 1, dtype=np.bool_)  # its end, number -1, is the answer that is not known
        with closing(self._connect()) as database:
            if len(sought) >= TRIGRAM:
                phrase = '"' + sought.replace('"', '""') + '"'
                hits = database.execute("select rowid from trigrams where trigrams match ?", (phrase,))
            else:
                hits = database.execute("select number from folded where instr(text, ?)", (sought,))
            found[np.fromiter((number for (number,) in hits), dtype=np.int64)] = True
            questions = database.execute("select number from questions where id = ?", (text,)).fetchall()
            images = database.execute("select number from images where id = ?", (text,)).fetchall()
        rows: Mask = found[self.columns["question"]] | found[self.columns["answer"]]
        rows[[number for (number,) in questions]] = True
        for (number,) in images:
            rows[self.rows_of_image(number)] = True
        return rows

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._uri, uri=True)


def open_index(path: Path) -> DataIndex:
    """The index at `path`, kept in memory (some 20 bytes a row) until the file is replaced.

    Raises InputError where there is none, or the file is not one.
    """
    try:
        stat = path.stat()
        return _open(path, stat.st_mtime_ns, stat.st_ino)
    except (OSError, sqlite3.Error, KeyError) as error:
        raise InputError(f"{path} is not an index of a dataset ({error}). Remove it; it is made again.") from None


@lru_cache(maxsize=3)
def _open(path: Path, _mtime_ns: int, _inode: int) -> DataIndex:
    return DataIndex(path)


def _in(database: sqlite3.Connection, select: str, values: Sequence[int] | Sequence[str]) -> list[Any]:
    """The rows of `select ... in (values)`, however many values there are."""
    return database.execute(f"{select} in (select value from json_each(?))", (json.dumps(values),)).fetchall()


def _storable(text: str) -> str:
    """SQLite stores no half of a surrogate pair, and so has none to be found."""
    return text.encode("utf-8", "replace").decode()
