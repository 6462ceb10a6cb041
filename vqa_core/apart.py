"""Work done by a process of its own, since memory that Python once took for 100,000s of texts mostly stays taken."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vqa_core.files import InputError

Found = TypeVar("Found")
LARGE = 4_000_000  # bytes of a file to be read; a smaller one is read sooner than a process starts
_ROOT = Path(__file__).parents[1]
_CHILD = """
import pickle, sys
from vqa_core.files import InputError
work, given = pickle.load(sys.stdin.buffer)
try:
    found = work(*given)
except InputError as error:
    found = error
sys.stdout.buffer.write(pickle.dumps(found))
"""


def apart(work: Callable[..., Found], *given: Any, size: int) -> Found:
    """What `work(*given)` returns, or the InputError that it raises; apart only where it reads LARGE bytes or more.

    `work` is a function of a module, its arguments and result can be pickled. Raises CalledProcessError where the
    process is killed.
    """
    if size < LARGE:
        return work(*given)
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=pickle.dumps((work, given)),
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
        check=True,
    )
    found: Found | InputError = pickle.loads(done.stdout)
    if isinstance(found, InputError):
        raise found
    return found
