"""The encoding of a text file, detected from its bytes: by its marks, or by which decoded text is likeliest."""

import codecs
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass

from vqa_core.data.texts.letters import ASCII_BITS, LANGUAGES
from vqa_core.files import InputError

CLOSE_BITS = 15.0
"""Readings whose costs differ by less are a close call: the file could be either."""
_WORST_BITS = 12.5  # of a letter, on average; text in a known encoding takes 5 to 11
_LIKELY_BITS, _UNLIKELY_BITS = 11.0, 18.0  # of a letter, on average, in a text of a few words
_FEW = 60  # letters
_LONG_CHARACTER = re.compile(rb"[\xe0-\xff]")  # the first byte of three or four in UTF-8: never by chance
_WORDS = 4000  # distinct ones are enough to tell
_BESIDE = 1 << 18  # bytes to look for words in ASCII in
_SHOWN = 60  # characters of a line
_ASCII_WORD = re.compile(rb"[a-z]{2,}")

_BOMS = {  # the longer marks first: UTF-32's starts as UTF-16's does
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
_BETWEEN_WORDS = re.compile(rb"[\0-/:-?]+")  # bytes that are never a part of a longer character
_WEST = "English French German Spanish Portuguese Italian Swedish Danish Finnish Dutch Icelandic"
_EAST = "Polish Czech Hungarian Romanian Croatian German"
_CANDIDATES = (  # codec, languages written in it, bits that its rarity costs
    ("cp949", "Korean", -4),
    ("gb18030", "Chinese", 0),
    ("gb18030", "traditional Chinese", 8),
    ("cp950", "traditional Chinese", 0),
    ("big5hkscs", "traditional Chinese", 6),
    ("cp932", "Japanese", 0),
    ("euc_jp", "Japanese", 4),
    ("cp1252", _WEST, 0),
    ("iso8859-15", _WEST, 5),
    ("mac-roman", _WEST, 8),
    ("cp1250", _EAST, 3),
    ("iso8859-2", _EAST, 7),
    ("cp1251", "Russian Ukrainian Bulgarian", 0),
    ("koi8-u", "Russian Ukrainian", 3),
    ("cp866", "Russian", 4),
    ("iso8859-5", "Russian Bulgarian", 8),
    ("cp1253", "Greek", 0),
    ("iso8859-7", "Greek", 3),
    ("cp1254", "Turkish", 3),
    ("cp1255", "Hebrew", 2),
    ("cp1256", "Arabic", 2),
    ("cp1257", "Estonian Latvian Lithuanian", 2),
    ("cp874", "Thai", 2),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text that bytes may mean: `cost` in bits is lower for a likelier one."""

    cost: float
    encoding: str
    text: str


def decode(data: bytes, name: str = "The text", encoding: str = "") -> tuple[str, str]:
    """Text and encoding of `data`: by a byte-order mark, zero bytes (UTF-16), valid UTF-8, or else as `encoding`.

    Without `encoding`, the likeliest reading in the usual encodings of East Asia and Europe is taken: it must be as
    good as text in a known language, and no close call. Raises InputError otherwise; it then shows what the bytes may
    mean.
    """
    for mark, marked in _BOMS.items():
        if data.startswith(mark):
            return _decode_as(data, marked, name).removeprefix("\ufeff"), marked
    head = data[:1000]
    if head.count(0):  # text in UTF-8 or in a legacy encoding has no zero bytes; half of ASCII in UTF-16 are
        wide = "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
        return _decode_as(data, wide, name), wide
    if b"\x1b$B" in data and b"\x1b(" in data and data.isascii() and _decodes(data, "iso2022_jp"):
        return data.decode("iso2022_jp"), "iso2022_jp"  # ASCII with escape sequences
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = _place(data, error)
    else:
        likelier = _likelier_than_utf_8(data, text)
        if not likelier:
            return text, "utf-8"
        if not encoding:
            shown = _show(data, likelier)
            raise InputError(
                f"{name} can be read in several ways: {shown}. Name the right one with --encoding, or save the file as "
                "UTF-8 with a byte-order mark."
            )
    if encoding:
        return _decode_as_told(data, encoding, name)
    found, nearly_utf_8 = _read(data)
    if nearly_utf_8:
        raise InputError(
            f"{name} is UTF-8 but for line {line} (byte 0x{byte}). Correct that line, or name another encoding with "
            "--encoding."
        )
    if not found or _bits_per_letter(found[0]) > _WORST_BITS:
        raise InputError(
            f"{name} is not UTF-8 (line {line}: byte 0x{byte}), and its bytes do not tell its encoding. Save it as "
            "UTF-8, or name its encoding with --encoding."
        )
    close = [reading for reading in found if reading.cost < found[0].cost + CLOSE_BITS]
    if len(close) > 1:
        shown = _show(data, close)
        raise InputError(
            f"{name} is not UTF-8 (line {line}: byte 0x{byte}) and can be read in several ways: {shown}. Name the "
            "right one with --encoding, or save the file as UTF-8."
        )
    return data.decode(found[0].encoding), found[0].encoding


def _likelier_than_utf_8(data: bytes, text: str) -> list[Reading]:
    """UTF-8 and a reading that is likelier, if a few words are valid UTF-8 only by chance, as `图片` in GBK is `ͼƬ`."""
    if data.isascii() or len(data) - len(text) > _FEW or _LONG_CHARACTER.search(data):
        return []
    words = _words(data)
    plain = Reading(cost_of(b"\n".join(words).decode()), "utf-8", b"\n".join(words).decode())
    best = next(iter(readings(words)), None)
    if best and _bits_per_letter(plain) > _UNLIKELY_BITS and _bits_per_letter(best) < _LIKELY_BITS:
        return [plain, best]
    return []


def _show(data: bytes, found: list[Reading]) -> str:
    """The readings of a line that the first two of them read differently."""
    row = _differing_line(data, found[0].text, found[1].text)
    return "; ".join(f"{one.encoding} gives {cut_line(row.decode(one.encoding))!r}" for one in found[:4])


def cost_of(text: str, beside: Set[str] = frozenset()) -> float:
    """The bits of a text in whichever language it is cheapest."""
    return min(language.cost(text, beside) for language in LANGUAGES.values())


def _read(data: bytes) -> tuple[list[Reading], bool]:
    """The readings that fit all of `data`, and whether UTF-8 but for some bytes is likelier than any of them."""
    words = _words(data)
    beside = frozenset(word.decode() for word in _ASCII_WORD.findall(data[:_BESIDE].lower()))
    found = [reading for reading in readings(words, beside) if _decodes(data, reading.encoding)]
    broken = b"\n".join(words).decode("utf-8", "surrogateescape")
    cost = cost_of(broken, beside)
    return found, cost < (found[0].cost if found else _WORST_BITS * len(broken))


def readings(words: Iterable[bytes], beside: Set[str] = frozenset()) -> list[Reading]:
    """The texts that `words` may mean in the usual legacy encodings, likeliest first, each text once.

    `beside` are words in ASCII that stand beside them.
    """
    data = b"\n".join(words)
    found: dict[str, Reading] = {}
    for encoding, languages, rarity in _CANDIDATES:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        costs = (LANGUAGES[name].cost(text, beside) for name in _names(languages))
        reading = Reading(rarity + min(costs), encoding, text)
        if text not in found or reading.cost < found[text].cost:
            found[text] = reading
    return sorted(found.values(), key=lambda reading: reading.cost)


def cut_line(line: str) -> str:
    """The line cut to a length that fits into a sentence."""
    line = line.strip()
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def _differing_line(data: bytes, one: str, other: str) -> bytes:
    """The line of `data` with the first of its words that differs in two readings of them."""
    words = zip(_words(data), one.split("\n"), other.split("\n"))
    at = data.find(next(word for word, text, otherwise in words if text != otherwise))
    start = data.rfind(b"\n", 0, at) + 1
    return data[start:].partition(b"\n")[0]


def _names(languages: str) -> list[str]:
    return [languages] if languages in LANGUAGES else languages.split()


def _words(data: bytes) -> list[bytes]:
    """The distinct words with bytes outside ASCII, in order; as many as it takes to tell."""
    found = dict.fromkeys(word for word in _BETWEEN_WORDS.split(data) if not word.isascii())
    return list(found)[:_WORDS]


def _place(data: bytes, error: UnicodeDecodeError) -> tuple[int, str]:
    """The line of the byte that cannot be decoded, and the byte in hex."""
    return data.count(b"\n", 0, error.start) + 1, f"{data[error.start]:02x}"


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _bits_per_letter(reading: Reading) -> float:
    ascii_letters = sum(map(str.isascii, reading.text))
    return (reading.cost - ASCII_BITS * ascii_letters) / max(1, len(reading.text) - ascii_letters)


def _decode_as(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} looks like {encoding} at its start but cannot be decoded as such ({error.reason}). Save it as "
            "UTF-8."
        ) from None


def _decode_as_told(data: bytes, encoding: str, name: str) -> tuple[str, str]:
    try:
        known = codecs.lookup(encoding).name
        return data.decode(known), known
    except UnicodeDecodeError as error:
        line, byte = _place(data, error)
        raise InputError(
            f"{name} is neither UTF-8 nor {encoding} (line {line}: byte 0x{byte}). Name another encoding with "
            "--encoding, or save the file as UTF-8."
        ) from None
    except LookupError:
        raise InputError(
            f"--encoding {encoding!r} is not known. Name one such as cp949, gb18030, big5, cp932, cp1252 or cp1251."
        ) from None
