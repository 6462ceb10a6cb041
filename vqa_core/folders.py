"""Replace a folder as a whole, as `write_atomically` replaces a file."""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from vqa_core.drives import copy_folder, hidden_prefix, link_or_copy, rename_folder, replace_file, sync_file
from vqa_core.locks import Lock, try_lock
from vqa_core.space import said_of_drive

_TRIES = 5  # some network drives never number a file alike twice: then it is taken for the same


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends.

    An error leaves `target` as it was and removes the new folder. A kill also leaves `target` as it was, perhaps under
    a hidden name between the last two renames, and a hidden `.NAME.*.tmp` folder. The next call puts back the one and
    removes the other. Raises DiskError if the drive is full, read-only or the like.
    """
    with scratch_folder(target) as building:
        yield building
        put_in_place(building, target)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` for what will be renamed from it to its place; it is removed at the end.

    What a kill leaves, the next call for this `target` removes. Raises DiskError as `replaced_folder` does.
    """
    building, lock = None, None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clean_up(target)
        building, lock = _begin(target)
        building.mkdir()
        yield building
    except Exception as error:
        written = _bytes_in(building) if building is not None else 0
        said = said_of_drive(error, _place_of(error, building, target), written)
        if said is None:
            raise
        raise said from error
    finally:
        if building is not None and lock is not None:
            shutil.rmtree(building, ignore_errors=True)
            _end(building, lock)


@contextmanager
def restored_on_error(root: Path, names: Sequence[str]) -> Iterator[None]:
    """If the block raises an error, put these files and folders below `root` back as they were, the last name last.

    The block must replace files, not write into them: what is kept of them meanwhile are links where a drive has them.
    A kill leaves what the block has written so far.
    """
    with scratch_folder(root / "kept") as kept:
        for path in (root / name for name in names):
            if path.is_dir():
                copy_folder(path, kept / path.name, link_or_copy)
            elif path.exists():
                link_or_copy(path, kept / path.name)
        try:
            yield
        except Exception:
            for path in (root / name for name in names):
                if (kept / path.name).exists():
                    put_in_place(kept / path.name, path)
                elif path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            raise


def put_in_place(new: Path, target: Path) -> None:
    """Rename the file or folder `new`, of a scratch folder or one itself, to `target`, in place of what is there.

    After an error what was there is there again.
    """
    if not new.is_dir():
        replace_file(new, target)
        return
    _clean_up(target)
    name, lock = _begin(target)
    old = name.with_suffix(".old.tmp")
    try:
        if target.exists():
            rename_folder(target, old)
        rename_folder(new, target)
    except BaseException:
        if old.exists() and not target.exists():
            rename_folder(old, target)
        raise
    finally:
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        _end(name, lock)


def sync_files(folder: Path) -> list[Path]:
    """Have the drive keep every file below a folder, before the folder gets the name that vouches for it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        with path.open("rb+") as file:  # Windows syncs what may be written to
            sync_file(file.fileno(), path)
    return files


def _bytes_in(folder: Path) -> int:
    """What it takes at the least."""
    with contextlib.suppress(OSError):
        return sum(path.lstat().st_size for path in folder.rglob("*"))
    return 0


def _place_of(error: Exception, building: Path | None, target: Path) -> Path:
    """What a sentence about the error names: the file that it names, or the target for one that is being built."""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    place = Path(os.fsdecode(name)) if isinstance(name, str | bytes) else target
    return target if building is not None and place.is_relative_to(building) else place


def _begin(target: Path) -> tuple[Path, Lock]:
    """A name for a folder to build, and the lock that says that a live process builds it."""
    for left in count(_TRIES, -1):
        building = target.with_name(f"{hidden_prefix(target.name)}{secrets.token_hex(4)}.tmp")
        path = _lock_path(building)
        lock = try_lock(path)
        if lock is None:
            continue
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fd), path.stat()) or left <= 0:
                return building, lock
        _end(building, lock)  # another process took it for a leftover just now
    raise AssertionError


def _end(building: Path, lock: Lock) -> None:
    """Remove the lock; nobody builds under that name again."""
    if os.name == "nt":
        lock.release()
    with contextlib.suppress(OSError):
        _lock_path(building).unlink()
    lock.release()


def _clean_up(target: Path) -> None:
    """Remove what killed builds of `target` have left, nothing of a live one; put `target` back if it is missing."""
    leftover = re.compile(re.escape(hidden_prefix(target.name)) + r"\w{8}(?=(\.old|\.lock)?\.tmp$)")
    found = {match[0] for match in map(leftover.match, os.listdir(target.parent)) if match}
    for building in (target.with_name(f"{name}.tmp") for name in sorted(found)):
        lock = try_lock(_lock_path(building))
        if lock is None:
            continue
        old = building.with_suffix(".old.tmp")
        if old.exists() and not target.exists():
            rename_folder(old, target)
        for folder in (building, old):
            shutil.rmtree(folder, ignore_errors=True)
        _end(building, lock)


def _lock_path(building: Path) -> Path:
    return building.with_suffix(".lock.tmp")
