"""Replace a folder as a whole, as `write_atomically` replaces a file."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqa_core.files import umask


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends.

    An error leaves `target` as it was and removes the new folder. A kill also leaves `target` as it was (or, between
    the last two renames, missing), and a hidden `.NAME.*.tmp` folder, which the next call removes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    lock = os.open(building, os.O_RDONLY)  # held until the end: without a lock, the folder is a leftover
    old: Path | None = None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield building
        building.chmod(0o777 & ~umask())
        if target.exists():
            old = building.with_name(building.name.removesuffix(".tmp") + ".old.tmp")
            target.rename(old)
        building.rename(target)
    except BaseException:
        if old is not None and not target.exists():
            old.rename(target)
        shutil.rmtree(building, ignore_errors=True)
        raise
    finally:
        os.close(lock)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(target: Path) -> None:
    """Remove the leftovers of killed builds of `target`, but no folder that a live process is building."""
    for entry in list(os.scandir(target.parent)):
        if not (entry.name.startswith(f".{target.name}.") and entry.name.endswith(".tmp") and entry.is_dir()):
            continue
        handle = os.open(entry.path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry.path, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)
