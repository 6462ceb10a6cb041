"""Bombs: small files that would take memory or time without measure, found before Pillow decodes them.

The pixel limit is checked against the size that Pillow reads in a header. Some files have another way round it: a first
frame larger than its screen, tiles larger than the picture, thousands of scans, tags that all mean the same bytes.
"""

import functools
import os
import re
import struct
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from stat import S_ISREG
from typing import IO, Any, BinaryIO

from PIL import Image, TiffImagePlugin

MOST_SCANS = 100
"""Passes over a progressive JPEG; programs write 10, and each takes 0.1 s for 50 million pixels."""

_BEFORE_FRAME = 1 << 22  # bytes of a GIF in front of its first frame; Pillow reads them piece by piece
_BYTES_A_PIXEL = 16  # of a file whose decoder reads all of it into memory
_READ_WHOLE = re.compile(rb"RIFF....WEBP|....ftyp|....jP  |\xff\x4f\xff\x51", re.DOTALL)
_CODESTREAM = b"\xff\x4f\xff\x51"
_CODING, _CODING_OF_ONE, _TILE, _DATA = 0xFF52, 0xFF53, 0xFF90, 0xFF93  # COD, COC, SOT, SOD
_FEW_PRECINCTS = 4096
_SPARE = 1 << 20  # bytes of tags beyond those that the file has
_PLAINLY = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe opens at once; Windows changes no bytes


class Bomb(ValueError):
    """A file whose decoding would go beyond all measure; the message is a clause, such as "has 5,000 scans"."""


def check_file(file: BinaryIO, pixel_limit: int) -> None:
    """Raise Bomb for a file that Pillow should not even open."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    if _READ_WHOLE.match(head) and length > _BYTES_A_PIXEL * pixel_limit:
        raise Bomb(f"is a file of {length:,} bytes, more than {pixel_limit:,} pixels can need")
    if head.startswith(b"GIF8"):
        width, height = _gif_size(file)
        file.seek(0)
        if width * height > pixel_limit:
            raise Bomb(_too_many(width, height, pixel_limit))


def check_opened(image: Image.Image, file: BinaryIO, pixel_limit: int) -> None:
    """Raise Bomb for an opened picture that would take more than its pixels to decode."""
    at = file.tell()
    if image.format == "TIFF":
        _check_tiles(image, pixel_limit)
    elif image.format in ("JPEG", "MPO") and image.info.get("progressive"):
        _check_scans(file)
    elif image.format == "JPEG2000":
        _check_codestream(file, pixel_limit)
    file.seek(at)


def open_regular(path: Path) -> BufferedReader:
    """A file opened for reading; IsADirectoryError for a pipe, which would wait for its writer, or a device."""
    file = os.fdopen(os.open(path, os.O_RDONLY | _PLAINLY), "rb")
    if S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise IsADirectoryError(f"{path} is no file")


def _gif_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height of a GIF with its first frame on it; 0 x 0 where there is none. GIF89a, 18 to 26."""
    head = file.read(13)
    if len(head) < 13:
        return 0, 0
    width, height, flags = struct.unpack("<HHB", head[6:11])
    if flags & 128:
        file.seek(3 << (flags & 7) + 1, os.SEEK_CUR)
    start = file.tell()
    while kind := file.read(1):
        if kind == b"," and len(box := file.read(8)) == 8:
            left, top, wide, high = struct.unpack("<HHHH", box)
            return max(width, left + wide), max(height, top + high)
        if kind == b"!":
            file.seek(1, os.SEEK_CUR)
            while (block := file.read(1)) and block[0]:
                file.seek(block[0], os.SEEK_CUR)
        if kind == b";":
            break
        if file.tell() - start > _BEFORE_FRAME:
            raise Bomb(f"has more than {_BEFORE_FRAME:,} bytes before its first frame")
    return 0, 0


def _check_tiles(image: Image.Image, pixel_limit: int) -> None:
    tags = image.tag_v2  # type: ignore[attr-defined]
    wide, high = tags.get(TiffImagePlugin.TILEWIDTH, 0), tags.get(TiffImagePlugin.TILELENGTH, 0)
    if isinstance(wide, int) and isinstance(high, int) and wide * high > pixel_limit:
        raise Bomb(f"has tiles of {wide} x {high} pixels, more than the {pixel_limit:,} allowed for a picture")


def _check_scans(file: BinaryIO) -> None:
    """T.81, B.1.1.5: in a scan, a byte 0xff is followed by 0 or the number of a restart."""
    file.seek(0)
    scans, last = 0, b""
    while data := file.read(1 << 20):
        scans += (last + data).count(b"\xff\xda")
        last = data[-1:]
    if scans > MOST_SCANS:
        raise Bomb(f"has {scans:,} scans, more than the {MOST_SCANS} allowed")


def _check_codestream(file: BinaryIO, pixel_limit: int) -> None:
    """JPEG 2000 (T.800, annex A): that the codestream keeps the limit, which its file's header may hide, and that no
    tile has far more precincts than pixels to fill them, each of which takes half a kilobyte."""
    file.seek(0)
    data = file.read()
    at = data.find(_CODESTREAM)
    if at < 0 or len(data) < at + 42:
        return
    right, bottom, left, top, wide, high = struct.unpack(">6I", data[at + 8 : at + 32])
    colours = struct.unpack(">H", data[at + 40 : at + 42])[0]
    width, height = max(0, right - left), max(0, bottom - top)
    if width * height > pixel_limit:
        raise Bomb(_too_many(width, height, pixel_limit))
    wide, high, at = min(wide, width), min(high, height), at + 2
    tile = None  # where the part of a tile began that is being read
    while at + 4 <= len(data):
        marker, length = struct.unpack(">HH", data[at : at + 4])
        if marker == _TILE:
            tile = at, struct.unpack(">I", data[at + 6 : at + 10].ljust(4, b"\0"))[0]
        if marker == _DATA and tile:
            if not tile[1]:  # to the end
                return
            at = tile[0] + tile[1]
            continue
        body = data[at + 4 : at + 2 + length]
        if marker == _CODING and body and body[0] & 1:
            _check_precincts(body[5:6], body[10:], wide, high, colours)
        elif marker == _CODING_OF_ONE:
            body = body[1 if colours < 257 else 2 :]
            if body and body[0] & 1:
                _check_precincts(body[1:2], body[6:], wide, high, 1)
        at += 2 + max(length, 2)


def _check_precincts(levels: bytes, sizes: bytes, wide: int, high: int, colours: int) -> None:
    """`sizes` has two exponents for each resolution of a tile of `wide` x `high` pixels, the smallest first."""
    count = 0
    for number, size in enumerate(sizes):
        shrunk = max(0, (levels[0] if levels else 0) - number)
        across = -(-wide // (1 << shrunk + (size & 15)))
        down = -(-high // (1 << shrunk + (size >> 4)))
        count += across * down * (3 if number else 1) * colours
    if count > max(_FEW_PRECINCTS, wide * high * colours // 64):
        raise Bomb(f"has {count:,} precincts in a tile, more than its pixels can fill")


def _too_many(width: int, height: int, pixel_limit: int) -> str:
    return (
        f"has {width} x {height} pixels, more than the {pixel_limit:,} allowed (--pixel-limit {width * height} allows "
        "it)"
    )


def _bounded(load: Callable[[Any, IO[bytes]], None]) -> Callable[[Any, IO[bytes]], None]:
    """Read a directory of TIFF or EXIF tags unless they mean more bytes than there are: each would be copied."""

    @functools.wraps(load)
    def bounded(self: Any, fp: IO[bytes]) -> None:
        at = fp.tell()
        length = fp.seek(0, os.SEEK_END)
        fp.seek(at)
        count, entry = ("Q", "HHQ8s") if self._bigtiff else ("H", "HHL4s")
        head = fp.read(struct.calcsize(f"={count}"))
        tags = self._unpack(count, head)[0] if len(head) == struct.calcsize(f"={count}") else 0
        if tags > 1 << 16:
            raise Bomb(f"has {tags:,} tags, more than there are kinds of them")
        entries = fp.read(tags * struct.calcsize(f"={entry}"))
        fp.seek(at)
        step, room = struct.calcsize(f"={entry}"), length + _SPARE
        for start in range(0, len(entries) - step + 1, step):
            _, kind, number, _ = self._unpack(entry, entries[start : start + step])
            room -= min(length, number * self._load_dispatch.get(kind, (0,))[0])
        if room < 0:
            raise Bomb("has tags of more bytes than the file")
        load(self, fp)

    return bounded


TiffImagePlugin.ImageFileDirectory_v2.load = _bounded(TiffImagePlugin.ImageFileDirectory_v2.load)  # type: ignore[method-assign, assignment]
