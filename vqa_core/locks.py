"""Locks on files, between processes and between threads: `filelock`'s, which every system has.

The system frees a lock when its holder ends, however it ends. The file of a lock stays, so that all who wait for it
wait for the same file. A drive without locks gets a file `NAME.soft` instead, which says who holds it and counts as
free once that process has ended.
"""

import contextlib
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from vqa_core.drives import tolerate
from vqa_core.files import InputError

_PAUSES_S = 0.01, 0.1  # between two tries: the first and the longest
_NOTE_AT = 1  # Windows locks byte 0 of the file, which nobody else can read then
_NOTE_BYTES = 1024


class Busy(InputError):
    """Another process or thread holds the lock for longer than one wanted to wait."""

    def __init__(self, path: Path) -> None:
        self.path, self.holder = path, holder(path)
        by = self.holder or "another process"
        super().__init__(f"{path} is held by {by}. Wait for its end, or stop it, then try again.")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock; `since` is in seconds since 1970.

    `left_behind` is the file to delete if the holder was on another machine, which has been switched off.
    """

    pid: int
    host: str
    since: float | None = None
    command: str = ""
    left_behind: str = ""

    def __str__(self) -> str:
        since = f" since {datetime.fromtimestamp(self.since):%Y-%m-%d %H:%M:%S}" if self.since else ""
        command = f" ({self.command})" if self.command else ""
        advice = f"; if that machine has been switched off, delete {self.left_behind}" if self.left_behind else ""
        return f"process {self.pid} on {self.host}{since}{command}{advice}"


class Lock:
    """A lock that is held until `release` or the end of the process; also a context manager.

    `fd` is the descriptor that holds it: a child process that inherits it, by `pass_fds` where the system has that,
    holds the lock as well. A forked child does not.
    """

    def __init__(self, fd: int, soft: filelock.BaseFileLock | None, *, noted: bool) -> None:
        self.fd = fd
        self._soft, self._noted = soft, noted
        _held.add(self)

    @property
    def is_soft(self) -> bool:
        """Whether a file stands for it, because the drive has no locks: a child cannot inherit it."""
        return self._soft is not None

    def release(self) -> None:
        """Give it up; doing so twice does no harm."""
        if self.fd < 0:
            return
        if self._noted:
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, 0)
        self._forget()
        if self._soft is not None:
            self._soft.release()

    def _forget(self) -> None:
        _held.discard(self)
        handle, self.fd = self.fd, -1
        os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_held: set[Lock] = set()


def _forget_all() -> None:
    for lock in list(_held):
        lock._forget()


if hasattr(os, "register_at_fork"):  # else workers of a killed process would go on holding its locks
    os.register_at_fork(after_in_child=_forget_all)


def try_lock(path: Path, *, note: bool = False) -> Lock | None:
    """The lock on the file `path`, which is created if missing; None if another process or thread holds it.

    `note` writes into the file who holds it, for `holder`; the file is then nothing but a lock.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    soft: filelock.BaseFileLock | None = None
    try:
        try:
            free = filelock.lock_descriptor(handle, blocking=False)
        except OSError as error:
            tolerate("flock", error, path)
            soft = filelock.SoftFileLock(soft_path(path), thread_local=False)
            free = _try_soft(soft)
        if not free:
            os.close(handle)
            return None
        if note:
            _write_note(handle)
        return Lock(handle, soft, noted=note)
    except BaseException:
        if soft is not None:
            soft.release()
        os.close(handle)
        raise


@contextlib.contextmanager
def locked(path: Path, *, patience_s: float | None = None, note: bool = False) -> Iterator[Lock]:
    """Hold the lock on the file `path`, created if missing; wait while another process or thread holds it.

    Raises Busy when it is still held after `patience_s` seconds; None is as long as it takes.
    """
    deadline = None if patience_s is None else time.monotonic() + patience_s
    pause, longest = _PAUSES_S
    while (lock := try_lock(path, note=note)) is None:
        if deadline is not None and time.monotonic() >= deadline:
            raise Busy(path)
        time.sleep(pause)
        pause = min(2 * pause, longest)
    with lock:
        yield lock


def holder(path: Path) -> Holder | None:
    """Who holds the lock on `path`; None if nobody does, as far as its files tell, or if it is not known.

    Only a lock that was taken with `note`, or on a drive without locks, tells.
    """
    note, soft = _read_note(path), _read_soft(path)
    if note is not None and soft is not None:
        return replace(note, left_behind=soft.left_behind)
    return note or soft


def soft_path(path: Path) -> Path:
    """The file that stands for the lock on a drive without locks."""
    return path.with_name(f"{path.name}.soft")


def _try_soft(lock: filelock.BaseFileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return False
    return True


def _write_note(handle: int) -> None:
    command = " ".join(shlex.join(["python", *sys.orig_argv[1:]]).split())[: _NOTE_BYTES // 4]
    note = Holder(os.getpid(), socket.gethostname(), time.time(), command)
    with contextlib.suppress(OSError):  # a full disk is no reason to go without the lock
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, b" " * _NOTE_AT + json.dumps(asdict(note)).encode() + b"\n")


def _read_note(path: Path) -> Holder | None:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(_NOTE_AT)
            return Holder(**json.loads(file.read(2 * _NOTE_BYTES)))
    except (OSError, ValueError, TypeError):
        return None


def _read_soft(path: Path) -> Holder | None:
    """What `filelock` has written: process id and host, each in a line, and perhaps the process's start."""
    try:
        pid, host, *_ = soft_path(path).read_text(encoding="utf-8").splitlines()
        host = host.partition("?")[0]
        return Holder(int(pid), host, left_behind="" if host == socket.gethostname() else str(soft_path(path)))
    except (OSError, ValueError):
        return None
