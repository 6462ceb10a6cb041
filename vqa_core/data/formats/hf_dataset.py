"""Read a `datasets` dataset, from disk or the hub, as questions, and write its pictures to files."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vqa_core.data.columns.values import Column
from vqa_core.data.formats.rows.column_names import answers_optional, find_columns
from vqa_core.data.formats.rows.reader import Row, RowReader
from vqa_core.data.formats.rows.tables import is_table, read_tables
from vqa_core.data.formats.split_data import SplitData
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap

HUB = "hub:"
SOURCE = re.compile(
    r"(?:hub:(?P<hub>[^:@#]+)(?::(?P<config>[^@#]+))?(?:@(?P<revision>[^#]+))?|(?P<path>(?!hub:)[^#]+))(?:#(?P<split>.+))?"
)
"""`hub:NAME[:CONFIG][@REVISION][#SPLIT]` or `PATH[#SPLIT]`."""


def read_dataset(
    source: str,
    columns: ColumnMap,
    pictures: Path,
    is_test: Callable[[str], bool] = lambda _: False,
    images: Path | None = None,
) -> Iterator[tuple[str, SplitData]]:
    """Yield (name, questions) of each split in `source`; write the pictures to the folder `pictures`.

    A split whose name passes `is_test` is to be answered, and may lack the answer column. A table with pictures inside
    (`table_rows`) is read like a dataset. Paths of pictures are relative to `images`, by default the source's folder.

    Columns are those that are set, else those with a usual name (`column_names`). A list in the answer column, or in a
    column `answers`, holds all answers; if no other column has the answer to train on, it is the commonest of them.
    Values become texts as `vqa_core.data.columns.values` says. Without an id column rows are numbered; without image
    ids the hash of a picture is its id. A list in the image column may hold one picture; rows with several are left
    out, and so are those whose picture is at a web address. Raises InputError if the dataset or a column is missing, or
    if no split to train on has answers.
    """
    if is_table(source):
        yield from read_tables(source, columns, pictures, is_test, images)
        return
    splits = _open(source)
    known: dict[str, Column] = {}  # of all splits: 2.0 is `2` in all of them or in none
    read: list[tuple[RowReader, list[Row]]] = []
    told: set[str] = set()
    for split, rows in splits.items():
        wanted = answers_optional(columns, rows.features) if is_test(split) else columns
        found = find_columns(split, rows.features, wanted, _pictures(rows.features))
        known = _columns(rows.features) | known
        folder = images or (_folder(source).parent if _folder(source).is_file() else _folder(source))
        reader = RowReader(split, found, known, pictures, folder)
        found.tell(reader.data, told)
        read.append((reader, reader.read(_undecoded(rows, found.names["image"]))))
    to_train = [reader for reader, _ in read if not is_test(reader.split)]
    if to_train and not any(reader.names["answer"] or reader.names["answers"] for reader in to_train):
        there = ", ".join(map(repr, splits[to_train[0].split].features))
        raise InputError(
            f"--data {source} has no column of answers; it has {there}. Name the column with --answer-column, or pass "
            f"the data with --test-data to have its questions answered."
        )
    for reader, kept in read:
        yield from reader.finish(kept, apart=_folder(source).is_file()).items()


def is_dataset(source: str) -> bool:
    """Whether `source` is a hub id, a file or folder that `datasets` wrote, or a table that is read like one."""
    if source.startswith(HUB) or is_table(source):
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


def _columns(features: Mapping[str, Any]) -> dict[str, Column]:
    """The columns with their floating-point types, and the names of the values of a ClassLabel."""
    columns = {}
    for name, feature in features.items():
        inner = getattr(feature, "feature", feature)
        inner = inner.get("answer", inner) if isinstance(inner, dict) else inner
        columns[name] = Column(float_type=str(getattr(inner, "dtype", "")), labels=getattr(inner, "names", None) or ())
    return columns


def _pictures(features: Mapping[str, Any]) -> list[str]:
    """The columns that are pictures by their type: datasets.Image, what such a one is stored as, or a list of them."""
    import datasets

    def is_picture(feature: Any) -> bool:
        if isinstance(feature, datasets.List | datasets.LargeList):
            return is_picture(feature.feature)
        return isinstance(feature, datasets.Image) or (isinstance(feature, dict) and {"bytes", "path"} == set(feature))

    return [name for name, feature in features.items() if is_picture(feature)]


def _undecoded(rows: Any, image: str) -> Any:
    """The rows as plain values, with pictures as the bytes or the path that is stored."""
    import datasets

    rows = rows.with_format(None)
    as_bytes: Any = datasets.Image(decode=False)
    feature = rows.features[image]
    if isinstance(feature, datasets.List | datasets.LargeList):
        stored, as_bytes = feature.feature, type(feature)(as_bytes)
    else:
        stored = feature
    return rows.cast_column(image, as_bytes) if isinstance(stored, datasets.Image) else rows


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
