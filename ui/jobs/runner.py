"""The process that runs a job to its end: python -m ui.jobs.runner FOLDER [LOCK]

It waits for its turn, runs the commands one after another, and is the only one to write the job's state. The
file `stop` asks it to stop. Started on a job whose runner was killed while the command lives, it watches that command.
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
from ui.jobs.jobs import format_command
from ui.jobs.processes import ProcessId

PAUSE_S = 0.1


class Runner:
    """`lock` is the descriptor of the job's lock, which its commands inherit; None takes over from a killed runner."""

    def __init__(self, folder: JobFolder, lock: int | None) -> None:
        self.folder, self.lock = folder, lock
        self.state: State = folder.state()
        self._beaten = time.monotonic()

    def run(self) -> None:
        """Run the job to its end."""
        signal.signal(signal.SIGTERM, lambda *_: self.folder.ask_to_stop())
        self._write(runner=ProcessId.of(os.getpid()))
        if self.lock is None:
            self._take_over(self.state.command)
            return
        self._wait_for_turn()
        for number, command in enumerate(self.folder.record["commands"]):
            if self.folder.stop_asked:
                break
            code = self._run(number, command, self.lock)
            if code and not self.folder.stop_asked:
                self._end("failed")
                return
        self._end("stopped" if self.folder.stop_asked else "done")

    def _take_over(self, command: ProcessId | None) -> None:
        """Stop what is left of a job whose runner was killed."""
        if command:
            self._watch(command, lambda: not command.alive, lambda: command.send(signal.SIGTERM))
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

    def _run(self, number: int, command: Sequence[str], lock: int) -> int:
        """Run a command to its end; return its exit code."""
        os.write(1, f"$ {format_command(command)}\n".encode())
        started, log_from = self.state.started or time.time(), self.folder.log.stat().st_size
        self._write(status="running", at=number, log_from=log_from, started=started, exit_code=None)
        process = subprocess.Popen([sys.executable, *command], process_group=0, pass_fds=[lock])
        group = ProcessId.of(process.pid)
        try:
            self._write(command=group)
            self._watch(group, lambda: process.poll() is not None, process.terminate)
        finally:  # even if the disk is full: no process is left running unknown
            group.kill_group()
            code = process.wait()
        self._write(command=None, exit_code=code)
        return code

    def _watch(self, command: ProcessId, over: Callable[[], bool], terminate: Callable[[], None]) -> None:
        """Wait for the end of the command: SIGTERM on a stop, SIGKILL to its group when patience ends."""
        asked: float | None = None
        while not over():
            if self.folder.stop_asked and asked is None:
                asked = time.monotonic()
                terminate()
            if asked is not None and time.monotonic() - asked > self.folder.record["patience_s"]:
                command.kill_group()
            self._pause()

    def _pause(self) -> None:
        time.sleep(PAUSE_S)
        if time.monotonic() - self._beaten >= HEARTBEAT_S:
            self._beaten = time.monotonic()
            self.folder.beat()

    def _end(self, status: str) -> None:
        self._write(status=status, command=None, ended=time.time())

    def _write(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]
        self.folder.write_state(self.state)


if __name__ == "__main__":
    Runner(JobFolder(Path(sys.argv[1])), int(sys.argv[2]) if len(sys.argv) > 2 else None).run()
