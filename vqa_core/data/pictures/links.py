"""Links to files and folders, on systems and drives that refuse symbolic links too.

Windows makes symbolic links only for administrators and in developer mode. There a folder becomes a junction, as long
as it is on a disk of this machine. Elsewhere a file becomes a hard link, or a copy where even that is refused, and a
folder becomes a folder of those.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from vqa_core.drives import copy_folder, link_or_copy, refused, warn


def make_link(place: Path, target: Path) -> None:
    """Let `place`, which must not exist, lead to the existing file or folder `target`."""
    target = Path(os.path.abspath(target))
    try:
        place.symlink_to(target, target_is_directory=target.is_dir())
    except FileExistsError:
        raise
    except NotImplementedError as error:
        _make_other(place, target)
        warn("symlink", OSError(errno.ENOSYS, str(error) or "not implemented"), place)
    except OSError as error:
        if not refused("symlink", error):
            raise
        _make_other(place, target)
        warn("symlink", error, place)


def _make_other(place: Path, target: Path) -> None:
    """Let `place` lead to `target` without a symbolic link."""
    if not target.is_dir():
        link_or_copy(target, place)
    elif not _make_junction(place, target):
        inside = place.parent.resolve()
        copy_folder(
            target,
            place,
            link_or_copy,
            # hidden files, and the folder that `place` itself lies in
            lambda path: path.name[0] == "." or inside.is_relative_to(path.resolve()),
        )


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
