"""Work done by a process of its own, since memory that Python once took for 100,000s of texts mostly stays taken."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Found = TypeVar("Found")
LARGE = 4_000_000  # bytes of a file to be read, some 70,000 rows; a smaller one is read sooner than a process starts


def apart(work: Callable[..., Found], *given: Any, size: int) -> Found:
    """What `work(*given)` returns or raises; done apart only where it reads `size` >= LARGE bytes.

    `work` is a function of a module; its arguments and what it returns can be pickled. Raises BrokenProcessPool where
    the process is killed.
    """
    if size < LARGE:
        return work(*given)
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as processes:  # nothing of this one's
        return processes.submit(work, *given).result()
