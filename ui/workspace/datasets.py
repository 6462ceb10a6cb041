"""Datasets: which there are, each under a short key, and the index of each. A key is never a path.

They are the datasets below the folder `data`, those that runs were prepared from, and those that somebody opened in the
page, which `datasets.json` remembers.
"""

import contextlib
import hashlib
import itertools
import re
import threading
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ui.workspace.index_job import IndexJob, IndexState
from vqa_core.config import DataSettings
from vqa_core.data.archives import unpacked_from
from vqa_core.data.competition import dataset_root
from vqa_core.data.index.index import DataIndex, open_index
from vqa_core.data.index.writer import fingerprint
from vqa_core.data.prepare import column_map
from vqa_core.data.sources import EMBEDDED
from vqa_core.files import InputError, read_json, sha256_of, write_json
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.run_dir import RunDir, list_runs


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset by its key.

    `root` is where its CSV files lie: `folder`, or a folder in it; None as long as `source`, a zip or `easy-vqa`, is
    not unpacked to `folder`. `opened` is whether a person opened it in the page.
    """

    key: str
    folder: Path
    root: Path | None
    columns: ColumnMap
    source: str = ""
    opened: bool = False

    @property
    def name(self) -> str:
        return self.folder.name


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The index of a dataset as it is now, perhaps an old one, and how far the making of a new one is.

    `state` is None where the index is up to date and complete.
    """

    index: DataIndex | None
    state: IndexState | None


NOTHING_YET = IndexStatus(None, None)


class Datasets:
    """The datasets below `data`, of the runs below `runs`, and those opened; `cache` keeps the indexes."""

    def __init__(self, data: Path, runs: Path, cache: Path) -> None:
        self.data, self.runs, self.cache = data, runs, cache
        self._writing = threading.Lock()

    def all(self) -> list[Dataset]:
        """All datasets, sorted by name."""
        found: dict[Path, Dataset] = {}
        prepared = {root: columns for root, columns, _ in reversed(self._prepared())}
        for folder, entry in self._places(prepared):
            root, source = _root(folder), entry.get("source", "")
            place = root or folder
            if place in found or not (root or _can_be_made(source)):
                continue
            columns = ColumnMap(**entry["columns"]) if "columns" in entry else prepared.get(place, ColumnMap())
            found[place] = Dataset(_key(folder), folder, root, columns, source, bool(entry))
        return sorted(found.values(), key=lambda dataset: (dataset.name.casefold(), dataset.key))

    def get(self, key: str) -> Dataset:
        """The dataset of that key; an InputError if there is none."""
        for dataset in self.all():
            if dataset.key == key:
                return dataset
        raise InputError(f"There is no dataset {key!r}. Choose one from the list, or open its folder.")

    def of_run(self, run: RunDir) -> Dataset | None:
        """The dataset that a run was prepared from; None if it has none, or that is gone."""
        for root, _, name in self._prepared():
            if name == run.root.name:
                return next((dataset for dataset in self.all() if dataset.root == root), None)
        return None

    def runs_of(self, dataset: Dataset) -> list[str]:
        """The names of the runs that were prepared from a dataset, newest first."""
        return [name for root, _, name in self._prepared() if root == dataset.root]

    def default(self) -> Dataset | None:
        """The newest run's dataset, else the first there is."""
        there = self.all()
        for root, _, _ in self._prepared():
            for dataset in there:
                if dataset.root == root:
                    return dataset
        return there[0] if there else None

    def open(self, text: str, columns: ColumnMap | None = None) -> Dataset:
        """Remember the dataset that a person named: a folder, a zip, or one of EMBEDDED; a zip goes below `data`,
        beside another of its name.

        `columns` are the columns' names where they are not those that a run has, or the usual ones. Raises InputError
        where there is no such folder or file, or it holds no dataset.
        """
        text = text.strip().strip("'\"").strip()
        if not text or "\0" in text:
            raise InputError("Type the path of a folder with a train.csv or a test.csv, or of a zip of one.")
        entry: dict[str, Any] = {"columns": asdict(columns)} if columns else {}
        if text in EMBEDDED:
            folder = self.data / text
            entry["source"] = text
        elif not (path := Path(text).expanduser()).exists():
            raise InputError(f"{text} does not exist. Type the path of a folder or a zip on the page's machine.")
        elif path.is_dir():
            folder = path
            dataset_root(path)
        elif zipfile.is_zipfile(path):
            folder = self._folder_for(path.resolve())
            entry["source"] = str(path.resolve())
        else:
            raise InputError(f"{text} is neither a folder nor a zip file. Type the path of one.")
        folder = folder.resolve()
        with self._writing:
            write_json(self._file, self._remembered() | {str(folder): entry or {"source": ""}})
        dataset = self.get(_key(folder))
        self.update_index(dataset, again=True)
        return dataset

    def forget(self, key: str) -> None:
        """Remove an opened dataset from the list; its files stay."""
        folder = str(self.get(key).folder)
        with self._writing:
            write_json(self._file, {name: entry for name, entry in self._remembered().items() if name != folder})

    def update_index(self, dataset: Dataset, *, again: bool = False) -> IndexStatus:
        """Start to make the index if it is missing or older than the data; return the index as it is now.

        What failed on the same data is tried again only with `again`.
        """
        job = IndexJob(self._kept(dataset.key))
        mark = fingerprint(dataset.root, dataset.columns) if dataset.root else ""
        building, state = job.building, job.state()  # read before the index, which may appear in between
        index = None
        if job.index.is_file():
            with contextlib.suppress(InputError):
                index = open_index(job.index)
        if index and index.report and index.fingerprint == mark:
            return IndexStatus(index, None)
        failed = state is not None and state.stage == "failed" and state.mark == mark
        if not building and (again or not failed):
            source = str(dataset.root) if dataset.root else dataset.source
            job.start(source, dataset.folder, dataset.columns, mark)
            state = job.state()
        return IndexStatus(index, state or IndexState("start", mark=mark))

    def index(self, key: str) -> DataIndex:
        """The index of a dataset; an InputError as long as there is none."""
        dataset = self.get(key)
        index = self.update_index(dataset).index
        if not index:
            raise InputError(f"The dataset {dataset.name!r} is still being read. Try again in a moment.")
        return index

    def image_path(self, key: str, number: int) -> Path:
        """The file of an image, by the dataset's key and the image's number in its index.

        Raises InputError where there is no such dataset, image or file.
        """
        index = self.index(key)
        image = index.image(number)
        if not image.path:
            raise InputError(f"Image {image.image_id!r} has no file in {index.root}.")
        return index.root / image.path

    def _folder_for(self, path: Path) -> Path:
        """Where a zip is or will be unpacked: below `data`, by its name, numbered where another's data has that."""
        name, remembered, digest = path.name.removesuffix(path.suffix), self._remembered(), ""
        for number in itertools.count(1):
            folder = self.data / (name if number == 1 else f"{name}-{number}")
            if not folder.exists():
                if remembered.get(str(folder.resolve()), {}).get("source", str(path)) == str(path):
                    break
            else:
                digest = digest or sha256_of(path)
                if unpacked_from(folder) == digest:
                    break
        return folder

    @property
    def _file(self) -> Path:
        return self.cache / "datasets.json"

    def _kept(self, key: str) -> Path:
        return self.cache / "indexes" / key

    def _remembered(self) -> dict[str, dict[str, Any]]:
        """Folder -> its source and columns. A damaged file counts as none: it only saves typing."""
        try:
            content = read_json(self._file)
        except InputError:
            return {}
        found = content.items() if isinstance(content, dict) else ()
        return {folder: entry for folder, entry in found if isinstance(entry, dict)}

    def _places(self, prepared: Iterable[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Every folder that may be a dataset, with what is remembered of it."""
        for name, entry in self._remembered().items():
            yield Path(name), entry
        below = sorted(self.data.iterdir()) if self.data.is_dir() else []
        for folder in below:
            if (folder / "train.csv").is_file() or (folder / "test.csv").is_file():
                yield folder.resolve(), {}
        for root in prepared:
            yield root, {}

    def _prepared(self) -> list[tuple[Path, ColumnMap, str]]:
        """The dataset, its columns and the name of every run that was prepared, newest first."""
        found = []
        for run in list_runs(self.runs):
            with contextlib.suppress(InputError, KeyError, TypeError, ValueError):
                config = run.read_config()
                settings = DataSettings(**config.get("data", {}))
                found.append((Path(config["dataset"]["root"]).resolve(), column_map(settings), run.root.name))
        return found


def _root(folder: Path) -> Path | None:
    try:
        return dataset_root(folder)
    except (InputError, OSError):
        return None


def _can_be_made(source: str) -> bool:
    return source in EMBEDDED or (bool(source) and Path(source).is_file())


def _key(folder: Path) -> str:
    """A readable key that no other folder has: `easy-vqa-3f2a9c`."""
    name = re.sub(r"[^\w-]+", "-", folder.name)[:40].strip("-")
    return f"{name}-{hashlib.sha256(str(folder).encode('utf-8', 'surrogateescape')).hexdigest()[:6]}"
