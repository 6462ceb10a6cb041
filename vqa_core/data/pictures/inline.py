"""Pictures inside a text, as base64 with or without `data:image/png;base64,` in front: decoded, and told from paths.

MMBench and other benchmarks of VLMEvalKit are one TSV with such a column; web tools write `data:` addresses (RFC 2397).
"""

import ast
import base64
import binascii
import contextlib
import re
from pathlib import Path

from vqa_core.data.pictures.image_formats import suffix_of

BROKEN = "a picture in base64 that cannot be decoded"

_ADDRESS = re.compile(r"data:[^,;]*(?:;[^,;]+)*?(;base64)?,", re.IGNORECASE)
_QUOTES = re.compile(r"\Ab?['\"]|['\"]\Z")  # bytes as Python prints them
_SIGNATURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
_SHORT_SIGNATURES = (b"BM", b"\0\0\0")
"""BMP's, and AVIF's and HEIC's: too short to be sure, so the decoder has to know the rest."""
_SHORTEST = 64
"""Characters: a picture in base64 is longer, and VLMEvalKit takes what is not for the index of another row."""
_STARTS = rb"iVBORw0KGg|/9j/|R0lGOD|UklGR|SUkqA|TU0AK|Qk[0-3]|AAAA[A-Za-z0-9+/]{3}mdHlw"
_IN_TABLE = re.compile(
    rb"(?:data:image/[\w.+-]+;base64,|[\"', ;|\t\n\r])(?:" + _STARTS + rb")[A-Za-z0-9+/_\-\\\r\n]{60}"
)
_HEAD = 1 << 20
"""So many bytes of a table show whether it has pictures: its header and the beginning of its first rows."""


def decode_picture(text: str) -> bytes | None:
    """The bytes of the picture that `text` is in base64; None if it is another text, such as a path.

    Line breaks, the alphabet for web addresses and missing padding are allowed. Raises ValueError with BROKEN for what
    begins as a picture in base64 and goes on as something else.
    """
    address = _ADDRESS.match(text)
    if len(text) < _SHORTEST and not address:
        return None
    coded = text[address.end() :] if address else _QUOTES.sub("", text.strip())
    start = _decode("".join(coded[: 2 * _SHORTEST].split())[:_SHORTEST])
    if not address and not start.startswith((*_SIGNATURES, *_SHORT_SIGNATURES)):
        return None
    data = _decode("".join(coded.split()))
    if data and (address or data.startswith(_SIGNATURES) or suffix_of(data)):
        return data
    if address or start.startswith(_SIGNATURES):
        raise ValueError(BROKEN)
    return None


def split_pictures(text: str) -> list[str]:
    """The pictures of a field that lists them as Python or JSON would, `['iVBOR...', '/9j/...']`; else the field."""
    if text.startswith("[") and text.endswith("]"):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            items = ast.literal_eval(text)
            if isinstance(items, list) and all(isinstance(item, str) for item in items):
                return items
    return [text]


def has_inline_pictures(table: Path) -> bool:
    """Whether a CSV or TSV file has pictures in base64, as its first rows show."""
    try:
        with table.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return _IN_TABLE.search(head.replace(b"\0", b"")) is not None  # UTF-16 has zero bytes


def _decode(coded: str) -> bytes:
    """The bytes of base64; none if it is not. Its length may lack the padding."""
    plain = coded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
