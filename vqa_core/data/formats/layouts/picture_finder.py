"""Find the picture that a record names by a path or a number, in whichever folder below `--images` it lies.

Other people's folders differ: COCO's pictures lie in `train2014/` and `val2014/`, TextVQA's in `train_images/`, SLAKE's
in `imgs/`, and those of a small data set beside its file. A path that leads nowhere is looked up in all of these.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from vqa_core.data.pictures.image_files import ImageFiles

DEEPEST = 3
"""So many folders below `--images` a picture's folder may lie: COCO's may be `Images/mscoco/train2014/`."""

MOST = 50
"""A folder with more folders in it than these has one per record, and none of them is searched."""

_NUMBER = re.compile("[0-9]{1,12}")
_COCO = ("train2014", "val2014", "test2014", "test2015")


def coco_names(image_id: str, subset: str = "") -> list[str]:
    """COCO's file names for a picture's number, first those of `subset`, such as `val2014` or `test-dev2015`.

    For picture 7: COCO_test2015_000000000007, and 000000000007 as it has been since 2017. None for what is no number.
    """
    if not _NUMBER.fullmatch(image_id):
        return []
    subset = subset.replace("-dev", "")
    subsets = dict.fromkeys((*([subset] if subset else []), *_COCO))
    return [*(f"COCO_{name}_{int(image_id):012d}" for name in subsets), f"{int(image_id):012d}"]


class PictureFinder:
    """Looks up pictures below the folder `root`. Those beside `file`, which names them, come first if it lies there."""

    def __init__(self, root: Path, file: Path) -> None:
        self.root = root
        folder = file.resolve().parent
        inside = folder.is_relative_to(root.resolve()) and folder != root.resolve()
        self._beside = f"{folder.relative_to(root.resolve()).as_posix()}/" if inside else ""
        self._files = ImageFiles(root)
        self._folders: list[str] | None = None
        self._found: dict[tuple[tuple[str, ...], str], list[str]] = {}

    def find(self, names: Sequence[str], subset: str = "") -> list[str]:
        """The files, relative to the root, that the first of `names` with a file may mean: none, one, or several.

        A name is a path relative to the root, to the file's folder, or to any folder below the root that may hold
        pictures, with its suffix or without. If several folders have it, that of `subset` counts (`val2014`, `test`).
        """
        key = tuple(names), subset
        if key not in self._found:
            self._found[key] = next(self._search(names, subset), [])
        return self._found[key]

    def _search(self, names: Sequence[str], subset: str) -> Iterator[list[str]]:
        for name in names:
            for path in dict.fromkeys((self._beside + name, name)):
                if "/" not in path and (self.root / path).is_file():
                    yield [path]
                if found := self._files.find("", path):
                    yield found
            hits = [path for folder in self._subfolders() for path in self._files.find("", f"{folder}/{name}")]
            of_subset = [path for path in hits if subset and _is_of(path.removesuffix(name), subset)]
            if found := sorted(set(of_subset or hits)):
                yield found

    def _subfolders(self) -> list[str]:
        """The folders below the root that may hold pictures, relative to it."""
        if self._folders is None:
            self._folders = []
            for place, folders, _ in os.walk(self.root):
                path = Path(place).relative_to(self.root)
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                if path.parts:
                    self._folders.append(path.as_posix())
                if len(path.parts) >= DEEPEST or len(folders) > MOST:
                    folders.clear()
        return self._folders


def _is_of(folder: str, subset: str) -> bool:
    """Whether the path of a folder names the subset: `coco/val2014/`, or `val_images/`, for `val2014`."""
    word = re.match("[a-z]*", subset.lower())
    return subset.lower() in folder.lower() or (
        word is not None and re.search(f"(?<![a-z]){word[0]}(?![a-z])", folder.lower()) is not None
    )
