"""Run heavy work in a process of its own: Python rarely gives back the memory that it took for 100,000s of texts."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Result = TypeVar("Result")
LARGE = 4_000_000  # bytes of a file, some 70,000 rows; reading a smaller one is faster than starting a process


def run_apart(work: Callable[..., Result], *arguments: Any, size: int) -> Result:
    """Call `work(*arguments)`, in a new process if it is to read `size` >= LARGE bytes, and return its result.

    `work` must be a function of a module; its arguments and its result must be picklable. Raises what `work` raises,
    and BrokenProcessPool if the process is killed.
    """
    if size < LARGE:
        return work(*arguments)
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as processes:  # inherits no memory
        return processes.submit(work, *arguments).result()
