"""The image file that an image id of a dataset means."""

import os
import unicodedata
from pathlib import Path, PurePosixPath

from vqa_core.data.pictures.image_folders import LINKED, possible_paths, usual_folders
from vqa_core.data.pictures.image_formats import SUFFIXES, USUAL_SUFFIXES


class ImageFiles:
    """Finds image files below a dataset folder by image id; lists each folder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, str] = {}
        self._usual_folders: dict[str, list[str]] = {}
        self._listed: dict[str, tuple[dict[str, list[str]], dict[str, list[str]]]] = {}

    def folder_of(self, split: str) -> str:
        """The folder of a split's images, relative to the root: the first of the usual places with images in it, else
        the first there is."""
        if split not in self._folders:
            usual = self._usual(split)
            first = next((name for name in usual if self._list(name)[1]), "")
            self._folders[split] = first or next(iter(usual), ".")
        return self._folders[split]

    def find(self, split: str, image_id: str) -> list[str]:
        """The files, relative to the root, that `image_id` may mean: none, one, or several.

        A file with exactly that name wins; else all files with that stem and one of the usual suffixes, in any case,
        match; else those with another suffix of a picture. Such a suffix of `image_id` itself is ignored. An id may
        contain folders, below the root or a folder of the split, as any machine writes them (`possible_paths`). Names
        are compared in NFC, as macOS stores them decomposed. Never finds a file outside the root.
        """
        for path in possible_paths(image_id):
            for folder in self._places(split, path):
                exact, stems = self._list(folder)
                names = exact.get(path.name) or _usual(stems.get(_stem(path.name), []))
                if names:
                    return sorted((PurePosixPath(folder) / name).as_posix() for name in names)
        return []

    def _places(self, split: str, path: PurePosixPath) -> list[str]:
        """The folders to look for a path in."""
        usual = self.folder_of(split)
        if len(path.parts) == 1:
            return [usual]
        others = [str(PurePosixPath(name) / path.parent) for name in (usual, *self._usual(split))]
        linked = usual.startswith(f"{LINKED}/")
        return [*others[:linked], str(path.parent), *others[linked:]]

    def _usual(self, split: str) -> list[str]:
        if split not in self._usual_folders:
            self._usual_folders[split] = usual_folders(self.root, split)
        return self._usual_folders[split]

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
