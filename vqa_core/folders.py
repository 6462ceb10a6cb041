"""Replace a folder as a whole, as `write_atomically` replaces a file; sync all files of one."""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqa_core.files import sync_file
from vqa_core.locks import Lock, try_lock


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends.

    An error leaves `target` as it was and removes the new folder. A kill also leaves `target` as it was, perhaps under
    a hidden name between the last two renames, and a hidden `.NAME.*.tmp` folder. The next call puts back the one and
    removes the other.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _clean_up(target)
    building, lock = _begin(target)
    old: Path | None = None
    try:
        building.mkdir()
        yield building
        if target.exists():
            old = building.with_suffix(".old.tmp")
            target.rename(old)
        building.rename(target)
    except BaseException:
        if old is not None and not target.exists():
            old.rename(target)
        shutil.rmtree(building, ignore_errors=True)
        raise
    finally:
        _end(building, lock)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def sync_files(folder: Path) -> list[Path]:
    """Have the drive keep every file below a folder, before the folder gets the name that vouches for it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        with path.open("rb+") as file:  # Windows syncs what may be written to
            sync_file(file.fileno(), path)
    return files


def _begin(target: Path) -> tuple[Path, Lock]:
    """A name for a folder to build, and the lock that says that a live process builds it."""
    while True:
        building = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        path = _lock_path(building)
        lock = try_lock(path)
        if lock is None:
            continue
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fd), path.stat()):
                return building, lock
        lock.release()  # another process took it for a leftover just now


def _end(building: Path, lock: Lock) -> None:
    """Remove the lock; nobody builds under that name again."""
    if os.name == "nt":
        lock.release()
    with contextlib.suppress(OSError):
        _lock_path(building).unlink()
    lock.release()


def _clean_up(target: Path) -> None:
    """Remove what killed builds of `target` have left, nothing of a live one; put `target` back if it is missing."""
    leftover = re.compile(re.escape(f".{target.name}.") + r"\w{8}(?=(\.old|\.lock)?\.tmp$)")
    found = {match[0] for match in map(leftover.match, os.listdir(target.parent)) if match}
    for building in (target.with_name(f"{name}.tmp") for name in sorted(found)):
        lock = try_lock(_lock_path(building))
        if lock is None:
            continue
        old = building.with_suffix(".old.tmp")
        if old.exists() and not target.exists():
            old.rename(target)
        for folder in (building, old):
            shutil.rmtree(folder, ignore_errors=True)
        _end(building, lock)


def _lock_path(building: Path) -> Path:
    return building.with_suffix(".lock.tmp")
