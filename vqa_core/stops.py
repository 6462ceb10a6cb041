"""Stop signals: the first asks a command to stop, where it can do so in order; a second one ends it at once.

with Stops() as stops:
    prepare()                       # a signal raises Stopped, wherever it falls
    with stops.deferred("saving"):  # here it only sets stops.asked
        step()
        found = stops.heeding(validate)   # None if a signal cut it short
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self, TypeVar

logger = logging.getLogger("vqa")

STOP_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""What asks to stop: `kill`, Ctrl-C, a terminal that is closed, and Ctrl-Break on Windows."""
SAME_S = 0.5  # `timeout`, torchrun and batch systems signal a process and then its group: that is one request

T = TypeVar("T")


class Stopped(SystemExit):
    """A command ends because it was asked to, with the code that shells give: 143 for SIGTERM, 130 for Ctrl-C."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(128 + number)

    def leave(self) -> NoReturn:
        """End the process with that code, now: to take torch and all else apart takes seconds on a busy machine."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        logging.shutdown()
        os._exit(int(self.code or 0))


class Stops:
    """Handles the stop signals while it is entered, in the main thread; entered again within, it stays as it is.

    `asked` is the first signal that came.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self._entered = 0
        self._pid = os.getpid()
        self._deferred, self._finishing = False, ""
        self._before: dict[signal.Signals, Any] = {}
        self._alarm: socket.socket | None = None
        self._alarm_before = -1

    def __enter__(self) -> Self:
        self._entered += 1
        if self._entered == 1 and threading.current_thread() is threading.main_thread():
            self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered or self._alarm is None:
            return
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._alarm_before)
        self._alarm.close()
        self._alarm = None
        self._before.clear()

    @contextlib.contextmanager
    def deferred(self, finishing: str = "") -> Iterator[None]:
        """Within, a signal sets `asked` and no more; `finishing` says in the log what is done before the end."""
        before = self._deferred, self._finishing
        self._deferred, self._finishing = True, finishing
        try:
            yield
        finally:
            self._deferred, self._finishing = before

    def heeding(self, act: Callable[[], T]) -> T | None:
        """What `act` returns; None if a stop is asked for, before or meanwhile. It is then cut short, even deferred."""
        try:
            with self._undeferred():
                self.check()
                found = act()
        except Stopped:
            return None
        return None if self.asked else found  # where something in `act` took Stopped for an error of its own

    def check(self) -> None:
        """Raise Stopped if a stop was asked for."""
        if self.asked is not None:
            raise Stopped(self.asked)

    def ask(self) -> None:
        """Take a stop for asked for, because another of several processes got the signal."""
        self.asked = self.asked or signal.SIGTERM

    @contextlib.contextmanager
    def _undeferred(self) -> Iterator[None]:
        before, self._deferred = self._deferred, False
        try:
            yield
        finally:
            self._deferred = before

    def _install(self) -> None:
        self._pid = os.getpid()
        heard, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)
        self._alarm_before = signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(heard,), name="stops", daemon=True).start()
        for number in STOP_SIGNALS:
            if number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._before[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.asked is not None or os.getpid() != self._pid:  # a child that has no handlers of its own yet
            return
        self.asked = signal.Signals(number)
        if not self._deferred:
            raise Stopped(self.asked)

    def _watch(self, heard: socket.socket) -> None:
        """A thread: it learns of each signal at once, even while the main thread is in a long call of some library."""
        first: float | None = None
        with heard:
            while data := heard.recv(64):
                numbers = [signal.Signals(number) for number in data if number in STOP_SIGNALS]
                if not numbers:
                    continue
                if first is None:
                    first = time.monotonic()
                    if self._finishing:
                        logger.info("Got %s: %s. Once more, and it ends at once.", numbers[0].name, self._finishing)
                elif time.monotonic() - first > SAME_S:
                    with contextlib.suppress(OSError):
                        os.write(2, b"stopped at once.\n")
                    os._exit(128 + numbers[0])
