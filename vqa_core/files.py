"""Files: atomic writes, JSON and JSON lines, hashes; and InputError, raised wherever the input is wrong."""

import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock

from vqa_core.drives import hidden_prefix, replace_file, set_mode
from vqa_core.drives import sync_file as sync_file
from vqa_core.drives import sync_folder as sync_folder
from vqa_core.errors import InputError as InputError
from vqa_core.space import said_of_drive


def named(ids: Sequence[str], most: int = 3) -> str:
    """`'a', 'b', 'c' and 4 more`: the first few of the ids, for a message."""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(map(repr, ids[:most])) + more


def find_duplicates(ids: Iterable[str]) -> list[str]:
    """The ids that occur more than once, each listed once."""
    return [item for item, count in Counter(ids).items() if count > 1]


def check_new(folder: Path) -> None:
    """Raise InputError if a folder to write already exists and is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} already exists and is not empty. Name another folder, or remove it.")


def write_atomically(path: Path, data: str | bytes) -> None:
    """Write `data` to `path` so that readers, and a crash, see either the old file or the new one, never a mixture.

    Raises DiskError, an InputError and an OSError, if the drive is full, read-only or the like; the old file is kept.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        handle, name = _new_beside(path)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            sync_file(file.fileno(), path)
            set_mode(Path(name), 0o666 & ~umask())
            if os.name == "nt":
                file.close()  # Windows renames no file that is open
            replace_file(Path(name), path)
    except BaseException as error:
        if name:
            with contextlib.suppress(OSError):
                os.unlink(name)
        said = said_of_drive(error, path, len(content))
        if said is None:
            raise
        raise said from None


def _new_beside(path: Path) -> tuple[int, str]:
    """A new file beside `path`, and its name. As long as it is open it is locked: without a lock it is a leftover."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=hidden_prefix(path.name), suffix=".tmp")
        if _lock_now(handle, if_refused=True) and os.path.exists(name):
            return handle, name
        os.close(handle)  # another process took it for a leftover just now


def _remove_leftovers(path: Path) -> None:
    """Remove what killed writes of `path` have left, and nothing that a live process writes."""
    leftover = re.compile(re.escape(hidden_prefix(path.name)) + r"\w{8}\.tmp")
    for name in filter(leftover.fullmatch, os.listdir(path.parent)):
        with contextlib.suppress(OSError):
            handle = os.open(path.parent / name, os.O_RDWR)
            try:
                if _lock_now(handle, if_refused=False):
                    os.unlink(path.parent / name)
            finally:
                os.close(handle)


def _lock_now(handle: int, *, if_refused: bool) -> bool:
    """Lock a file until it is closed; False if another process has locked it. Not every drive has locks."""
    try:
        return bool(filelock.lock_descriptor(handle, blocking=False))
    except OSError:
        return if_refused


def umask() -> int:
    """The process's umask: the permissions that a new file or folder must not have."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. A missing or malformed file is an InputError that names file, line and column."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON: {error}.") from None


def write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object per line, atomically; return the number of lines."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    write_atomically(path, "".join(line + "\n" for line in lines))
    return len(lines)


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file. A malformed line is an InputError with its number."""
    if not path.is_file():
        raise InputError(f"{path} does not exist.")
    with path.open(encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _object(path, number, line)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, error) from None


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {number}: not valid JSON ({error}).") from None
    if not isinstance(row, dict):
        raise InputError(f"{path}, line {number}: expected an object, found {type(row).__name__}.")
    return row


def intern_texts(row: Any) -> dict[str, Any]:
    """`row` with interned texts, to save memory: the rows of a dataset repeat most of them.

    Raises TypeError if `row` is not a JSON object.
    """
    if not isinstance(row, dict):
        raise TypeError(f"expected an object, found {type(row).__name__}")
    return {name: sys.intern(value) if type(value) is str else value for name, value in row.items()}


def _not_utf8(path: Path, error: UnicodeDecodeError) -> InputError:
    byte = f"0x{error.object[error.start]:02x}"
    return InputError(f"{path} is not UTF-8 (byte {byte}: {error.reason}). Save it as UTF-8.")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp_of(path: Path) -> tuple[int, int]:
    """Modification time in ns and size in bytes, the key to cache a file by; (0, 0) for a missing file."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def changed_s(path: Path) -> float:
    """Modification time in seconds since the epoch; -1 for a missing file."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -1.0
