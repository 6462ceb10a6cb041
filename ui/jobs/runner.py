"""The process that runs a job to its end: python -m ui.jobs.runner FOLDER [LOCK]

It waits for its turn, runs the commands one after another, and is the only one to write the job's state. The
file `stop` asks it to stop, which takes as long as the command takes to save; the file `kill` asks for the end at once.
LOCK is the descriptor of the job's lock, or `-` where a child inherits none. Without it the runner takes over from one
that was killed while the command lives: it watches that command.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ui.jobs.folder import HEARTBEAT_S, JobFolder, State, job_ids
from ui.jobs.jobs import NO_LOCK, format_command
from ui.jobs.processes import Family, ProcessId, grouped
from vqa_core.stops import STOP_SIGNALS

PAUSE_S = 0.1
STOPPED = {128 + number for number in STOP_SIGNALS}  # exit codes of a command that somebody has asked to stop
CANNOT_ASK = "The command can't be asked to stop from here. It goes on until its end, or until it is killed.\n"


class Runner:
    """`lock` is the descriptor of the job's lock, which its commands inherit, where they can."""

    def __init__(self, folder: JobFolder, lock: int | None) -> None:
        self.folder, self.lock = folder, lock
        self.state: State = folder.state()
        self._beaten = time.monotonic()

    def run(self, *, take_over: bool = False) -> None:
        """Run the job to its end."""
        for number in (signal.SIGTERM, getattr(signal, "SIGBREAK", None)):
            if number is not None:
                signal.signal(number, lambda *_: self.folder.ask_to_stop())
        self._write(runner=ProcessId.of(os.getpid()))
        if take_over:
            self._take_over(self.state.command)
            return
        self._wait_for_turn()
        for number, command in enumerate(self.folder.record["commands"]):
            if self.folder.stop_asked:
                break
            code = self._run(number, command)
            if code and not self.folder.stop_asked:
                self._end("stopped" if code in STOPPED else "failed")
                return
        self._end("stopped" if self.folder.stop_asked else "done")

    def _take_over(self, command: ProcessId | None) -> None:
        """Stop what is left of a job whose runner was killed."""
        if command:
            self._watch(Family(command), lambda: not command.alive, lambda: command.ask_to_end(elsewhere=True))
        self._end("stopped")

    def _wait_for_turn(self) -> None:
        """Wait until nothing of an older job lives. They are all there by now, as a job appears with its lock held."""
        older = [JobFolder(self.folder.root.with_name(id)) for id in job_ids(self.folder.root.parent)]
        older = [job for job in older if job.id < self.folder.id]
        while not self.folder.stop_asked:
            older = [job for job in older if job.held()]
            if not older:
                return
            self._pause()

    def _run(self, number: int, command: Sequence[str]) -> int:
        """Run a command to its end; return its exit code."""
        self._say(f"$ {format_command(command)}\n")
        started, log_from = self.state.started or time.time(), self.folder.log.stat().st_size
        self._write(status="running", at=number, log_from=log_from, started=started, exit_code=None)
        process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=1, stderr=2, **grouped(self.lock)
        )
        head = ProcessId.of(process.pid)
        family = Family(head)
        try:
            self._write(command=head)
            self._watch(family, lambda: process.poll() is not None, head.ask_to_end)
        finally:  # even if the disk is full: no process is left running unknown
            family.kill()
            code = process.wait()
        self._write(command=None, exit_code=code)
        return code

    def _watch(self, family: Family, over: Callable[[], bool], ask: Callable[[], bool]) -> None:
        """Wait for the end of the command, however long it takes to save on a stop; kill all of it if that is asked."""
        asked = False
        while not over():
            if self.folder.kill_asked:
                family.kill()
            elif self.folder.stop_asked and not asked:
                asked = True
                if not ask():
                    self._say(CANNOT_ASK)
            if self._pause():
                family.look()

    def _pause(self) -> bool:
        """Wait a moment; return whether it was time for a sign of life."""
        time.sleep(PAUSE_S)
        if time.monotonic() - self._beaten < HEARTBEAT_S:
            return False
        self._beaten = time.monotonic()
        self.folder.beat()
        return True

    def _say(self, text: str) -> None:
        os.write(1, text.encode())

    def _end(self, status: str) -> None:
        killed = status == "stopped" and self.state.started is not None and self.folder.kill_asked
        self._write(status=status, command=None, ended=time.time(), killed=killed)

    def _write(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]
        self.folder.write_state(self.state)


if __name__ == "__main__":
    given = sys.argv[2] if len(sys.argv) > 2 else ""
    runner = Runner(JobFolder(Path(sys.argv[1])), int(given) if given and given != NO_LOCK else None)
    runner.run(take_over=not given)
