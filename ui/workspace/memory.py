"""Gives memory that the page's server has freed back to the system."""

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h of glibc


def keep_little() -> None:
    """Allocate from two heaps; glibc would make one for most threads, and each would keep its freed memory."""
    with contextlib.suppress(AttributeError, OSError):  # glibc has this, others not
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Give freed memory back to the system."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
