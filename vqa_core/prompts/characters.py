"""Decoding generated ids into whole characters.

A token may hold a part of a character: byte-level BPE cuts between any two bytes, and SentencePiece spells what is not
in its vocabulary in tokens of one byte. Decoded, a part at the end is U+FFFD, which a text may also hold itself; the
bytes of the tokens tell the two apart.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

REPLACEMENT = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_PART = re.compile(r"[\udc80-\udcff\s]+\Z")
"""Blanks, and what `surrogateescape` makes of bytes that are no character, at the end."""
_TAIL = re.compile(r"[\ufffd\s]+\Z")
_BLANKS = "\u2581\u0120\u010a\u0109 \n\t"  # as SentencePiece and byte-level BPE write blanks, line ends and tabs


def decode_whole(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of ids, without special tokens, blanks at its ends, and a part of a character at its end."""
    text = _decode(tokenizer, ids).strip()
    if not text.endswith(REPLACEMENT):
        return text
    special = set(tokenizer.all_special_ids)
    shown = [id for id in ids if id not in special]
    tokens = [str(token) for token in tokenizer.convert_ids_to_tokens(shown)]
    while tokens and not tokens[-1].strip(_BLANKS):
        tokens.pop()
    if tokens and _BYTE.fullmatch(tokens[-1]):
        return _end_of_single_bytes(tokenizer, shown, tokens)
    return _end_of_byte_level(text, tokens)


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _end_of_single_bytes(tokenizer: Any, ids: Sequence[int], tokens: Sequence[str]) -> str:
    """The text of tokens that end in a row of single bytes.

    Decoders take such a row as a whole: a part of a character would spoil the characters before it.
    """
    data: list[int] = []
    for token in reversed(tokens):
        byte = _BYTE.fullmatch(token)
        if not byte:
            break
        data.insert(0, int(byte[1], 16))
    before, end = ids[: len(tokens) - len(data)], _whole(bytes(data))
    if not end:
        return decode_whole(tokenizer, before)
    return (_decode(tokenizer, before) + end.encode("utf-8", "surrogateescape").decode("utf-8", "replace")).strip()


def _end_of_byte_level(text: str, tokens: Sequence[str]) -> str:
    """The text with as many U+FFFD at its end as byte-level tokens spell there."""
    known = _bytes_by_letter()
    if not tokens or not all(letter in known for letter in tokens[-1]):
        return text  # the vocabulary itself has the character
    data = b"".join(
        bytes(known[letter] for letter in token) if all(letter in known for letter in token) else token.encode()
        for token in tokens
    )
    spelled = _TAIL.search(_whole(data))
    return (_TAIL.sub("", text) + (spelled[0] if spelled else "")).strip()


def _whole(data: bytes) -> str:
    """UTF-8 bytes as text up to its last whole character; other bytes that are none are surrogates."""
    return _PART.sub("", data.decode("utf-8", "surrogateescape"))


@cache
def _bytes_by_letter() -> dict[str, int]:
    """The byte that each letter of a byte-level token stands for, as in GPT-2: itself where it can be printed."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(byte): byte for byte in printed} | {chr(256 + at): byte for at, byte in enumerate(others)}
