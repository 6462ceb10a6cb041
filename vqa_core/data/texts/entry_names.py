"""The names of a zip's entries: those without the UTF-8 flag are in the encoding of whoever packed it."""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from vqa_core.data.texts.encodings import CLOSE_BITS, Reading, cost_of, decode, readings
from vqa_core.files import InputError

_UTF8_NAME = 0x800  # general purpose flag bit, PKWARE APPNOTE 4.4.4
_UNICODE_PATH = 0x7075  # extra field, APPNOTE 4.6.9: the name in UTF-8
_UTF_8_BITS = 40.0  # that valid UTF-8 speaks for itself; two short names may be so by chance
_TABLES, _TABLE_BYTES = 5, 8 << 20  # CSV files to look for names in, and how far


def entry_names(archive: zipfile.ZipFile) -> list[str]:
    """The name of each entry, in the order of `infolist`.

    Names without a mark are read as UTF-8 if all of them are, else in the encoding that is likeliest for all together.
    Where that is a close call, the one wins whose names occur in the zip's CSV files.
    """
    infos = archive.infolist()
    marked = [info.orig_filename if info.flag_bits & _UTF8_NAME else _unicode_path(info) for info in infos]
    raw = [info.orig_filename.encode("cp437") if name is None else b"" for info, name in zip(infos, marked)]
    encoding = _find_encoding(archive, [name for name in dict.fromkeys(raw) if not name.isascii()])
    return [_decode(bytes_, encoding) if name is None else name for name, bytes_ in zip(marked, raw)]


def _unicode_path(info: zipfile.ZipInfo) -> str | None:
    """The name in the extra field for it, if it belongs to the entry's plain name; else None."""
    extra, plain = info.extra, info.orig_filename.encode("cp437")
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[:5] == struct.pack("<BI", 1, zlib.crc32(plain)):
            return field[5:].decode("utf-8", "replace")
    return None


def _find_encoding(archive: zipfile.ZipFile, names: Sequence[bytes]) -> str:
    if not names:
        return "utf-8"
    found = [reading for reading in readings(names) if all(_fits(name, reading.encoding) for name in names)]
    if all(_fits(name, "utf-8") for name in names):
        text = b"\n".join(names).decode()
        found.append(Reading(cost_of(text) - _UTF_8_BITS, "utf-8", text))
        found.sort(key=lambda reading: reading.cost)
    close = [reading for reading in found if reading.cost < found[0].cost + CLOSE_BITS]
    if len(close) > 1:
        tables = "\n".join(_tables(archive))
        return max(close, key=lambda reading: (_count_named(reading, tables), -reading.cost)).encoding
    return close[0].encoding if close else "cp437"


def _count_named(reading: Reading, tables: str) -> int:
    """How many of the names that a reading gives occur in the text of CSV files."""
    stems = (PurePosixPath(name).stem for name in reading.text.split("\n"))
    return sum(not stem.isascii() and stem in tables for stem in stems)


def _tables(archive: zipfile.ZipFile) -> Iterator[str]:
    """The text of the zip's CSV files, as far as it can be read."""
    tables = [info for info in archive.infolist() if info.filename.lower().endswith(".csv")]
    for info in tables[:_TABLES]:
        try:
            with archive.open(info) as file:
                yield decode(file.read(_TABLE_BYTES).rpartition(b"\n")[0])[0]
        except (InputError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
            continue


def _fits(name: bytes, encoding: str) -> bool:
    try:
        name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decode(name: bytes, encoding: str) -> str:
    """`name` in that encoding; as zip's own code page has it where it does not fit, which loses no byte."""
    return name.decode(encoding if _fits(name, encoding) else "cp437")
