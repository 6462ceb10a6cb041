"""Read a `datasets` dataset, from disk or the hub, as questions, and write its pictures to files.

Pictures are copied as stored, never decoded, and named by their hash: a picture that is repeated with each of its
questions becomes one file.
"""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from vqa_core.answers import commonest
from vqa_core.data.choices.reading import answer_key, choices_of_record, form_of_record, with_hint
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.images import FORMATS
from vqa_core.files import InputError
from vqa_core.runs.choices import TEXT
from vqa_core.runs.examples import ColumnMap, Example

HUB = "hub:"
SOURCE = re.compile(
    r"(?:hub:(?P<hub>[^:@#]+)(?::(?P<config>[^@#]+))?(?:@(?P<revision>[^#]+))?|(?P<path>(?!hub:)[^#]+))(?:#(?P<split>.+))?"
)
"""`hub:NAME[:CONFIG][@REVISION][#SPLIT]` or `PATH[#SPLIT]`."""
ANSWERS = "answers"  # column with all answers in copies of VQAv2 on the hub and in our own exports
NUMBERED = "rows without an id, named by split and row number"
SEVERAL_PICTURES = "rows with several pictures; a question here is about one"
LOST = "rows whose picture cannot be read at the path that the dataset gives"
UNPICTURED = "rows without a picture"


def read_dataset(
    source: str, columns: ColumnMap, pictures: Path, is_test: Callable[[str], bool] = lambda _: False
) -> Iterator[tuple[str, SplitData]]:
    """Yield (name, questions) of each split in `source`; write the pictures to the folder `pictures`.

    A split whose name passes `is_test` is to be answered, and may lack the answer column.

    A list in the answer column, or in a column `answers`, holds all answers; if no other column has the answer to train
    on, it is the commonest of them. None and NaN are no answer. Without an id column (the default `ID`, or
    `question_id`) rows are numbered; without image ids the hash of a picture is its id. A list in the image column may
    hold one picture; rows with several are left out. Raises InputError if the dataset or a column is missing, or if a
    value is neither text nor a number.
    """
    for split, rows in _open(source).items():
        unanswered = is_test(split) and columns.answer not in rows.features
        known = replace(columns, answer=ColumnMap().answer) if unanswered else columns
        yield split, _Rows(split, rows, known, pictures, _folder(source)).read()


def is_dataset(source: str) -> bool:
    """Whether `source` is a hub id, or a file or folder that `datasets` wrote."""
    if source.startswith(HUB):
        return True
    path = _folder(source)
    return path.suffix == ".parquet" or any(map(any, (path.glob(name) for name in _SIGNS)))


_SIGNS = ("dataset_dict.json", "state.json", "*.parquet", "data/*.parquet")


def _folder(source: str) -> Path:
    return Path(source.partition("#")[0])


def _open(source: str) -> Mapping[str, Any]:
    """The splits that `source` names, each an iterable of rows with `features`."""
    import datasets  # takes a second

    match = SOURCE.fullmatch(source)
    if not match:
        raise InputError(
            f"--data {source} is not a dataset: expected hub:NAME[:CONFIG][@REVISION][#SPLIT] or PATH[#SPLIT]."
        )
    path = _folder(source)
    try:
        if match["hub"]:
            loaded = datasets.load_dataset(match["hub"], match["config"], revision=match["revision"])
        elif path.suffix == ".parquet":
            loaded = datasets.load_dataset("parquet", data_files={"train": str(path)}, streaming=True)
        elif (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            loaded = datasets.load_from_disk(path)
        else:
            loaded = datasets.load_dataset(str(path), streaming=True)  # no second copy in a cache
    except Exception as error:  # a dozen kinds, of the library, the hub and Arrow
        raise InputError(f"--data {source} cannot be read as a dataset: {_first_line(error)}.") from error
    if not isinstance(loaded, dict):
        loaded = {str(loaded.split or "train"): loaded}
    split = match["split"]
    if split and split not in loaded:
        raise InputError(f"--data {source}: there is no split {split!r}; there are {', '.join(map(str, loaded))}.")
    return {str(name): rows for name, rows in loaded.items() if split in (None, name)}


class _Rows:
    """Reads the rows of one split."""

    def __init__(self, split: str, rows: Any, columns: ColumnMap, pictures: Path, folder: Path) -> None:
        import datasets

        self.split, self.pictures, self.folder, self.data = split, pictures, folder, SplitData()
        features = rows.features
        self.names = {
            "question_id": self._find(features, columns.question_id, "--question-id-column", "ID", "question_id"),
            "image_id": self._find(features, columns.image_id, "--image-id-column", "image_id"),
            "image": self._find(features, columns.image, "--image-column"),
            "question": self._find(features, columns.question, "--question-column"),
            "answer": self._find(features, columns.answer, "--answer-column", "answer", answer_key(features)),
            "answers": ANSWERS if ANSWERS in features else "",
        }
        self.labels = getattr(features.get(self.names["answer"]), "names", None)  # a ClassLabel's
        image = self.names["image"]
        as_bytes: Any = datasets.Image(decode=False)
        if isinstance(features[image], datasets.List | datasets.LargeList):
            stored, as_bytes = features[image].feature, type(features[image])(as_bytes)
        else:
            stored = features[image]
        self.rows = rows.cast_column(image, as_bytes) if isinstance(stored, datasets.Image) else rows

    def _find(self, features: Any, name: str, flag: str, default: str = "", *others: str) -> str:
        """The column called `name`; for the `default` name, one of the others also counts, and "" means none."""
        for known in (name, *(others if name == default else ())):
            if known in features:
                return known
        if name == default:
            return ""
        raise InputError(
            f"split {self.split!r} has no column {name!r}; it has {', '.join(map(repr, features))}. "
            f"Name the right one with {flag}."
        )

    def read(self) -> SplitData:
        self.pictures.mkdir(parents=True, exist_ok=True)
        rows = tqdm(self.rows, f"Reading {self.split}", unit=" rows", disable=None, leave=False)
        for number, row in enumerate(rows):
            self._read(row, f"{self.split}_{number}")
        return self.data

    def _read(self, row: Mapping[str, Any], default_id: str) -> None:
        question_id = self._text(row, "question_id", default_id) or ""
        if not self.names["question_id"]:
            question_id = default_id
            self.data.note(NUMBERED, question_id)
        answers = self._answers(row, default_id)
        answer = row.get(self.names["answer"])
        if self.labels and isinstance(answer, int):
            answer = self.labels[answer] if answer >= 0 else None  # -1 is a hidden label
        elif isinstance(answer, list | dict) or _is_missing(answer):
            answer = None
        chosen = None if answer is None else _as_text(answer, f"{default_id}, {self.names['answer']!r}")
        if answers and chosen is None:
            chosen = commonest(answers)
        question = self._text(row, "question", default_id) or ""
        image = row[self.names["image"]]
        if isinstance(image, list) and len(image) > 1:
            record = {"question_id": question_id, "pictures": len(image), "question": question, "answer": chosen}
            return self.data.leave_out(SEVERAL_PICTURES, question_id, record)
        picture, digest = self._write_picture(image[0] if isinstance(image, list) and image else image, question_id)
        image_id = self._text(row, "image_id", default_id) if self.names["image_id"] else digest
        if answers:
            self.data.references[question_id] = answers
        choices = choices_of_record(row)
        question = with_hint(row, question) if choices else question
        form = form_of_record(row) if choices else TEXT
        self.data.examples.append(Example(question_id, image_id or "", picture, question, chosen, choices, form))
        return None

    def _text(self, row: Mapping[str, Any], field: str, place: str) -> str | None:
        name = self.names[field]
        return _as_text(row[name], f"{place}, {name!r}") if name and not _is_missing(row[name]) else None

    def _answers(self, row: Mapping[str, Any], place: str) -> list[str]:
        """All answers of a row: a list of texts, of VQA's objects with `answer`, or an object of lists."""
        for name in (self.names["answer"], self.names["answers"]):
            value = row.get(name)
            if isinstance(value, dict):
                value = value.get("answer")
            if isinstance(value, list):
                items = [item.get("answer") if isinstance(item, dict) else item for item in value]
                return [_as_text(item, f"{place}, {name!r}") for item in items if not _is_missing(item)]
        return []

    def _write_picture(self, value: Any, question_id: str) -> tuple[str, str]:
        """Write a row's picture to a file; return the file's name and hash, or two empty texts without a picture."""
        value = None if _is_missing(value) or value == [] else value
        stored = value if isinstance(value, dict) else {"bytes": value} if isinstance(value, bytes) else {"path": value}
        data, path = stored.get("bytes"), stored.get("path")
        if data is None and path is None:
            self.data.note(UNPICTURED, question_id)
            return "", ""
        if data is None:
            try:
                data = (self.folder / str(path)).read_bytes()
            except OSError:
                self.data.note(LOST, question_id)
                return "", ""
        digest = hashlib.sha256(data).hexdigest()[:32]
        name = digest + _suffix(data)
        if not (self.pictures / name).exists():
            (self.pictures / name).write_bytes(data)
        return name, digest


def _suffix(data: bytes) -> str:
    """The file suffix for the format of the bytes; empty for formats that Pillow does not know."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return {"JPEG": ".jpg", "TIFF": ".tif"}.get(image.format or "", f".{(image.format or '').lower()}")
    except Exception:  # as in open_image; the data report will say what is wrong with the picture
        return ""


def _is_missing(value: Any) -> bool:
    """Whether a value is None, or the NaN that pandas writes for an empty cell."""
    return value is None or value != value


def _as_text(value: Any, place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"row {place}: {str(value)[:80]!r} is {type(value).__name__}; expected a text or a number.")
    return str(value)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
