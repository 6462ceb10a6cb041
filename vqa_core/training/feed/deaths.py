"""What a training does when a process that reads pictures ahead for it dies: never hang, never end in mid-step."""

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

from vqa_core.files import InputError
from vqa_core.training.feed.transport import SHARED


class DeathWatch:
    """Has PyTorch's handler notice dead workers only while a batch is waited for.

    It raises an error from a signal handler, wherever the training happens to be: in the middle of a step, or of a
    checkpoint.
    """

    def __init__(self) -> None:
        self._watching: Any = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While the block runs, the death of a worker is an error; one that died before is one at once."""
        if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGCHLD)
        try:
            if self._watching is not None:
                signal.signal(signal.SIGCHLD, self._watching)
                self._watching(signal.SIGCHLD, None)
            yield
        finally:
            now = signal.getsignal(signal.SIGCHLD)
            if now is not before:
                self._watching = now
                signal.signal(signal.SIGCHLD, before if before is not None else signal.SIG_DFL)


def death_of_worker(error: BaseException, workers: int) -> InputError | None:
    """The sentence for an error that says that a worker died; None for others."""
    text = str(error)
    told = isinstance(error, RuntimeError) and re.search(r"DataLoader worker \(pid.*(killed by|exited)", text)
    # it died while it handed over a batch: its end of the connection is gone before the system tells of its death
    left = workers > 0 and isinstance(error, ConnectionError | EOFError)
    if not (told or left):
        return None
    how = re.search(r"killed by signal: ([^.]*)", text)
    by = how[1].strip() if how else "killed"
    why = (
        f"Is {SHARED} full? In a container, --shm-size 2g makes room."
        if "Bus error" in by
        else "The system does so when memory runs out."
    )
    return InputError(
        f"One of the {workers} processes of --workers has died ({by}). {why} Give the same command with --resume and "
        f"fewer --workers; --workers 0 needs none."
    )
