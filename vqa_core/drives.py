"""What a drive may refuse that a disk does: a mounted Google Drive, a network share, a bucket, a USB stick.

`REFUSALS` is the one list: for each call, the errors with which its manual page (or that of the drive) says that the
drive cannot do it, what is done instead, and what is weaker then. One warning for each call and drive says so. Any
other error, such as a full disk, is raised.
"""

import errno
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("vqa")

LONGEST_NAME = 255  # bytes of a file's name on almost every drive
_LONGEST_END = 24  # bytes of what stands around NAME in names of temporary files, such as `.NAME.12345678.lock.tmp`
_WINDOWS = sys.platform == "win32"
_PAUSES_S = (0.01, 0.03, 0.1, 0.3, 1.0)  # for the reader or virus scanner that has a file open on Windows


@dataclass(frozen=True, slots=True)
class Refusal:
    """`errors` are names of `errno`; a system need not have all of them."""

    errors: str
    instead: str
    weaker: str

    def covers(self, error: OSError) -> bool:
        """Whether the error says that the drive cannot do it."""
        return error.errno in {getattr(errno, name, None) for name in self.errors.split()} - {None}


_UNKNOWN_CALL = "ENOSYS EOPNOTSUPP ENOTSUP"  # what any call may answer on a drive that does not know it

REFUSALS = {
    "fsync": Refusal(
        f"{_UNKNOWN_CALL} EINVAL EROFS",
        "files are written without it",
        "what was written last may be lost if the machine loses power",
    ),
    "fsync of a folder": Refusal(
        f"{_UNKNOWN_CALL} EINVAL EROFS EBADF EISDIR EACCES EPERM",
        "it is left out",
        "a file or folder that was renamed last may have its earlier name if the machine loses power",
    ),
    "flock": Refusal(
        f"{_UNKNOWN_CALL} EINVAL ENOLCK",
        "a file NAME.soft beside the lock stands for it",
        "the lock of a machine that was switched off stays until that file is deleted",
    ),
    "chmod": Refusal(
        f"{_UNKNOWN_CALL} EPERM EACCES EROFS EINVAL",
        "it is left out",
        "files have the permissions that the drive gives them",
    ),
    "utime": Refusal(
        f"{_UNKNOWN_CALL} EPERM EACCES EROFS EINVAL",
        "it is left out",
        "times of files are those of their last change",
    ),
    "rename over a file": Refusal(
        f"{_UNKNOWN_CALL} EEXIST ENOTEMPTY EPERM EACCES EBUSY EINVAL",
        "the old file is renamed away first",
        "after a kill between the two it may be there as NAME.before only",
    ),
    "rename of a file": Refusal(
        f"{_UNKNOWN_CALL} EXDEV EPERM EINVAL EMLINK",
        "it is copied",
        "after a kill a part of it may be there",
    ),
    "rename of a folder": Refusal(
        f"{_UNKNOWN_CALL} EXDEV EPERM EACCES EBUSY EINVAL EMLINK EMFILE",
        "it is copied",
        "after a kill a part of it may be there",
    ),
    "symlink": Refusal(
        f"{_UNKNOWN_CALL} EPERM EACCES EINVAL",
        "a junction, hard links or copies stand for it",
        "copies take as much room again and do not follow later changes",
    ),
    "link": Refusal(
        f"{_UNKNOWN_CALL} EPERM EACCES EINVAL EXDEV EMLINK",
        "the file is copied",
        "copies take as much room again and do not follow later changes",
    ),
    "ftruncate": Refusal(
        f"{_UNKNOWN_CALL} EPERM EACCES EINVAL EBADF",
        "the file is written anew",
        "that takes as much room again for a moment",
    ),
    "opening to append": Refusal(
        f"{_UNKNOWN_CALL} EPERM EINVAL",
        "it is written at the end that it had",
        "two machines that write it at once may overwrite each other",
    ),
    "mmap": Refusal(
        f"{_UNKNOWN_CALL} ENODEV EACCES EPERM EINVAL",
        "the file is read as a whole",
        "that takes as much memory as the file is long",
    ),
    "statvfs": Refusal(
        f"{_UNKNOWN_CALL} EACCES EPERM EINVAL EIO EOVERFLOW",
        "free space is not checked",
        "a full drive shows only when it is written to",
    ),
}
"""Names are longer or shorter than a drive allows, too, or have a letter that it forbids: see vqa_core/space.py."""


def refused(call: str, error: OSError) -> bool:
    """Whether the error says that the drive cannot do the call, which then has to be done in the other way."""
    return REFUSALS[call].covers(error)


def warn(call: str, error: OSError, path: Path) -> None:
    """Say, once for each call and drive, what is done instead of a call and what is weaker then."""
    key = (call, _drive_of(path))
    if key in _warned:
        return
    _warned.add(key)
    refusal = REFUSALS[call]
    said = error.strerror or str(error)
    logger.warning("The drive of %s refuses %s (%s): %s; %s.", path, call, said, refusal.instead, refusal.weaker)


_warned: set[tuple[str, int | str]] = set()


def tolerate(call: str, error: OSError, path: Path) -> None:
    """`warn` if the drive cannot do the call, where nothing has to be done instead; else raise the error."""
    if not refused(call, error):
        raise error
    warn(call, error, path)


def sync_file(handle: int, path: Path | None = None) -> None:
    """Have the drive keep what was written to a file, if it can; `path` names it in the warning if it cannot."""
    try:
        os.fsync(handle)
    except OSError as error:
        tolerate("fsync", error, path or Path.cwd())


def sync_folder(path: Path) -> None:
    """Have the drive keep the names in a folder, where folders can be synced: on Windows they cannot and need not."""
    if _WINDOWS:
        return
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        tolerate("fsync of a folder", error, path)


def set_mode(path: Path, mode: int) -> None:
    """`chmod`, where the drive has permissions."""
    try:
        os.chmod(path, mode)
    except OSError as error:
        tolerate("chmod", error, path)


def touch(path: Path) -> None:
    """Date a file or folder that is there now, where the drive lets one."""
    try:
        os.utime(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        tolerate("utime", error, path)


def replace_file(source: Path, target: Path) -> None:
    """Rename `source` to `target`, which may exist. Until that is done, `target` is what it was."""
    try:
        _patiently(os.replace, source, target)
    except OSError as error:
        if refused("rename over a file", error) and target.is_file():
            _rename_around(source, target, error)
        elif refused("rename of a file", error):
            shutil.copyfile(source, target)
            source.unlink()
            warn("rename of a file", error, target)
        else:
            raise


def _rename_around(source: Path, target: Path, error: OSError) -> None:
    old = target.with_name(f"{target.name}.before")  # answers that --restart set aside are called NAME.old
    try:
        old.unlink(missing_ok=True)
        os.rename(target, old)
    except OSError:
        raise error from None
    try:
        os.rename(source, target)
    except OSError:
        os.rename(old, target)
        raise error from None
    old.unlink()
    warn("rename over a file", error, target)


def rename_folder(source: Path, target: Path) -> None:
    """Rename a folder to a name that no other has; a copy that fails leaves nothing under the new name."""
    try:
        _patiently(Path.rename, source, target)
    except OSError as error:
        if not refused("rename of a folder", error) or target.exists():
            raise
        try:
            copy_folder(source, target)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        shutil.rmtree(source, ignore_errors=True)
        warn("rename of a folder", error, target)


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a file with its times and permissions, as far as the drive takes them."""
    shutil.copyfile(source, target)
    try:
        shutil.copystat(source, target)
    except OSError as error:
        tolerate("chmod", error, Path(target))


def copy_folder(
    source: Path,
    target: Path,
    copy: Callable[[Path, Path], None] = copy_file,
    leave_out: Callable[[Path], bool] = lambda _: False,
) -> None:
    """Copy a folder and all in it to `target`, which may exist: shutil does not, where a drive has no permissions."""
    target.mkdir(exist_ok=True)
    for entry in sorted(source.iterdir()):
        if leave_out(entry):
            continue
        if entry.is_dir():
            copy_folder(entry, target / entry.name, copy, leave_out)
        else:
            copy(entry, target / entry.name)


def link_or_copy(source: str | Path, place: str | Path) -> None:
    """A hard link to a file, or a copy where the drive has none, or where the two are on different drives."""
    try:
        os.link(source, place)
    except FileExistsError:
        raise
    except (NotImplementedError, AttributeError):
        shutil.copyfile(source, place)
    except OSError as error:
        if not refused("link", error):
            raise
        shutil.copyfile(source, place)


def open_to_append(path: Path) -> int:
    """A descriptor of a file that is read and written at its end; it is created if it is missing."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags | os.O_APPEND, 0o666)
    except OSError as error:
        if not refused("opening to append", error):
            raise
        handle = os.open(path, flags, 0o666)
        os.lseek(handle, 0, os.SEEK_END)
        warn("opening to append", error, path)
        return handle


def free_bytes(path: Path) -> int | None:
    """How many bytes may still be written where `path` is or would be; None if the drive does not say."""
    for place in (path.absolute(), *path.absolute().parents):
        try:
            usage = shutil.disk_usage(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            tolerate("statvfs", error, path)
            return None
        return usage.free if usage.total else None
    return None


def hidden_prefix(name: str) -> str:
    """`.NAME.`, with which names of temporary files beside NAME begin: cut so that a drive takes their rest too."""
    encoded = os.fsencode(name)
    room = LONGEST_NAME - _LONGEST_END
    return f".{name if len(encoded) <= room else encoded[:room].decode('utf-8', 'ignore')}."


def _patiently(call: Callable[[Path, Path], object], source: Path, target: Path) -> None:
    """Call again a few times where Windows refuses it, since another process has the file open for a moment."""
    for pause in _PAUSES_S if _WINDOWS else ():
        try:
            call(source, target)
            return
        except PermissionError:
            time.sleep(pause)
    call(source, target)


def _drive_of(path: Path) -> int | str:
    """A name for the drive that the path is on."""
    for place in (path.absolute(), *path.absolute().parents):
        try:
            return os.stat(place).st_dev
        except OSError:
            continue
    return ""
