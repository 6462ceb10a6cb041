"""Rows of named columns become questions, and their pictures files: of a `datasets` dataset, or of a CSV or TSV file.

Pictures are copied as stored, never decoded, and named by their hash: a picture that is repeated with each of its
questions becomes one file.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vqa_core.answers import commonest
from vqa_core.data.choices.reading import form_of_record, with_hint
from vqa_core.data.columns.values import ROUNDED, Column, is_float, is_missing
from vqa_core.data.formats.layouts.records import named_split
from vqa_core.data.formats.picture_paths import Pictures
from vqa_core.data.formats.rows.column_names import Columns
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.pictures.image_formats import suffix_of
from vqa_core.data.pictures.inline import decode_picture, split_pictures
from vqa_core.runs.choices import TEXT
from vqa_core.runs.examples import Example

NUMBERED = "rows without an id, named by split and row number"
SEVERAL_PICTURES = "rows with several pictures; a question here is about one"
LOST = "rows whose picture cannot be read at the path that the dataset gives"
UNPICTURED = "rows without a picture"
NO_TEXT = "rows with bytes that are no UTF-8 text"


@dataclass(slots=True)
class Row:
    """The values of one row before they become texts, for which all values of a column have to be known.

    `answers` are those of the column `listed`. `picture` is the name of its file below the folder of pictures, and
    `digest` its id where there is no other. `unseen` says why there is none, UNPICTURED or LOST, at which `path`. A row
    with a reason in `why` is left out. A question with `choices` is read behind its `hint`.
    """

    default_id: str
    values: Mapping[str, Any]
    answers: list[Any]
    listed: str
    picture: str = ""
    digest: str = ""
    path: str = ""
    unseen: str = ""
    why: str = ""
    pictures: int = 1
    choices: tuple[str, ...] = ()
    form: str = TEXT
    hint: str = ""


class RowReader:
    """Reads the rows of one split: `read` them all, then `finish` makes them examples.

    `found` has the column of each field, and `columns` the types of some; readers of several splits share `columns`.
    `pictures` is the folder to write pictures to; their paths are looked up below `folder`. With `linked`,
    the name of a link to `folder` below `pictures`, files stay where they are, and examples name them below that link.
    Rows without an id are numbered behind `stem`, by default the split.
    """

    def __init__(
        self,
        split: str,
        found: Columns,
        columns: dict[str, Column],
        pictures: Path,
        folder: Path,
        linked: str = "",
        stem: str = "",
    ) -> None:
        self.split, self.names, self.options = split, found.names, found.options
        self.pictures, self.linked, self.columns, self.stem = pictures, linked, columns, stem or split
        for name in found.names.values():
            columns.setdefault(name, Column())
        self.data, self.paths = SplitData(), Pictures(folder)

    def read(self, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
        """All rows; writes their pictures, and shows each value to its column."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        shown = tqdm(rows, f"Reading {self.stem}", unit=" rows", disable=None, leave=False)
        read = [self._read(row, f"{self.stem}_{number}") for number, row in enumerate(shown)]
        self._share_pictures(read)
        return read

    def finish(self, rows: Sequence[Row], *, apart: bool = True) -> dict[str, SplitData]:
        """The rows as examples, by split: those of `train` that say that they belong to another are that one's.

        Without `apart`, rows that all belong to one split stay in that of the reader, whose name the user knows.
        """
        found = {self.split: self.data}
        apart = apart or len({self._split_of(row) for row in rows}) > 1
        for row in rows:
            data = found.setdefault(self._split_of(row) if apart else self.split, SplitData())
            try:
                self._finish(row, data)
            except UnicodeDecodeError:
                data.leave_out(NO_TEXT, row.default_id, {"row": row.default_id})
        return found

    def _split_of(self, row: Row) -> str:
        named = named_split(row.values["split"]) if self.split == "train" else ""
        return named if named in ("val", "test") else self.split

    def _read(self, record: Mapping[str, Any], default_id: str) -> Row:
        values = {name: record.get(column) if column else None for name, column in self.names.items()}
        listed = next((name for name in ("answer", "answers") if _all_answers(values[name])), "answers")
        row = Row(default_id, values, _all_answers(values[listed]), self.names[listed])
        values["answer"] = None if isinstance(_inner(values["answer"]), list) else _inner(values["answer"])
        del values["answers"]  # ten objects a row, in VQAv2
        if self.options and (choices := self.options.read(record)):
            row.choices, row.form, row.hint = choices, form_of_record(record), with_hint(record, "")
        for answer in row.answers:
            self.columns[row.listed].add(answer)
        for name in ("question_id", "image_id", "question", "answer"):
            self.columns[self.names[name]].add(values[name])
        self._find_picture(values.pop("image") if self.names["image"] else values["image_id"], row)
        return row

    def _finish(self, row: Row, data: SplitData) -> None:
        question_id = self.columns[self.names["question_id"]].text(row.values["question_id"])
        if question_id is None:
            question_id = row.default_id
            data.note(NUMBERED, question_id)

        def text_of(name: str, value: Any) -> str | None:
            conversion = self.columns[name].conversion(value)
            if conversion:
                tell = data.warn if conversion == ROUNDED else data.note
                tell(f"column {name!r}: {conversion}", question_id)
            return self.columns[name].text(value)

        def field(name: str) -> str | None:
            return text_of(self.names[name], row.values[name])

        field("question_id")
        known = [answer for value in row.answers if (answer := text_of(row.listed, value)) is not None]
        answer = field("answer")
        if answer is None and known:
            answer = commonest(known)
        if row.choices and is_float(row.values["answer"]) and row.values["answer"].is_integer():
            answer = str(int(row.values["answer"]))  # as choices are written, and their indexes
        question = row.hint + (field("question") or "")
        if row.why:
            pictures = {"pictures": row.pictures} if row.why == SEVERAL_PICTURES else {}
            record = {"question_id": question_id, **pictures, "question": question, "answer": answer}
            return data.leave_out(row.why, question_id, record)
        if row.unseen:
            data.note(row.unseen, question_id)
        image_id = field("image_id") if self.names["image_id"] else None
        image_id = row.digest if image_id is None else image_id
        example = Example(question_id, image_id, row.picture, question, answer, row.choices, row.form)
        data.put(example, known, made_up=question_id == row.default_id and is_missing(row.values["question_id"]))
        return None

    def _find_picture(self, value: Any, row: Row) -> None:
        """Find a row's picture and write it to a file."""
        if isinstance(value, list) and value and all(isinstance(item, int) for item in value):
            value = bytes(value) if max(value) < 256 and min(value) >= 0 else value
        if isinstance(value, str):
            value = split_pictures(value)
        if isinstance(value, list):
            row.pictures = len(value)
            if len(value) > 1:
                row.why = SEVERAL_PICTURES
                return
            value = value[0] if value else None
        stored = value if isinstance(value, dict) else {"bytes": value} if isinstance(value, bytes) else {"path": value}
        data, path = stored.get("bytes"), stored.get("path") or stored.get("url")
        if isinstance(data, str):  # base64, as JSON holds bytes
            data, path = None, data
        path = None if is_missing(path) or path == "" else str(path)
        try:
            if data is None and path is not None:
                data = decode_picture(path)
            if isinstance(data, bytes):
                self._write(data, row)
            elif path is None:
                row.unseen = UNPICTURED
            else:
                self._find_file(path, row)
        except ValueError as error:
            row.why = str(error)

    def _find_file(self, path: str, row: Row) -> None:
        """The picture at a path: copied, or left below the link. Raises ValueError for an address that is no file."""
        if not self.linked and (self.paths.folder / path).is_file():
            return self._write((self.paths.folder / path).read_bytes(), row)
        found = self.paths.find(path, row.default_id, self.data)
        file = next(iter(self.paths.matches(found.name, self.stem.lower())), found.path)
        if not (self.paths.folder / file).is_file():
            row.unseen, row.digest, row.path = LOST, found.name if self.linked else "", path
        elif self.linked:
            row.picture, row.digest = f"{self.linked}/{file}", found.name
        else:
            self._write((self.paths.folder / file).read_bytes(), row)
        return None

    def _write(self, data: bytes, row: Row) -> None:
        row.digest = hashlib.sha256(data).hexdigest()[:32]
        row.picture = row.digest + suffix_of(data)
        if not (self.pictures / row.picture).exists():
            (self.pictures / row.picture).write_bytes(data)

    def _share_pictures(self, rows: Iterable[Row]) -> None:
        """Give rows that name another row in place of a picture the picture of that row, as VLMEvalKit does."""
        lost = [row for row in rows if row.path]
        by_id = {str(row.values["question_id"]): row for row in rows} if lost else {}
        for row in lost:
            other = by_id.get(row.path)
            if other and other.picture:
                row.picture, row.digest, row.unseen = other.picture, other.digest, ""


def _all_answers(value: Any) -> list[Any]:
    """All answers of a row: a list of texts, of VQA's objects with `answer`, or an object of lists (SQuAD's `text`)."""
    value = _inner(value)
    return [_inner(item) for item in value] if isinstance(value, list) else []


def _inner(value: Any) -> Any:
    """What an object calls `answer` or `text`; any other value as it is."""
    if not isinstance(value, dict):
        return value
    return next((value[key] for key in ("answer", "text") if key in value), value)
