"""The competition folder: read its CSV files as Examples and find the image file of each."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vqa_core.data.choices.forms import AUTO, OPEN
from vqa_core.data.choices.tables import ChoiceTables
from vqa_core.data.columns.table_reader import TableFacts, TableReader
from vqa_core.data.pictures.image_files import ImageFiles
from vqa_core.data.tables import read_table
from vqa_core.files import InputError, find_duplicates, named, read_json
from vqa_core.runs.examples import ColumnMap, Example, number_repeats

SAMPLE, SOLUTION = "sample_submission.csv", "solution.csv"
VAL_TABLES = ("val.csv", "validation.csv", "dev.csv")
"""What a validation split of the competition's own may be called; the first that is there is read."""

ORIGIN = "source.json"
"""Records the sources of a folder that `vqa_core.data.formats` wrote. Such a folder has the default column names."""


@dataclass(frozen=True, slots=True)
class Competition:
    """The contents of a competition folder. `root` is absolute; the examples' `image` paths are relative to it.

    A split that was not requested or does not exist is empty; `val` is the source's own validation split. `ambiguous`
    maps an image id to the two or more files that it could mean. `image_folders` maps each split to the folder with its
    images, relative to `root`. By name of a CSV file that was read, `encodings` has its encoding, `samples` a row with
    characters outside ASCII, `tables` what else there is to know of it, and `unused` the columns that nothing is read
    from. `imported` holds the findings of an import from another format, as fields of a Finding.
    """

    root: Path
    train: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    sample_ids: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)
    samples: dict[str, str] = field(default_factory=dict)
    image_folders: dict[str, str] = field(default_factory=dict)
    imported: list[dict[str, Any]] = field(default_factory=list)
    val: list[Example] = field(default_factory=list)
    tables: dict[str, TableFacts] = field(default_factory=dict)
    unused: dict[str, tuple[str, ...]] = field(default_factory=dict)

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
    insist: Collection[str] | None = None,
    answer_form: str = AUTO,
) -> Competition:
    """Read the table of every split in `splits`, and `sample_submission.csv` if it exists; find the images.

    The files may be in a subfolder, as in a zip that wraps them in one. Test examples have no answer even if test.csv
    has a column for it. A table without ids is numbered. `insist` are the fields of `columns` whose names at least one
    file must have (default: those that differ from the default names). `answer_form` is how answers name a choice,
    where there are choices (`settle_choices`). Raises InputError if a required CSV file or a
    column is missing, if several columns fit alike, and for whatever `read_table` refuses.
    """
    columns = columns or ColumnMap()
    root = _find_root(
        folder, [f"{split}.csv" for split in required], [f"{split}.csv" for split in splits if split != "val"]
    )
    origin = origin_of(root)
    if origin:
        columns, insist = ColumnMap(encoding="utf-8"), ()
    has_sample = (root / SAMPLE).is_file() and "test" in splits
    sample = read_table(root / SAMPLE, encoding=columns.encoding) if has_sample else None
    choices = ChoiceTables(OPEN if origin else answer_form)
    reader = TableReader(ImageFiles(root), columns, choices, sample, imported=bool(origin))
    examples: dict[str, list[Example]] = {}
    for split in splits:
        names = VAL_TABLES if split == "val" else (f"{split}.csv",)
        path = next((root / name for name in names if (root / name).is_file()), None)
        rows = reader.read_split(path, split) if path else None
        if rows is not None:
            examples[split] = rows
    placeholders = reader.read_sample([example.question_id for example in examples.get("test", [])])
    others = (SAMPLE, SOLUTION, "train.csv", *VAL_TABLES, "test.csv")
    reader.refuse_unknown_names(_other_names(columns) if insist is None else insist, [root / name for name in others])
    settled, findings = choices.settle(examples, sample=dict(placeholders), train=root / "train.csv", columns=columns)
    train = number_repeats(settled.get("train", []))
    return Competition(
        root,
        train=train,
        val=number_repeats(settled.get("val", []), {example.question_id for example in train}),
        test=settled.get("test", []),
        sample_ids=[question_id for question_id, _ in placeholders],
        ambiguous=reader.ambiguous,
        encodings={name: facts.encoding for name, facts in reader.facts.items() if facts.answers or name == SAMPLE},
        samples={name: facts.sample for name, facts in reader.facts.items() if facts.sample},
        image_folders={split: reader.files.folder_of(split) for split in examples},
        imported=[*origin.get("findings", []), *findings],
        tables=reader.facts,
        unused=reader.unused(),
    )


def read_test(
    folder: Path,
    columns: ColumnMap | None = None,
    *,
    insist: Collection[str] | None = None,
    answer_form: str = AUTO,
) -> Competition:
    """Read only the test questions.

    Like `train.prepare`, also raises InputError for a duplicate id, which no submission could distinguish, and for an
    image id that two files fit.
    """
    competition = read_competition(
        folder, columns, splits=("test",), required=("test",), insist=insist, answer_form=answer_form
    )
    twice = find_duplicates(example.question_id for example in competition.test)
    if twice:
        raise InputError(f"{competition.root / 'test.csv'} has {named(twice)} more than once; ids must be unique.")
    for image_id, paths in competition.ambiguous.items():
        raise InputError(f"Image {image_id!r} could be any of {', '.join(paths)}. Remove all but one.")
    return competition


def _other_names(columns: ColumnMap) -> list[str]:
    """The fields with other names than the default ones; without the picture's, whose column a CSV file may lack."""
    fields = ("question_id", "image_id", "question", "answer")
    return [name for name in fields if getattr(columns, name) != getattr(ColumnMap(), name)]


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
