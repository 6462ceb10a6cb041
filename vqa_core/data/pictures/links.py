"""Links to files and folders, on systems and drives that refuse symbolic links too.

Windows makes symbolic links only for administrators and in developer mode. There a folder becomes a junction, as long
as it is on a disk of this machine. Elsewhere a file becomes a hard link, or a copy where even that is refused, and a
folder becomes a folder of those.
"""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger("vqa")

_warned: set[str] = set()


def make_link(place: Path, target: Path) -> None:
    """Let `place`, which must not exist, lead to the existing file or folder `target`."""
    target = Path(os.path.abspath(target))
    try:
        place.symlink_to(target, target_is_directory=target.is_dir())
    except FileExistsError:
        raise
    except (OSError, NotImplementedError) as error:
        how = _make_other(place, target)
        if how not in _warned:
            _warned.add(how)
            said = getattr(error, "strerror", None) or str(error)
            logger.warning("Symbolic links are refused here (%s): %s takes the place of %s.", said, how, target)


def is_link(place: Path) -> bool:
    """Whether a path is a symbolic link or a junction."""
    if place.is_symlink():
        return True
    try:
        return bool(getattr(place.lstat(), "st_reparse_tag", 0))
    except OSError:
        return False


def _make_other(place: Path, target: Path) -> str:
    """Let `place` lead to `target` without a symbolic link; return what it is."""
    if target.is_dir():
        if _make_junction(place, target):
            return "a junction"
        shutil.copytree(target, place, copy_function=link_or_copy)
        return "a folder of hard links or copies"
    link_or_copy(target, place)
    return "a hard link or a copy"


def link_or_copy(source: str | Path, place: str | Path) -> None:
    """A hard link to a file, or a copy where the drive has none, or where the two are on different drives."""
    try:
        os.link(source, place)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):
        shutil.copyfile(source, place)


def _make_junction(place: Path, target: Path) -> bool:
    """Make a junction, which only Windows has; return whether that worked."""
    try:
        import _winapi
    except ImportError:
        return False
    make: Callable[[str, str], None] | None = getattr(_winapi, "CreateJunction", None)
    if make is None:
        return False
    try:
        make(str(target), str(place))
    except OSError:  # the target is on a network drive
        if place.is_dir():
            place.rmdir()
        return False
    return True
