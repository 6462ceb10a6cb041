"""Processes that load batches ahead: deaf to the signals that stop a training, and gone when it is.

A signal to the whole process group, as a batch system, torchrun or Ctrl-C sends it, would end them before the training
could save.
"""

import contextlib
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from typing import Any

from torch.utils.data import DataLoader

from vqa_core.stops import STOP_SIGNALS

LOOK_S = 0.5  # between two looks at the parent, where its end does not wake the worker


class WorkerSetup:
    """The `worker_init_fn` of a DataLoader; `then` is another one, called afterwards."""

    def __init__(self, then: Callable[[int], None] | None = None) -> None:
        self.then = then

    def __call__(self, number: int) -> None:
        signal.set_wakeup_fd(-1)  # of the training, which would take a signal of this process for one of its own
        for stop in STOP_SIGNALS:
            signal.signal(stop, signal.SIG_IGN)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
        if self.then is not None:
            self.then(number)


def set_up_workers(loader: Any) -> None:
    """Have the processes of a DataLoader, perhaps one in accelerate's wrapping, begin with `WorkerSetup`."""
    plain: DataLoader[Any] = getattr(loader, "base_dataloader", loader)
    if not plain.num_workers:
        return
    plain.worker_init_fn = WorkerSetup(plain.worker_init_fn)
    if sys.platform == "linux" and multiprocessing.get_start_method(allow_none=True) is None:
        plain.multiprocessing_context = "fork"  # the default until Python 3.14, whose own copies the model


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that start within have the stop signals blocked, until their `WorkerSetup` ignores them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    if multiprocessing.get_start_method(allow_none=True) in ("spawn", "forkserver") or sys.platform == "darwin":
        multiprocessing.resource_tracker.ensure_running()  # when it starts, it unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def workers_ended() -> Iterator[None]:
    """At its end nothing is left of workers that started within: deaf ones would hold up the end of the process."""
    others = set(multiprocessing.active_children())
    try:
        yield
    finally:
        for child in set(multiprocessing.active_children()) - others:
            child.join(LOOK_S)
            if child.is_alive():
                child.kill()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    above = os.getppid() if multiprocessing.get_start_method(allow_none=True) == "forkserver" else parent and parent.pid
    while parent is not None and not wait([parent.sentinel], LOOK_S):
        if os.name != "nt" and os.getppid() != above:  # a sibling may hold the other end of the sentinel
            break
    os._exit(1)
