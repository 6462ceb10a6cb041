"""Room on a drive: asked for before much is written, and errors of drives said as sentences."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqa_core.drives import free_bytes
from vqa_core.errors import InputError

_FULL = "ENOSPC EDQUOT EFBIG"
_NUMBER_IN_TEXT = re.compile(r"\((?:os error|errno) (\d+)\)|\[[Ee]rrno (\d+)\]")  # Rust's, Python's and Arrow's
_OF_DATABASES = {
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "readonly database": errno.EROFS,
}


class DiskError(InputError, OSError):
    """An error of a drive as a sentence; code that expects the OSError that it was catches it too."""

    def __init__(self, sentence: str, error: OSError) -> None:
        super().__init__(sentence)
        self.sentence, self.errno, self.strerror = sentence, error.errno, error.strerror

    def __str__(self) -> str:
        return self.sentence


def check_space(path: Path, needed_bytes: int, what: str) -> None:
    """Raise InputError if the drive of `path` has less free than `what` needs; a drive that does not say passes."""
    free = free_bytes(path)
    if free is not None and needed_bytes > free:
        raise InputError(
            f"{what} needs {format_bytes(needed_bytes)} at {path}, and its drive has {format_bytes(free)} free. "
            "Make room there, or name a folder on another drive."
        )


def check_folder(path: Path) -> None:
    """Raise DiskError if nothing can be written into the folder `path`, which need not exist; creates nothing."""
    for place in (path, *path.absolute().parents):
        try:
            place.stat()
        except FileNotFoundError:
            if place.is_symlink():
                raise disk_error(place, FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))) from None
            continue
        except OSError as error:
            raise disk_error(path, error) from None
        if not place.is_dir():
            raise disk_error(place, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
        if not os.access(place, os.W_OK):  # which network drives may say of folders that can be written
            try:
                tempfile.TemporaryFile(dir=place).close()
            except OSError as error:
                raise disk_error(place, error) from None
        return


def disk_error(path: Path, error: OSError, needed_bytes: int = 0) -> InputError:
    """The sentence for an error of the drive at `path`; `needed_bytes` is what was to be written, where it is known.

    Any OSError has one: what is full, read-only, forbidden, too long or out of reach, and what to do.
    """
    return DiskError(_sentence(path, error, needed_bytes), error)


def said_of_drive(error: BaseException, path: Path | None = None, needed_bytes: int = 0) -> InputError | None:
    """`disk_error` for an error of any library whose cause is a drive; None for all others.

    Without a `path`, the sentence names the file that the error names.
    """
    cause = _cause_of(error, path is not None)
    if cause is None or isinstance(cause, DiskError):
        return cause
    place = path or Path(os.fsdecode(cause.filename2 or cause.filename or "the file"))
    return disk_error(place, cause, needed_bytes)


@contextmanager
def drive_errors(path: Path) -> Iterator[None]:
    """Raise what goes wrong with the drive of `path` in the block as a DiskError that names `path`."""
    try:
        yield
    except Exception as error:
        said = said_of_drive(error, path)
        if said is None:
            raise
        raise said from error


def format_bytes(count: int) -> str:
    """`1.5 GB`: bytes for a person."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _sentence(path: Path, error: OSError, needed: int) -> str:
    kind = errno.errorcode.get(error.errno or 0, "")
    free = free_bytes(path) if kind in ("ENOSPC", "EDQUOT") else None
    room = f" ({format_bytes(needed)} needed)" if needed else ""
    room = f" ({format_bytes(needed)} needed, {format_bytes(free)} free)" if needed and free is not None else room
    if kind == "ENOSPC":
        return f"{path} cannot be written: its drive is full{room}. Make room there, then run the same command again."
    if kind == "EDQUOT":
        return f"{path} cannot be written: your quota on its drive is used up{room}. Make room, then run it again."
    if kind == "EFBIG":
        return (
            f"{path} cannot be written: it becomes larger than its drive or a limit of this shell (`ulimit -f`) "
            f"allows{room}. Name a folder on another drive, or raise the limit."
        )
    if kind == "EROFS":
        return f"{path} cannot be written: its drive is read-only. Name a folder on another drive."
    if kind in ("EACCES", "EPERM"):
        return (
            f"{path}: permission denied, or another program has it open. Name a folder that you may write to, or have "
            "its owner allow it."
        )
    if kind == "ENAMETOOLONG":
        return (
            f"{_shortened(path)}: the name is too long. A name has room for 255 bytes, of which a Korean letter takes "
            "3; choose a shorter one."
        )
    if kind in ("EEXIST", "ENOTDIR"):
        return f"{path}: a file or a broken link is where a folder is needed. Name another folder, or move it away."
    if kind == "EISDIR":
        return f"{path}: a folder is where a file is needed. Name another file, or move the folder away."
    if kind in ("EINVAL", "EILSEQ"):
        return f"{path}: its drive does not take this name. Choose another without signs such as : ? * or a quote."
    if kind == "EMFILE":
        return f"{path}: too many files are open. Raise the limit of this shell with `ulimit -n 65536`."
    return f"{path}: its drive answers {error.strerror or error}. See that it is connected, then run it again."


_OF_DRIVES = f"""
{_FULL} EROFS EIO EACCES EPERM ENAMETOOLONG EEXIST ENOTDIR EISDIR EINVAL EILSEQ EMFILE ELOOP EBUSY ESTALE ENOTCONN
ENODEV ENXIO EREMOTEIO EHOSTDOWN ETIMEDOUT
""".split()
_WITHOUT_NAME = (*_FULL.split(), "EROFS", "EIO")  # calls that write name no file in their errors


def _cause_of(error: BaseException | None, at_a_path: bool) -> OSError | None:
    """The error of a drive that `error` is, wraps, or quotes in its text as libraries in Rust and C++ do.

    Unless it came up `at_a_path`, one that may also be that of a socket or a process has to name a file.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, InputError):
            return error if isinstance(error, DiskError) else None  # a better sentence
        if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
            _, target, why = error.args[0][0]  # of all that a copy of a folder met, the first
            return OSError(_number_in(str(why)), str(why), target)
        if isinstance(error, OSError) and error.errno:
            known = _OF_DRIVES if at_a_path or error.filename is not None else _WITHOUT_NAME
            if errno.errorcode.get(error.errno) in known:
                return error
        elif errno.errorcode.get(number := _number_in(str(error))) in _WITHOUT_NAME:
            return OSError(number, os.strerror(number))
        error = error.__cause__
    return None


def _number_in(text: str) -> int:
    if found := _NUMBER_IN_TEXT.search(text):
        return int(found[1] or found[2])
    return next((number for said, number in _OF_DATABASES.items() if said in text), 0)


def _shortened(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 120 else f"{text[:60]}...{text[-20:]}"
