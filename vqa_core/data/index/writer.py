"""Write the index of a dataset for index.py: one SQLite file, replaced as a whole.

The file stores every distinct question or answer once; a row is a handful of small integers, with one array per column.
So counting, filtering and paging are array operations of a few milliseconds, and SQLite holds only what is looked up:
texts with their trigrams, ids, files, the DataReport.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vqa_core.answers import answer_type, casefold, question_length, question_type
from vqa_core.data.competition import SAMPLE, SOLUTION, VAL_TABLES, Competition, read_competition
from vqa_core.data.findings import find_unusual_images
from vqa_core.data.images import ImageChecks, check_images
from vqa_core.data.index.finding_rows import finding_rows
from vqa_core.data.index.index import SPLITS
from vqa_core.data.pictures.copies import find_copies
from vqa_core.data.pictures.image_folders import LINKED
from vqa_core.data.references import read_solution
from vqa_core.data.report import DataReport, examine
from vqa_core.drives import replace_file, sync_file
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap, Example
from vqa_core.space import said_of_drive

VERSION = 1  # of the file format
CHECKED_AT_ONCE = 2048  # images
NONE = -1  # code of an unknown answer, and of its type

Progress = Callable[[str, int, int], None]
"""Called with the stage (`read`, `index` or `check`), the number done and the total; 0 and 0 if they are not known."""

SCHEMA = """
create table facts (name text primary key, value text);
create table columns (name text primary key, dtype text, data blob);
create table labels (kind text, code integer, label text, primary key (kind, code)) without rowid;
create table texts (number integer primary key, text text);
create table folded (number integer primary key, text text);
create table questions (number integer primary key, id text);
create table images (number integer primary key, id text, path blob);
create table findings (code text primary key, rows blob);
create virtual table trigrams using fts5 (
    text, content = 'folded', content_rowid = 'number', tokenize = 'trigram case_sensitive 1'
);
"""


def fingerprint(root: Path, columns: ColumnMap) -> str:
    """Hex digest that changes with the dataset's files (size or time), with the entries of its image folders, with the
    column names, and with the format of the index."""
    names = ["train.csv", "test.csv", SAMPLE, SOLUTION, *VAL_TABLES]
    bases, places = ("image", "images", LINKED), [*SPLITS, *(name.removesuffix(".csv") for name in VAL_TABLES[1:])]
    folders = [f"{base}/{place}" for base in bases for place in places] + ["image", "images", *places]
    folders += [name for place in places for name in (f"{place}_images", f"images_{place}", f"{place}/images")]
    seen: list[Any] = [VERSION, str(root), *astuple(columns)]
    for name in (*names, *folders):
        try:
            stat = os.stat(root / name)
            seen.append((name, stat.st_mtime_ns, stat.st_size if name in names else 0))
        except OSError:
            continue
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def index_dataset(root: Path, columns: ColumnMap, path: Path, progress: Progress = lambda *_: None) -> None:
    """Read the dataset at `root` and write its index to `path`: its rows, then, after checking images, the report.

    The index can be read after the first step. The answers to test questions come from solution.csv, if it exists.
    Raises InputError for what `read_competition` refuses; `path` then stays as it was.
    """
    mark = fingerprint(root, columns)
    progress("read", 0, 0)
    competition = read_competition(root, columns, required=())
    order = write_index(competition, path, mark, _read_solution(root, columns), progress)
    names = sorted({row.image for rows in competition.splits.values() for row in rows if row.image})
    checks = ImageChecks()
    for start in range(0, len(names), CHECKED_AT_ONCE):
        progress("check", start, len(names))
        checks.add(check_images(competition.root, names[start : start + CHECKED_AT_ONCE]))
    progress("check", len(names), len(names))
    competition.imported.extend(find_unusual_images(checks))
    copies = find_copies(competition.root, [name for name in names if name not in checks.problems])
    rows = finding_rows(competition, checks.problems, copies)
    write_report(path, examine(competition, checks.problems, copies), rows, order)


def write_index(
    competition: Competition,
    path: Path,
    mark: str,
    solution: Mapping[str, str] | None = None,
    progress: Progress = lambda *_: None,
) -> NDArray[np.int64]:
    """Write the rows of the tables of all splits to a new index at `path`.

    Rows are numbered by image, images in order of first appearance. Returns the order: for each row of the index its
    row in the tables, one after the other as in SPLITS, (rows,).
    """
    rows = [
        row for number, split in enumerate(SPLITS) for row in zip(repeat(number), competition.splits.get(split, ()))
    ]
    numbers: dict[tuple[int, str], int] = {}
    images = [numbers.setdefault(_image_key(split, example), len(numbers)) for split, example in rows]
    order = np.argsort(np.array(images, dtype=np.int32), kind="stable")
    with _replacing(path) as database:
        database.executescript(SCHEMA)
        texts: dict[str, int] = {}
        codes: dict[str, list[int]] = {"question": [], "answer": []}
        with_choices = any(example.choices for _, example in rows)
        codes |= {"choices": []} if with_choices else {}
        for _, example in _report_progress((rows[index] for index in order), len(rows), progress):
            codes["question"].append(texts.setdefault(example.question, len(texts)))
            answer = example.answer if example.answer is not None else (solution or {}).get(example.question_id)
            codes["answer"].append(NONE if answer is None else texts.setdefault(answer, len(texts)))
            if with_choices:
                listed = json.dumps(example.choices, ensure_ascii=False) if example.choices else ""
                codes["choices"].append(texts.setdefault(listed, len(texts)) if listed else NONE)
        codes |= _classify(database, list(texts), codes)
        codes["image"] = [images[index] for index in order]
        codes["split"] = [rows[index][0] for index in order]
        for name, values in codes.items():
            signed = np.min_scalar_type(-1 - max(values, default=0))  # fits NONE and the largest value
            array = np.array(values, dtype=signed)
            database.execute("insert into columns values (?, ?, ?)", (name, array.dtype.str, array.tobytes()))
        first = dict(zip(reversed(images), reversed(rows)))
        database.executemany(
            "insert into images values (?, ?, ?)",
            ((number, first[number][1].image_id, os.fsencode(first[number][1].image)) for number in range(len(first))),
        )
        database.executemany(
            "insert into questions values (?, ?)",
            ((number, rows[index][1].question_id) for number, index in enumerate(order)),
        )
        database.executemany("insert into texts values (?, ?)", enumerate(texts))
        database.executemany("insert into folded values (?, ?)", enumerate(map(casefold, texts)))
        database.execute("insert into trigrams (trigrams) values ('rebuild')")
        database.execute("create index question_ids on questions (id)")
        database.execute("create index image_ids on images (id)")
        _write_facts(database, {"fingerprint": mark, "root": str(competition.root)})
    return order


def write_report(
    path: Path, report: DataReport, rows: Mapping[str, NDArray[np.bool_]], order: NDArray[np.int64]
) -> None:
    """Add the report to the index at `path`, and the masks of the findings' rows, given in the order of the files."""
    with _replacing(path, copied=True) as database:
        _write_facts(database, {"report": json.dumps(report.to_dict(), ensure_ascii=False)})
        database.executemany(
            "insert into findings values (?, ?)",
            ((code, np.packbits(mask[order]).tobytes()) for code, mask in rows.items()),
        )


def _image_key(split: int, example: Example) -> tuple[int, str]:
    """What identifies an image: its file, in either split; without a file, its id in the split."""
    return (NONE, example.image) if example.image else (split, example.image_id)


def _classify(database: sqlite3.Connection, texts: list[str], codes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """The codes of each row's question type, question length and answer type; writes their labels to the database."""
    classes: dict[str, list[int]] = {}
    for kind, column, label_of in (
        ("type", "question", question_type),
        ("length", "question", question_length),
        ("answer_type", "answer", answer_type),
    ):
        labels: dict[str, int] = {}
        label_codes = {
            code: labels.setdefault(label_of(texts[code]), len(labels))
            for code in dict.fromkeys(codes[column])
            if code >= 0
        }
        classes[kind] = [label_codes.get(code, NONE) for code in codes[column]]
        database.executemany(
            "insert into labels values (?, ?, ?)", ((kind, code, label) for label, code in labels.items())
        )
    return classes


def _read_solution(root: Path, columns: ColumnMap) -> dict[str, str]:
    try:
        return {name: answers[0] for name, answers in read_solution(root / SOLUTION, columns).items()}
    except InputError:
        return {}  # without a valid solution.csv, the answers to test questions are unknown


def _report_progress(
    rows: Iterable[tuple[int, Example]], total: int, progress: Progress
) -> Iterator[tuple[int, Example]]:
    for done, row in enumerate(rows):
        if done % 20_000 == 0:
            progress("index", done, total)
        yield row


def _write_facts(database: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    database.executemany("insert or replace into facts values (?, ?)", facts.items())


@contextmanager
def _replacing(path: Path, *, copied: bool = False) -> Iterator[sqlite3.Connection]:
    """A new database that replaces `path` when the block ends without an error; with `copied` it starts as its copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):  # of a killed build: only one process builds an index
        leftover.unlink()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        if copied:
            shutil.copyfile(path, name)
        with closing(sqlite3.connect(f"{Path(name).absolute().as_uri()}?nolock=1", uri=True)) as database:
            # the file counts only once it is renamed, so it needs neither journal nor locks, which some drives lack
            database.execute("pragma journal_mode = off")
            database.execute("pragma synchronous = off")
            with database:
                yield database
        with open(name, "rb+") as file:  # Windows syncs what may be written to
            sync_file(file.fileno(), path)
        replace_file(Path(name), path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        said = said_of_drive(error, path)
        if said is None:
            raise
        raise said from error
