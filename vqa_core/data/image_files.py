"""The image file that an image id of a dataset means."""

import os
import unicodedata
from pathlib import Path, PurePosixPath

from vqa_core.data.image_formats import SUFFIXES, USUAL_SUFFIXES


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

        A file with exactly that name wins; else all files with that stem and one of the usual suffixes, in any case,
        match; else those with another suffix of a picture. Such a suffix of `image_id` itself is ignored. An id may
        contain folders, below the root or the split's folder. Names are compared in NFC, as macOS stores them
        decomposed. Never finds a file outside the root.
        """
        path = PurePosixPath(unicodedata.normalize("NFC", image_id))
        if not path.name or path.is_absolute() or ".." in path.parts:
            return []
        usual = self.folder_of(split)
        folders = [usual] if len(path.parts) == 1 else [str(path.parent), str(PurePosixPath(usual) / path.parent)]
        for folder in folders:
            exact, stems = self._list(folder)
            names = exact.get(path.name) or _usual(stems.get(_stem(path.name), []))
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


def _usual(names: list[str]) -> list[str]:
    """The names with a usual suffix, or all if none has one: a mask.pgm beside picture.jpg makes nothing ambiguous."""
    return [name for name in names if name.lower().endswith(USUAL_SUFFIXES)] or names


def _stem(name: str) -> str:
    """`name` without a known image suffix; `photo.v2` keeps its dot."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name
