"""Copies: which picture files show the same picture, whatever their names, bytes and metadata.

Files with the same bytes are found among all pictures. Files with other bytes but the same pixels can only be found by
decoding, which takes 2 to 10 ms a photograph; so all pictures of the same size are decoded only where these are few,
and else those whose files end alike: a JPEG or PNG with other metadata keeps the end of its pixel data.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TypeVar

from vqa_core.data.images import PIXEL_LIMIT, image_hash, open_image
from vqa_core.data.pictures.bombs import open_regular
from vqa_core.data.pictures.image_formats import open_header
from vqa_core.progress import metered

MOST_FILES = 25_000
"""As many headers are read, at 0.1 ms each, to learn how much there is to decode."""

MOST_PIXELS = 1_000_000_000
"""As many are decoded, at 60 million a second and core; `full` decodes any number."""

_TAIL = 64  # bytes at the end of a file that tell most pictures apart

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies among some pictures.

    `first` maps each copy to the first picture with the same content. `by_pixels` says whether files with other bytes
    but the same pixels were looked for among all of the `pictures`, of which there are so many.
    """

    first: Mapping[str, str] = field(default_factory=dict)
    by_pixels: bool = True
    pictures: int = 0

    def picture(self, image: str) -> str:
        """The first picture with the content of `image`."""
        return self.first.get(image, image)


def find_copies(root: Path, names: Sequence[str], how: str = "header", pixel_limit: int = PIXEL_LIMIT) -> Copies:
    """Find the copies among the files `names` below `root`; those that cannot be read have none.

    `how` and `pixel_limit` are as in `check_images`: with "none" nothing is decoded, with "full" as much as it takes.
    """
    with ThreadPool(os.cpu_count()) as pool:
        first = _same_bytes(root, names, pool)
        different = [name for name in names if name not in first]
        groups, by_pixels = [], False
        if how != "none":
            limit = None if how == "full" else MOST_PIXELS
            sizes = (
                _sizes(root, different, pool, pixel_limit) if how == "full" or len(different) <= MOST_FILES else None
            )
            groups = _alike(different, sizes) if sizes is not None else []
            by_pixels = sizes is not None and _affordable(groups, sizes, limit)
            if not by_pixels:
                groups = _alike(different, _ends(root, different, pool))
                sizes = _sizes(root, [name for group in groups for name in group], pool, pixel_limit)
                groups = groups if _affordable(groups, sizes, limit) else []
        first |= _same_pixels(root, groups, pool, pixel_limit)
    return Copies({name: first.get(other, other) for name, other in first.items()}, by_pixels, len(names))


def _same_bytes(root: Path, names: Sequence[str], pool: ThreadPool) -> dict[str, str]:
    """Each copy, byte for byte, -> the first of its kind. Hashes only files of the same length that end alike."""
    files = dict(zip(names, pool.imap(lambda name: _identify(root / name), names, chunksize=256)))
    first: dict[str, str] = {}
    first_of_file: dict[tuple[int, int], str] = {}
    for name, stat in files.items():
        if stat and first_of_file.setdefault(stat[:2], name) != name:
            first[name] = first_of_file[stat[:2]]  # another link to the same file
    lengths = {name: stat[2] for name, stat in files.items() if stat and name not in first}
    same_length = [name for group in _alike(lengths, lengths) for name in group]
    ends = _ends(root, same_length, pool)
    alike = _alike(same_length, {name: (lengths[name], ends[name]) for name in same_length})
    hashed = [name for group in alike for name in group]
    digests = dict(zip(hashed, pool.imap(lambda name: _or_none(image_hash, root / name), hashed, chunksize=16)))
    return first | _first_of_each(hashed, digests)


def _same_pixels(root: Path, groups: Iterable[Sequence[str]], pool: ThreadPool, pixel_limit: int) -> dict[str, str]:
    """Each copy, pixel for pixel as the model sees it, -> the first of its kind."""
    names = [name for group in groups for name in group]
    hash_pixels = partial(_hash_pixels, pixel_limit=pixel_limit)
    hashes = pool.imap(lambda name: _or_none(hash_pixels, root / name), names, chunksize=16)
    return _first_of_each(names, dict(zip(names, metered(hashes, "Comparing images", len(names), "images"))))


def _first_of_each(names: Iterable[str], keys: Mapping[str, object]) -> dict[str, str]:
    first: dict[object, str] = {}
    found = {name: first.setdefault(keys[name], name) for name in names if keys.get(name) is not None}
    return {name: other for name, other in found.items() if other != name}


def _alike(names: Iterable[str], keys: Mapping[str, object]) -> list[list[str]]:
    """The names that share a key with others, in groups; a key of None is none."""
    groups: dict[object, list[str]] = {}
    for name in names:
        if keys.get(name) is not None:
            groups.setdefault(keys[name], []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _affordable(
    groups: Iterable[Sequence[str]], sizes: Mapping[str, tuple[int, int] | None], limit: int | None
) -> bool:
    found = (sizes.get(name) for group in groups for name in group)
    return limit is None or sum(size[0] * size[1] for size in found if size) <= limit


def _identify(path: Path) -> tuple[int, int, int] | None:
    """Device and number of a file, and its length in bytes; None for a file that is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size


def _ends(root: Path, names: Collection[str], pool: ThreadPool) -> dict[str, bytes | None]:
    return dict(zip(names, pool.imap(lambda name: _or_none(_end, root / name), names, chunksize=256)))


def _end(path: Path) -> bytes:
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        return file.read(_TAIL)


def _sizes(root: Path, names: Collection[str], pool: ThreadPool, pixel_limit: int) -> dict[str, tuple[int, int] | None]:
    """Shorter and longer side of each picture in pixels, since a picture may be stored lying on its side."""
    size = partial(_size, pixel_limit=pixel_limit)
    return dict(zip(names, pool.imap(lambda name: _or_none(size, root / name), names, chunksize=64)))


def _size(path: Path, pixel_limit: int) -> tuple[int, int]:
    with open_regular(path) as file, open_header(file, pixel_limit) as image:
        shorter, longer = sorted(image.size)
    return shorter, longer


def _hash_pixels(path: Path, pixel_limit: int) -> str:
    image = open_image(path, pixel_limit=pixel_limit)
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def _or_none(read: Callable[[Path], T], path: Path) -> T | None:
    try:
        return read(path)
    except Exception:  # as in open_image; the data report says what is wrong with the picture
        return None
