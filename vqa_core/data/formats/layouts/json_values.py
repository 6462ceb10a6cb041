"""Read a file of JSON by its content: one value, or several in a row as in JSON lines, whatever the suffix."""

import json
import re
from pathlib import Path
from typing import Any

from vqa_core.data.texts.encodings import decode
from vqa_core.files import InputError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".jsonlines")
_OTHERS = (".csv", ".tsv", ".zip", ".parquet")
_BLANK = re.compile(r"\s*")
_HEAD = 256  # bytes at the start of a file that show whether it is JSON


def is_json(path: Path) -> bool:
    """Whether a file has a suffix of JSON, or begins as a list or an object of it does."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix.lower() in _OTHERS or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith((b"[", b"{"))


def refuse_pickle(path: Path) -> None:
    """Raise InputError for a pickle, such as those that PathVQA comes in: reading one may run any program."""
    if path.is_file() and path.suffix.lower() in (".pkl", ".pickle", ".pk", ".p"):
        raise InputError(
            f"{path} is a pickle, and opening one may run any program, so it is not read here. If you trust it, write "
            f"its records as JSON: "
            f"`python -c \"import json, pickle; json.dump(pickle.load(open('{path}', 'rb')), open('{path.stem}.json', "
            f"'w'))\"`."
        )


def read_values(path: Path) -> tuple[Any, str]:
    """The content of a file of JSON, and its encoding.

    Several values become one list: the objects of JSON lines, or of lists that were put into one file. An empty file is
    an empty list. Raises InputError with line, column and what to do about it if the text is not JSON.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    text, encoding = decode(data, str(path))
    values: list[Any] = []
    decoder, at = json.JSONDecoder(), _skip(text, 0)
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise _refusal(path, text, error) from None
        values.append(value)
        at = _skip(text, end)
    if len(values) == 1:
        return values[0], encoding
    if values and all(isinstance(value, list) for value in values):
        return [item for value in values for item in value], encoding
    return values, encoding


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _refusal(path: Path, text: str, error: json.JSONDecodeError) -> InputError:
    place = f"{path}, line {error.lineno}, column {error.colno}"
    found, before = text[error.pos : error.pos + 1], text[: error.pos].rstrip()[-1:]
    if not text[error.pos :].strip() or error.msg.startswith("Unterminated string"):
        return InputError(f"{place}: the file ends within a value. Download or write it again.")
    if found in ("]", "}") and before == ",":
        return InputError(f"{place}: a comma stands before {found!r}, which JSON does not allow. Remove the comma.")
    if found == "," and before in ("]", "}"):
        return InputError(
            f"{place}: a comma stands between two objects outside of a list. Remove it, or enclose them in [ and ]."
        )
    if found == "'":
        return InputError(
            f"{place}: a text stands in single quotes, as Python prints it. Write the file again with `json.dump`."
        )
    return InputError(f"{place}: not valid JSON ({error.msg}). Correct the file there, or download it again.")
