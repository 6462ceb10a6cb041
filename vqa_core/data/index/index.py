"""DataIndex: look up the rows, texts, files and findings of a dataset of any size by number, id or text.

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

SPLITS = ("train", "test", "val")  # the labels of the column `split`; val is a validation split of the source's own
NONE = -1  # the number of a text that is not there
TRIGRAM = 3  # characters

Mask = NDArray[np.bool_]
Codes = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """A row of the index. `answer` is None if it is not known; `choices` are empty for an open question."""

    row: int
    split: str
    question_id: str
    question: str
    answer: str | None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """An image of the index. `path` is relative to the dataset, "" if no file was found."""

    number: int
    image_id: str
    path: str
    questions: tuple[Question, ...]


class DataIndex:
    """The index at `path`, with its arrays in memory. Create it with `open_index`.

    Attributes:
        root: the dataset's folder; the images' paths are relative to it.
        fingerprint: identifies the files that the index was built from.
        report: the DataReport from `to_dict`; None while the images are still being checked.
        rows, images: the numbers of questions and of images.
        columns: name -> one number per row, (rows,): `image` is ascending; `question`, `answer` and, where questions
            have some, `choices` (a JSON list) are numbers of texts; `split`, `type`, `length` and `answer_type` are
            positions in their labels; -1 means unknown.
        labels: column -> the labels of its numbers.
        findings: code of a finding of the report -> mask of the rows that it is about, (rows,).
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
        """The rows of an image. Raises InputError if no image has that number."""
        if not 0 <= number < self.images:
            raise InputError(
                f"This dataset has no image {number}; its images are numbered from 0 to {self.images - 1}."
            )
        return range(*np.searchsorted(self.columns["image"], [number, number + 1]).tolist())

    def image(self, number: int) -> IndexedImage:
        """An image with all its questions. Raises InputError if no image has that number."""
        questions = self.questions(self.rows_of_image(number))
        [(image_id, path)] = self.files([number])
        return IndexedImage(number, image_id, path, tuple(questions))

    def files(self, numbers: Sequence[int]) -> list[tuple[str, str]]:
        """The id and the path of each of these images, as in IndexedImage."""
        with closing(self._connect()) as database:
            rows = _select_in(database, "select number, id, path from images where number", numbers)
        files = {number: (image_id, os.fsdecode(path)) for number, image_id, path in rows}
        return [files[number] for number in numbers]

    def questions(self, rows: Iterable[int]) -> list[Question]:
        """The questions of these rows."""
        wanted = list(rows)
        columns = [self.columns[name][wanted].tolist() for name in ("split", "question", "answer")]
        listed = self.columns["choices"][wanted].tolist() if "choices" in self.columns else [NONE] * len(wanted)
        with closing(self._connect()) as database:
            ids = dict(_select_in(database, "select number, id from questions where number", wanted))
        texts = self.texts_of([*columns[1], *columns[2], *listed])
        return [
            Question(row, SPLITS[split], ids[row], texts[question], texts.get(answer), _choices(texts.get(at)))
            for row, split, question, answer, at in zip(wanted, *columns, listed)
        ]

    def texts_of(self, numbers: Sequence[int]) -> dict[int, str]:
        """Number -> text of these questions or answers; without numbers that no text has."""
        with closing(self._connect()) as database:
            return dict(_select_in(database, "select number, text from texts where number", numbers))

    def each_text(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the text of every question and answer."""
        with closing(self._connect()) as database:
            yield from database.execute("select number, text from texts")

    def each_image_with_a_file(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the id of every image with a file."""
        with closing(self._connect()) as database:
            yield from database.execute("select number, id from images where length(path) > 0 order by number")

    def number_of(self, text: str) -> int | None:
        """The number of exactly this question or answer; None if the dataset does not have it."""
        with closing(self._connect()) as database:
            row = database.execute("select number from texts where text = ?", (_make_storable(text),)).fetchone()
        return row[0] if row else None

    def rows_of(self, question_ids: Iterable[str], *, test: bool = False) -> NDArray[np.int64]:
        """The rows of these question ids of the training and validation tables, or with `test` of test.csv.

        They are ascending; unknown ids have none.
        """
        with closing(self._connect()) as database:
            matches = _select_in(database, "select number, id from questions where id", list(question_ids))
        rows = np.sort(np.array([number for number, _ in matches], dtype=np.int64))
        of_split: NDArray[np.int64] = rows[(self.columns["split"][rows] == SPLITS.index("test")) == test]
        return of_split

    def image_of(self, question_id: str, *, test: bool = False) -> int | None:
        """The number of the image that a question is about, or None if it is unknown; `test` is as in `rows_of`."""
        rows = self.rows_of([question_id], test=test)
        return int(self.columns["image"][rows[0]]) if len(rows) else None

    def rows_with(self, text: str) -> Mask:
        """Mask of the rows with `text` in the question or answer, in any case, or with that question or image id.

        Its shape is (rows,).
        """
        text = _make_storable(text)
        folded = casefold(text)
        matches = np.zeros(self.texts + 1, dtype=np.bool_)  # the last one, number -1, is the unknown answer
        with closing(self._connect()) as database:
            if len(folded) >= TRIGRAM:
                phrase = '"' + folded.replace('"', '""') + '"'
                hits = database.execute("select rowid from trigrams where trigrams match ?", (phrase,))
            else:
                hits = database.execute("select number from folded where instr(text, ?)", (folded,))
            matches[np.fromiter((number for (number,) in hits), dtype=np.int64)] = True
            questions = database.execute("select number from questions where id = ?", (text,)).fetchall()
            images = database.execute("select number from images where id = ?", (text,)).fetchall()
        rows: Mask = matches[self.columns["question"]] | matches[self.columns["answer"]]
        if "choices" in self.columns:
            rows |= matches[self.columns["choices"]]
        rows[[number for (number,) in questions]] = True
        for (number,) in images:
            rows[self.rows_of_image(number)] = True
        return rows

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._uri, uri=True)


def open_index(path: Path) -> DataIndex:
    """The index at `path`, kept in memory (some 20 bytes per row) until the file is replaced.

    Raises InputError if the file is missing or is not an index.
    """
    try:
        stat = path.stat()
        return _open(path, stat.st_mtime_ns, stat.st_ino)
    except (OSError, sqlite3.Error, KeyError) as error:
        raise InputError(f"{path} is not an index of a dataset ({error}). Delete it; it will be rebuilt.") from None


@lru_cache(maxsize=3)
def _open(path: Path, _mtime_ns: int, _inode: int) -> DataIndex:
    return DataIndex(path)


def _choices(listed: str | None) -> tuple[str, ...]:
    return tuple(json.loads(listed)) if listed else ()


def _select_in(database: sqlite3.Connection, select: str, values: Sequence[int] | Sequence[str]) -> list[Any]:
    """The rows of `select ... in (values)`, for any number of values."""
    return database.execute(f"{select} in (select value from json_each(?))", (json.dumps(values),)).fetchall()


def _make_storable(text: str) -> str:
    """Replace halves of surrogate pairs, which SQLite cannot store."""
    return text.encode("utf-8", "replace").decode()
