"""Processes of jobs, by psutil: which one is meant, how it is asked to end, and how it ends with all that it started.

A process is known by its number, its start and its machine, so no later one with its number, and none of another
machine, is taken for it. Linux and macOS have process groups and hand descriptors down; Windows has neither: there a
group is known by what was seen of it, and Ctrl-Break is what SIGTERM is elsewhere.
"""

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

INHERITS = os.name == "posix"
"""Whether a child can be given a descriptor, and with it a lock."""
_BREAK: signal.Signals | None = getattr(signal, "CTRL_BREAK_EVENT", None)
_GONE = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@cache
def this_machine() -> str:
    """Where process numbers are unique: the boot and the process namespace on Linux, else the machine's name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


@dataclass(frozen=True, slots=True)
class ProcessId:
    """`started` is in seconds, as psutil tells processes apart: since boot on Linux, elsewhere since 1970."""

    pid: int
    started: float
    machine: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The process that has the number now."""
        process = _living(pid)
        return cls(pid, _start_of(process) if process else 0.0, this_machine())

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "ProcessId":
        """What `dataclasses.asdict` made of one. Earlier versions wrote whole clock ticks since the boot."""
        started = record["started"]
        if isinstance(started, int):
            started /= os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        return cls(record["pid"], started, record["machine"])

    @property
    def visible(self) -> bool:
        """Whether this machine can tell if it lives."""
        return bool(self.machine) and self.machine == this_machine()

    @property
    def alive(self) -> bool:
        return self._find() is not None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process; nothing happens if it is gone."""
        if not hasattr(os, "pidfd_open"):
            with contextlib.suppress(psutil.Error):
                if process := self._find():
                    process.send_signal(number)  # looks once more whether it is the same
            return
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                if self.alive:  # the handle stays with this process, even if another gets its number later
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)

    def ask_to_end(self, *, elsewhere: bool = False) -> bool:
        """Ask it to save and end; return whether it could be asked.

        That is SIGTERM, and on Windows Ctrl-Break to the group that it leads, which reaches only processes on the
        console of the one that sends: `elsewhere` says that its console is another one, which is joined first.
        """
        if _BREAK is None:
            self.send(signal.SIGTERM)
            return True
        if not self.alive:
            return True
        try:
            if elsewhere:
                _join_console(self.pid)
            os.kill(self.pid, _BREAK)
        except OSError:
            return False
        return True

    def kill_group(self) -> None:
        """SIGKILL to the process group that it leads, where there are groups."""
        if self.visible and hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _find(self) -> psutil.Process | None:
        process = _living(self.pid) if self.visible else None
        return process if process and _start_of(process) == self.started else None


class Family:
    """A process, the group that it leads, and what they started.

    Where there are no groups, `look` now and then: who has ended can't be asked any more what it has started.
    """

    def __init__(self, head: ProcessId) -> None:
        self.head = head
        self._seen: dict[ProcessId, None] = {}

    def look(self) -> None:
        """Note what lives now, where there are no groups."""
        if not hasattr(os, "killpg"):
            self._note()

    def kill(self) -> None:
        """End all of them at once. The head must live, or be a child that nobody has waited for."""
        self._note()
        self.head.kill_group()
        for known in (self.head, *self._seen):
            with contextlib.suppress(psutil.Error):
                if process := known._find():
                    process.kill()

    def _note(self) -> None:
        for known in (self.head, *self._seen):
            with contextlib.suppress(psutil.Error):
                if process := known._find():
                    found = (ProcessId.of(child.pid) for child in process.children(recursive=True))
                    self._seen |= dict.fromkeys(found)


def detached(lock: int | None) -> dict[str, Any]:
    """What makes a process of `subprocess.Popen` outlive this one and its terminal; it inherits the descriptor."""
    if INHERITS:
        return {"start_new_session": True, "pass_fds": [] if lock is None else [lock]}
    # a console of its own that has no window: with no console at all its children could not be asked to end
    return {"creationflags": _flag("CREATE_NEW_PROCESS_GROUP") | _flag("CREATE_NO_WINDOW")}


def grouped(lock: int | None) -> dict[str, Any]:
    """What makes a process of `subprocess.Popen` the head of a group; it inherits the descriptor."""
    if INHERITS:
        return {"process_group": 0, "pass_fds": [] if lock is None else [lock]}
    return {"creationflags": _flag("CREATE_NEW_PROCESS_GROUP")}


def _flag(name: str) -> int:
    return int(getattr(subprocess, name))


def _join_console(pid: int) -> None:
    """Leave this process's console for that of another, on Windows; raises OSError if it has none."""
    windows: Any = getattr(ctypes, "windll", None)
    if windows:
        windows.kernel32.FreeConsole()
    if not (windows and windows.kernel32.AttachConsole(pid)):
        raise OSError(f"process {pid} has no console that can be joined")


def _living(pid: int) -> psutil.Process | None:
    """The process; None if there is none, or only its exit code is left (a zombie)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() in _GONE else process
    except (psutil.Error, ValueError):
        return None


def _start_of(process: psutil.Process) -> float:
    """What psutil compares: unlike `create_time()`, it stays when somebody sets the clock."""
    return float(process._ident[1] or 0.0)
