"""The formats of pictures that are read, their suffixes, and what a file of one needs before Pillow decodes it."""

import contextlib
import ctypes
import importlib
import importlib.util
import io
import logging
import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    MpoImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
    features,
)

from vqa_core.config import DataSettings
from vqa_core.data.pictures.bombs import check_file, open_regular

_PLUGINS = (AvifImagePlugin, GifImagePlugin, Jpeg2KImagePlugin, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)
Image.preinit()  # the other formats; only registered ones have suffixes

# Pictures are checked against a limit of our own before they are decoded; Pillow would refuse large ones first, also
# those that are decoded at a part of their size.
Image.MAX_IMAGE_PIXELS = None

# What is wrong with a picture is said once, where it is used; Pillow says some of it for each file.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
with contextlib.suppress(OSError, AttributeError):  # where libtiff is a library of its own
    for _handler in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        getattr(ctypes.CDLL(_imaging.__file__), _handler)(None)

_HEIF = "pillow_heif"  # a package that need not be there
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_PNG = b"\x89PNG\r\n\x1a\n"
_METADATA = {b"iCCP", b"zTXt", b"iTXt", b"tEXt"}
_KEPT_TEXT = 1 << 16  # bytes of metadata without compression: XMP may say how to turn a picture upright


def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read on this machine."""
    formats = ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]
    if features.check("jpg_2000"):
        formats.append("JPEG2000")
    if features.check("avif"):
        formats.append("AVIF")
    if importlib.util.find_spec(_HEIF):
        importlib.import_module(_HEIF).register_heif_opener()
        formats.append("HEIF")
    return tuple(formats)


FORMATS = readable_formats()
USUAL_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_KNOWN = {"MPO", "AVIF", *FORMATS}  # a JPEG with a second picture in it; a format that may be missing here
SUFFIXES = (
    *USUAL_SUFFIXES,
    *sorted({suffix for suffix, name in Image.EXTENSION.items() if name in _KNOWN} - {*USUAL_SUFFIXES}),
    *(suffix for suffix in (".heic", ".heif", ".hif") if suffix not in Image.EXTENSION or "HEIF" not in FORMATS),
)
"""The suffixes of pictures, in lower case; the usual ones first."""


def open_header(file: BinaryIO, pixel_limit: int) -> Image.Image:
    """Open the picture in a file, of a format that is read, without decoding it.

    Raises Bomb for one that can't be opened within measure, and what Pillow raises.
    """
    check_file(file, pixel_limit)
    return Image.open(file, formats=FORMATS)


def suffix_of(data: bytes) -> str:
    """The suffix for the format that the bytes of a picture have; "" for formats that are not read."""
    for source in (data, without_metadata(data)):
        try:
            with open_header(io.BytesIO(source), DataSettings.pixel_limit) as image:
                name = image.format or ""
        except Exception:  # as in open_image
            continue
        return {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}.get(name, f".{name.lower()}")
    return ""


def brand_of(source: Path | bytes) -> str:
    """The family of a picture that only a plug-in or a newer Pillow reads: "AVIF" or "HEIC"; "" for any other file."""
    try:
        head = source[:12] if isinstance(source, bytes) else _read_head(source)
    except OSError:
        return ""
    if head[4:8] != b"ftyp":
        return ""
    return "AVIF" if head[8:12] in (b"avif", b"avis") else "HEIC" if head[8:12] in _HEIF_BRANDS else ""


def _read_head(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(12)


def without_metadata(source: Path | bytes) -> bytes:
    """A PNG without its colour profile and without long, compressed or damaged texts; b"" if it has none of them.

    Pillow reads them first and refuses those above a megabyte, which costs the picture; we use none of them.
    """
    head = source if isinstance(source, bytes) else _read_head(source)
    if not head.startswith(_PNG):
        return b""
    data = source if isinstance(source, bytes) else source.read_bytes()
    kept, at, text = [_PNG], len(_PNG), 0
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at : at + length + 12]
        at += length + 12
        if kind in _METADATA:
            whole = len(chunk) == length + 12 and struct.unpack(">I", chunk[-4:])[0] == zlib.crc32(chunk[4:-4])
            text += length
            packed = kind in (b"iCCP", b"zTXt") or (kind == b"iTXt" and chunk[8:].partition(b"\0")[2][:1] == b"\1")
            if packed or text > _KEPT_TEXT or not whole:
                continue
        kept.append(chunk)
    kept.append(data[at:])
    return b"" if sum(map(len, kept)) == len(data) else b"".join(kept)


def is_decoded_in_rows(image: Image.Image, file: BinaryIO) -> bool:
    """Whether a JPEG, opened from `file`, has all colours in one scan: decoding then takes memory for some rows only.

    A progressive JPEG, or one with a scan per colour, is kept whole in memory, with 2 bytes a sample.
    """
    if image.info.get("progressive"):
        return False
    colours = len(image.getbands())
    at = file.tell()
    file.seek(max(0, at - 8 - 2 * colours))  # T.81, B.2.3: the header of a scan, which Pillow has just read
    header = file.read(5)
    file.seek(at)
    return header == struct.pack(">HHB", 0xFFDA, 6 + 2 * colours, colours)
