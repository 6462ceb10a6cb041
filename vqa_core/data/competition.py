"""The competition folder: read its CSV files as Examples and find the image file of each."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from vqa_core.data.choices.forms import AUTO, OPEN
from vqa_core.data.choices.tables import ChoiceTables, answer_column, answers_of
from vqa_core.data.tables import Table, read_table
from vqa_core.files import InputError, find_duplicates, named, read_json
from vqa_core.runs.examples import ColumnMap, Example, number_repeats

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SAMPLE, SOLUTION = "sample_submission.csv", "solution.csv"
VAL_TABLES = ("val.csv", "validation.csv", "dev.csv")
"""What a validation split of the competition's own may be called; the first that is there is read."""
ORIGIN = "source.json"
"""Records the sources of a folder that `vqa_core.data.formats` wrote. Such a folder has the default column names."""
SOURCE_ID = "source_id"
"""Column of such a folder's tables with the id in the source of a question that shares it with others."""


@dataclass(frozen=True, slots=True)
class Competition:
    """The contents of a competition folder. `root` is absolute; the examples' `image` paths are relative to it.

    A split that was not requested or does not exist is empty; `val` is the validation split that the source has.
    `ambiguous` maps an image id to the two or more files that it could mean. `encodings` maps each CSV file that was
    read to its encoding, `image_folders` each split to the folder with its images, relative to `root`. `imported` holds
    the findings of an import from another format, as fields of a Finding.
    """

    root: Path
    train: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    sample_ids: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)
    image_folders: dict[str, str] = field(default_factory=dict)
    imported: list[dict[str, Any]] = field(default_factory=list)
    val: list[Example] = field(default_factory=list)

    @property
    def splits(self) -> dict[str, list[Example]]:
        """The examples of each table that was read, or may be empty, by split; `val` only if there is a table of it."""
        own = {"val": self.val} if self.table_of("val") in self.encodings else {}
        return {"train": self.train, **own, "test": self.test}

    def table_of(self, split: str) -> str:
        """The name of a split's CSV file."""
        if split == "val":
            return next((name for name in VAL_TABLES if name in self.encodings), VAL_TABLES[0])
        return f"{split}.csv"


def read_competition(
    folder: Path,
    columns: ColumnMap | None = None,
    *,
    splits: Sequence[str] = ("train", "val", "test"),
    required: Sequence[str] = ("train",),
    answer_form: str = AUTO,
) -> Competition:
    """Read the CSV file of every split in `splits`, and `sample_submission.csv` if it exists; find the images.

    The files may be in a subfolder, as in a zip that wraps them in one. Test examples have no answer even if test.csv
    has a column for it. `answer_form` is how answers name a choice, where there are choices (`settle_choices`). Raises
    InputError if a required CSV file or a column is missing, and for whatever `read_table` refuses.
    """
    columns = columns or ColumnMap()
    root = _find_root(
        folder, [f"{split}.csv" for split in required], [f"{split}.csv" for split in splits if split != "val"]
    )
    origin = origin_of(root)
    if origin:
        columns = ColumnMap()
    files = ImageFiles(root)
    examples: dict[str, list[Example]] = {}
    ambiguous: dict[str, list[str]] = {}
    encodings: dict[str, str] = {}
    sample_ids: list[str] = []
    sample: dict[str, str] = {}
    choices = ChoiceTables(OPEN if origin else answer_form)
    for split in splits:
        names = VAL_TABLES if split == "val" else (f"{split}.csv",)
        path = next((root / name for name in names if (root / name).is_file()), None)
        if path:
            table = read_table(path)
            answer = answer_column(table, columns)
            if split == "val" and not answer:
                continue  # questions without answers can validate nothing
            encodings[path.name] = table.encoding
            rows = _read_examples(table, columns, split, files, ambiguous, imported=bool(origin))
            taken = (columns.question_id, columns.image_id, columns.question, columns.image, answer)
            examples[split] = choices.read(split, table, rows, taken, answer)
    if (root / SAMPLE).is_file() and "test" in splits:
        table = read_table(root / SAMPLE)
        encodings[SAMPLE] = table.encoding
        sample_ids = table.column(columns.question_id, "--question-id-column")
        sample = answers_of(table, columns)
    examples, findings = choices.settle(examples, sample=sample, train=root / "train.csv", columns=columns)
    train = number_repeats(examples.get("train", []))
    return Competition(
        root,
        train=train,
        val=number_repeats(examples.get("val", []), {example.question_id for example in train}),
        test=examples.get("test", []),
        sample_ids=sample_ids,
        ambiguous=ambiguous,
        encodings=encodings,
        image_folders={split: files.folder_of(split) for split in examples},
        imported=[*origin.get("findings", []), *findings],
    )


def read_test(folder: Path, columns: ColumnMap | None = None, *, answer_form: str = AUTO) -> Competition:
    """Read only the test questions.

    Like `train.prepare`, also raises InputError for a duplicate id, which no submission could distinguish, and for an
    image id that two files fit.
    """
    competition = read_competition(folder, columns, splits=("test",), required=("test",), answer_form=answer_form)
    twice = find_duplicates(example.question_id for example in competition.test)
    if twice:
        raise InputError(f"{competition.root / 'test.csv'} has {named(twice)} more than once; ids must be unique.")
    for image_id, paths in competition.ambiguous.items():
        raise InputError(f"Image {image_id!r} could be any of {', '.join(paths)}. Remove all but one.")
    return competition


def origin_of(root: Path) -> dict[str, Any]:
    """The record that `vqa_core.data.formats` keeps of a folder that it wrote; empty for any other folder."""
    record = read_json(root / ORIGIN) if (root / ORIGIN).is_file() else None
    return record if isinstance(record, dict) and {"made_from", "findings"} <= record.keys() else {}


def dataset_root(folder: Path) -> Path:
    """The folder of a dataset's CSV files: `folder`, or the one folder in it with a train.csv or a test.csv.

    Raises InputError if there is none, or more than one.
    """
    return _find_root(folder, (), ("train.csv", "test.csv"))


def _find_root(folder: Path, required: Sequence[str], wanted: Sequence[str]) -> Path:
    """`folder`, or the one folder in it with all required files (with any wanted one, if none is required).

    Enters a folder that contains nothing but another folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder." if folder.exists() else f"{folder} does not exist.")

    def holds(place: Path) -> bool:
        present = [(place / name).is_file() for name in required or wanted]
        return all(present) if required else any(present)

    if holds(folder):
        return folder.resolve()
    names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith((".", "__MACOSX")))
    inner = [folder / name for name in names if (folder / name).is_dir() and holds(folder / name)]
    if len(inner) == 1:
        return inner[0].resolve()
    if inner:
        raise InputError(
            f"{folder} holds several datasets: {', '.join(map(str, inner))}. Name one of them with --data."
        )
    if len(names) == 1 and (folder / names[0]).is_dir():
        return _find_root(folder / names[0], required, wanted)  # such as a zip's own folder in one named after it
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "nothing"
    raise InputError(f"{folder} does not hold {' and '.join(required) or ' or '.join(wanted)}; it holds {shown}.")


def _read_examples(
    table: Table,
    columns: ColumnMap,
    split: str,
    files: "ImageFiles",
    ambiguous: dict[str, list[str]],
    *,
    imported: bool = False,
) -> list[Example]:
    question_ids = table.column(columns.question_id, "--question-id-column")
    image_ids = table.column(columns.image_id, "--image-id-column")
    questions = table.column(columns.question, "--question-column")
    answers: Sequence[str | None] = [None] * len(questions)
    if split != "test":
        answers = table.column(answer_column(table, columns) or columns.answer, "--answer-column")
    pictures = table.column(columns.image, "--image-column") if table.columns.count(columns.image) == 1 else image_ids
    paths: dict[tuple[str, str], str] = {}
    for image_id, picture in dict.fromkeys(zip(image_ids, pictures)):
        matches = files.find(split, picture) or files.find(split, image_id)
        paths[image_id, picture] = matches[0] if len(matches) == 1 else ""
        if len(matches) > 1:
            ambiguous[image_id] = matches
    examples = [
        Example(question_id, image_id, paths[image_id, picture], question, answer)
        for question_id, image_id, picture, question, answer in zip(
            question_ids, image_ids, pictures, questions, answers
        )
    ]
    if imported and SOURCE_ID in table.columns:
        in_source = table.column(SOURCE_ID)
        examples = [replace(row, source_id=name) if name else row for row, name in zip(examples, in_source)]
    return examples


class ImageFiles:
    """Finds image files below a dataset folder by image id; lists each folder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, str] = {}
        self._listed: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {}

    def folder_of(self, split: str) -> str:
        """The folder of a split's images, relative to the root: the first of the usual places that exists."""
        if split not in self._folders:
            usual = (f"image/{split}", f"images/{split}", split, "image", "images")
            self._folders[split] = next((name for name in usual if (self.root / name).is_dir()), ".")
        return self._folders[split]

    def find(self, split: str, image_id: str) -> list[str]:
        """The files, relative to the root, that `image_id` may mean: none, one, or several.

        A file with exactly that name wins; else all files with that stem and a known suffix, in any case, match; a
        known suffix of `image_id` itself is ignored. An id may contain folders, below the root or the split's folder.
        Names are compared in NFC, as macOS stores them decomposed. Never finds a file outside the root.
        """
        path = PurePosixPath(unicodedata.normalize("NFC", image_id))
        if not path.name or path.is_absolute() or ".." in path.parts:
            return []
        usual = self.folder_of(split)
        folders = [usual] if len(path.parts) == 1 else [str(path.parent), str(PurePosixPath(usual) / path.parent)]
        for folder in folders:
            exact, stems = self._list(folder)
            names = exact.get(path.name) or stems.get(_stem(path.name), [])
            if names:
                return sorted((PurePosixPath(folder) / name).as_posix() for name in names)
        return []

    def _list(self, folder: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The names of a folder's files by NFC name, and of those with a known suffix by NFC stem."""
        if folder not in self._listed:
            exact: dict[str, list[str]] = {}
            stems: dict[str, list[str]] = {}
            if (self.root / folder).is_dir():
                for name in [entry.name for entry in os.scandir(self.root / folder) if entry.is_file()]:
                    composed = unicodedata.normalize("NFC", name)
                    exact.setdefault(composed, []).append(name)
                    if _stem(composed) != composed:
                        stems.setdefault(_stem(composed), []).append(name)
            self._listed[folder] = exact, stems
        return self._listed[folder]


def _stem(name: str) -> str:
    """`name` without a known image suffix; `photo.v2` keeps its dot."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name
