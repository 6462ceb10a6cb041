"""What a drive may refuse that a disk does: a mounted Google Drive, a network share, a bucket, a USB stick.

`REFUSALS` is the one list: for each call, the errors with which its manual page (or that of the drive) says that the
drive cannot do it, what is done instead, and what is weaker then. One warning for each call and drive says so. Any
other error, such as a full disk, is raised.
"""

import errno
import logging
import os
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("vqa")


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
        "the file is written without it",
        "what was written last may be lost if the machine loses power",
    ),
    "fsync of a folder": Refusal(
        f"{_UNKNOWN_CALL} EINVAL EROFS EBADF EISDIR EACCES EPERM",
        "the folder is left to the drive",
        "a file written last may have its earlier content if the machine loses power",
    ),
    "flock": Refusal(
        f"{_UNKNOWN_CALL} EINVAL ENOLCK",
        "a file NAME.soft beside the lock stands for it",
        "the lock of a machine that was switched off stays until its file is deleted",
    ),
}


_warned: set[tuple[str, int | str]] = set()


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


def tolerate(call: str, error: OSError, path: Path) -> None:
    """`warn` if the drive cannot do the call, where nothing has to be done instead; else raise the error."""
    if not refused(call, error):
        raise error
    warn(call, error, path)


def _drive_of(path: Path) -> int | str:
    """A name for the drive that the path is on."""
    for place in (path, *path.absolute().parents):
        try:
            return os.stat(place).st_dev
        except OSError:
            continue
    return ""
