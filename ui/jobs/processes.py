"""ProcessId: names a process so that no later one with its number, and none of another machine, is taken for it."""

import contextlib
import os
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def this_machine() -> str:
    """The boot and the process namespace in which process numbers are unique; "" where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """`started` is in clock ticks since boot: field 22 of /proc/<pid>/stat, see proc(5)."""

    pid: int
    started: int
    machine: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The process that has the number now."""
        return cls(pid, _started(pid) or 0, this_machine())

    @property
    def visible(self) -> bool:
        """Whether this machine can tell if it lives."""
        return bool(self.machine) and self.machine == this_machine()

    @property
    def alive(self) -> bool:
        return self.visible and _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process; nothing happens if it is gone."""
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                if self.alive:  # the handle stays with this process, even if another gets its number later
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)

    def kill_group(self) -> None:
        """SIGKILL to the process group that it leads."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _started(pid: int) -> int | None:
    """When the process started; None if there is none, or only its exit code is left (a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # from the third on: the second, a name, may hold blanks and brackets
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
