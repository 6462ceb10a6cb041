"""The encoding of a text file, detected from its bytes."""

from collections import Counter

from vqa_core.files import InputError

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def decode(data: bytes, name: str = "The text") -> tuple[str, str]:
    """Text and encoding of `data`: tries a byte-order mark, then zero bytes (UTF-16), then UTF-8, then CP949.

    Raises InputError if none fits; other one-byte encodings look alike and are not guessed.
    """
    for mark, encoding in _BOMS.items():
        if data.startswith(mark):
            return _decode_as(data, encoding, name).removeprefix("\ufeff"), encoding
    head = data[:1000]
    if head.count(0):  # text in UTF-8 or CP949 has no zero bytes; half of ASCII in UTF-16 are
        encoding = "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
        return _decode_as(data, encoding, name), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        line, problem = data.count(b"\n", 0, error.start) + 1, f"byte 0x{data[error.start]:02x}"
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        text = ""
    if not text or not _is_korean(text):
        raise InputError(f"{name} is neither UTF-8 (line {line}: {problem}) nor CP949 nor UTF-16. Save it as UTF-8.")
    return text, "cp949"


def _decode_as(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} looks like {encoding} at its start but cannot be decoded as such ({error.reason}). Save it as "
            "UTF-8."
        ) from None


def _is_korean(text: str) -> bool:
    """Whether most non-ASCII characters are in KS X 1001, the everyday part of CP949.

    Western one-byte text, such as Latin-1, can decode as CP949, but then gives its rare syllables.
    """
    counts = {character: count for character, count in Counter(text).items() if not character.isascii()}
    everyday = sum(count for character, count in counts.items() if _is_everyday(character))
    return 2 * everyday > sum(counts.values())


def _is_everyday(character: str) -> bool:
    try:
        return len(character.encode("euc_kr")) == 2  # Python writes other syllables as eight bytes
    except UnicodeEncodeError:
        return False
