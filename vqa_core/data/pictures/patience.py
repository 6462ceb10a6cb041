"""Reading a picture from a drive that fails now and then: what may pass is tried again before the picture is bad."""

import errno
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from vqa_core.data.images import PIXEL_LIMIT, open_image
from vqa_core.files import InputError

WAITS_S = (0.1, 0.5, 2.0)
"""Before each further try."""
_MAY_PASS = frozenset(
    getattr(errno, name, None)
    for name in (
        # a network drive that is slow, away for a moment, or mounted again
        *("EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "EREMOTEIO", "ENOTCONN", "ENOLINK", "ECOMM", "EPROTO"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "ECONNABORTED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH"),
        # a machine that is short of something
        *("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"),
    )
) - {None}
_MAY_PASS_ON_WINDOWS = frozenset({53, 54, 59, 64, 121, 1231, 1232})  # the network's errors, which have no errno


def waits() -> Iterator[float]:
    """The pauses of one batch: a drive that is gone costs it no more than their sum."""
    return iter(WAITS_S)


def open_patiently(path: Path, pauses: Iterator[float], *, pixel_limit: int = PIXEL_LIMIT) -> Image.Image:
    """`open_image`, tried again after each of `pauses` while the error is one that may pass."""
    while True:
        try:
            return open_image(path, pixel_limit=pixel_limit)
        except (InputError, OSError) as error:
            pause = next(pauses, None) if may_pass(error) else None
            if pause is None:
                raise
            time.sleep(pause)


def may_pass(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says nothing about the file itself."""
    while error is not None:
        if isinstance(error, MemoryError | TimeoutError):
            return True
        if isinstance(error, OSError):
            return error.errno in _MAY_PASS or getattr(error, "winerror", None) in _MAY_PASS_ON_WINDOWS
        error = error.__cause__ or error.__context__
    return False
