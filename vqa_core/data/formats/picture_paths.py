"""Find the pictures that other people's files name: by paths of any machine, by web addresses, or inside as base64."""

import hashlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.pictures.image_files import ImageFiles
from vqa_core.data.pictures.image_formats import suffix_of
from vqa_core.data.pictures.inline import decode_picture

BY_TAIL = (
    "image paths of another machine (absolute, with backslashes or file://), looked up by their last parts below the "
    "images folder"
)
SAME_TAIL = "different image paths of another machine that end in the same file below the images folder"
WEB = "pictures named by a web address and not found below the images folder by its last parts; nothing is fetched"

_WEB = re.compile(r"(?:https?|ftp|s3|gs|hf)://", re.IGNORECASE)
_FILE = re.compile(r"file:/*(?:localhost/)?", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/])")


class Picture(NamedTuple):
    """A picture's `path` below the folder, and the `name` by which the source knows it there."""

    path: str
    name: str


class Pictures:
    """Turns what a file calls its pictures into paths relative to one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._files, self._around = ImageFiles(self.folder), ImageFiles(self.folder.parent)
        self._found: dict[str, Picture | None] = {}
        self._sources: dict[str, str] = {}
        self._sharing: set[str] = set()
        self._folders: dict[tuple[str, ...], bool] = {}

    def find(self, image: str, case: str, data: SplitData) -> Picture:
        """The one file of a relative path, whatever its suffix, or else the path as it is.

        Of a path of another machine, the longest tail that is a file counts; if none is, the path stays as it is, and
        of one from the root the last part. A picture in base64 becomes an entry of `data.pictures`. Raises ValueError,
        with the reason, for a picture that cannot be had: one at a web address, or in broken base64.
        """
        inline = decode_picture(image)
        if inline is not None:
            name = hashlib.sha256(inline).hexdigest()[:32] + suffix_of(inline)
            data.pictures[name] = inline
            return Picture(name, name)
        if image not in self._found:
            self._found[image] = self._look_up(image)
        found = self._found[image]
        if found is None:
            raise ValueError(WEB)
        if found.name != image and found.path in self._sources:
            data.note(BY_TAIL, case)
        if image in self._sharing:
            data.warn(SAME_TAIL, case)
        return found

    def _look_up(self, image: str) -> Picture | None:
        rooted = os.path.isabs(image) or os.path.splitdrive(image)[0]
        if not is_foreign_path(image) or (not rooted and (self.folder / image).is_file()):
            return Picture(self._file(image), image)
        parts = _parts(image)
        for cut in range(len(parts)):
            tail = "/".join(parts[cut:])
            if self._has_folder(parts[cut:-1]) and self.matches(tail):
                found, whole = Picture(self._file(tail), tail), "/".join(parts)
                if self._sources.setdefault(found.path, whole) != whole:
                    self._sharing.add(image)
                return found
        if _WEB.match(image):
            return None
        name = parts[-1] if parts and image.startswith("/") else image
        return Picture(name, name)

    def matches(self, name: str, split: str = "") -> list[str]:
        """The files that a path may mean, whatever their suffix: below the folder, else where the split's are."""
        own = f"{self.folder.name}/"
        found = self._around.find("", own + name)
        return [path.removeprefix(own) for path in found if path.startswith(own)] or self._files.find(split, name)

    def _file(self, name: str) -> str:
        """The file of a name, whatever its suffix; the name itself if there is none, or more than one."""
        if os.path.isfile(f"{self.folder}/{name}"):  # quicker than a Path, for files of a million pictures
            return os.path.normpath(name).replace(os.sep, "/")
        files = self.matches(name)
        return files[0] if len(files) == 1 else name

    def _has_folder(self, parts: tuple[str, ...]) -> bool:
        if parts not in self._folders:
            usual = self.folder / self._files.folder_of("")
            self._folders[parts] = any(place.joinpath(*parts).is_dir() for place in (self.folder, usual))
        return self._folders[parts]


def is_foreign_path(image: str) -> bool:
    """Whether a path is not one relative to a folder, written with slashes."""
    return (
        image.startswith("/")
        or "\\" in image
        or ".." in image.split("/")
        or any(pattern.match(image) for pattern in (_WEB, _FILE, _DRIVE))
    )


def _parts(image: str) -> tuple[str, ...]:
    """The folders and the name of a path or an address, without its machine, drive, query and turns."""
    path = image
    if _WEB.match(path):
        path = unquote(re.split("[?#]", path.partition("://")[2])[0])
    elif _FILE.match(path):
        path = unquote(_FILE.sub("", path, count=1))
    path = _DRIVE.sub("", path, count=1).replace("\\", "/")
    return tuple(part for part in PurePosixPath(path).parts if part not in ("/", "//", ".", ".."))
