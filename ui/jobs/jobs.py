"""Jobs: long work as processes of their own, which outlive the page, its browser and its server.

A job is a folder (ui/jobs/folder.py) and a runner (ui/jobs/runner.py) that outlives the page. One job at a time runs
on a machine, in the order of their creation, and one at a time belongs to a run. Everything about a job is read from
its folder.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ui.jobs.folder import JobFolder, job_ids, known_id
from ui.jobs.processes import Family, detached
from vqa_core import ROOT
from vqa_core.files import InputError
from vqa_core.locks import Lock, locked
from vqa_core.progress import Progress, read_progress

KEPT = 50  # finished jobs
STOP_S = 2.0  # time for a queued job's runner to see that it should stop
LATE_S = 5.0  # a killed job's files may be dated this long after its last sign of life
ACTIVE = ("queued", "running", "stopping")
NO_LOCK = "-"  # what a runner is given instead of a descriptor


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its folder says.

    `commands` are what follows the interpreter: ("-m", "train.finetune", "--run", "runs/demo"); `at` is the index of
    the one that runs, or ran last.
    `status` is queued, running, stopping, done, failed, stopped or crashed (nothing of it lives, and it never said how
    it ended). Times are seconds since the epoch; `exit_code` is that of the last command, negative for a signal;
    `killed` says that somebody asked for its end at once. Paths in the commands are relative to `cwd`.
    """

    id: str
    kind: str
    run: str
    commands: tuple[tuple[str, ...], ...]
    created: float
    status: str
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None
    progress: Progress | None = None
    at: int = 0
    killed: bool = False
    cwd: str = "."

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    def before(self, moment: float) -> bool:
        """Whether the job was over at `moment` (seconds since 1970), so that a file written then is not its work."""
        return self.ended is not None and moment > self.ended + LATE_S

    @property
    def shown(self) -> str:
        """The commands as a person would type them, one per line."""
        return " && \\\n".join(format_command(command) for command in self.commands)


JobList = list[Job]  # Jobs has a method of that name


def format_command(command: Sequence[str]) -> str:
    """One command as a person would type it."""
    return shlex.join(["python", *command])


class Jobs:
    """The jobs below `folder`. Any number of servers, and threads of one, may look at them and start some."""

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        self.folder, self.kept = folder.resolve(), kept
        self._over: dict[str, Job] = {}  # they don't change any more
        self._runners: list[subprocess.Popen[bytes]] = []
        self._reaping = threading.Lock()

    def start(self, kind: str, run: str, commands: Sequence[Sequence[str]], cwd: Path | None = None) -> Job:
        """Start the commands, each after the one before it was successful, in `cwd` (default: the server's).

        Raises InputError if the run has an active job; "" is no run.
        """
        with self._alone():
            if run and (busy := self.active(run)):
                raise InputError(
                    f"run {run!r} is in use: job {busy[0].id} ({busy[0].kind}) is {busy[0].status}. "
                    "Wait for its end, or stop it first."
                )
            self._sweep()
            created = time.time()
            folder = JobFolder(self.folder / self._next_id(created))
            lock = folder.create(
                {
                    "kind": kind,
                    "run": run,
                    "commands": [list(command) for command in commands],
                    "cwd": str((cwd or Path.cwd()).resolve()),
                    "created": created,
                }
            )
            try:
                self._run(folder, lock)
            except OSError:
                shutil.rmtree(folder.root)
                raise
            finally:
                if lock:
                    lock.release()  # the runner holds it by now
        return self.get(folder.id)

    def get(self, id: str) -> Job:
        """The job; an InputError if there is none of that id."""
        folder = self._folder(id)
        try:
            return self._over.get(id) or self._read(folder)
        except FileNotFoundError:
            raise _unknown(id) from None
        except (KeyError, TypeError):
            raise InputError(f"{folder.root} holds no job that this version of the page can read.") from None

    def list(self) -> JobList:
        """Newest first."""
        found, names = [], job_ids(self.folder)
        self._over = {name: job for name, job in self._over.items() if name in names}  # other servers sweep too
        for name in reversed(names):
            with contextlib.suppress(InputError):  # swept since
                found.append(self.get(name))
        return found

    def active(self, run: str | None = None, kind: str | None = None) -> JobList:
        """The jobs that are queued, running or stopping, newest first."""
        return [job for job in self.list() if job.active and run in (None, job.run) and kind in (None, job.kind)]

    def stop(self, id: str) -> Job:
        """Ask the job to stop: a queued one never starts, a running command is given the time that it takes to save."""
        return self._end(id, at_once=False)

    def kill(self, id: str) -> Job:
        """End the job at once, with everything that its command has started; what was not saved is lost."""
        return self._end(id, at_once=True)

    def _end(self, id: str, *, at_once: bool) -> Job:
        folder, job = self._folder(id), self.get(id)
        if not job.active:
            return job
        if at_once:
            folder.ask_to_kill()
        folder.ask_to_stop()
        state = folder.state()
        if state.runner and state.runner.visible and not state.runner.alive:
            self._run(folder, None, take_over=True)  # it was killed and its command lives: a new one has to end it
        if at_once and state.command and state.command.alive:
            Family(state.command).kill()  # a runner of an earlier version does not know how
        deadline = time.monotonic() + STOP_S
        while (job := self.get(id)).active and job.started is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return job

    def log_tail(self, id: str, lines: int = 40) -> str:
        """The last lines of what the job's commands printed, at most 8 KB, as a terminal would show them."""
        try:
            return "\n".join(self._folder(id).tail()[-lines:])
        except FileNotFoundError:
            raise _unknown(id) from None

    def _read(self, folder: JobFolder) -> Job:
        state = folder.state()
        lost = not state.over and not folder.alive(state)
        if lost:  # it may have ended in good order between the two looks
            state = folder.state()
            lost = not state.over and not folder.alive(state)
        status = "crashed" if lost else state.status
        if status in ACTIVE and folder.stop_asked:
            status = "stopping"
        record = folder.record
        job = Job(
            id=folder.id,
            kind=record["kind"],
            run=record["run"],
            commands=tuple(tuple(command) for command in record["commands"]),
            created=record["created"],
            status=status,
            exit_code=state.exit_code,
            started=state.started,
            ended=folder.last_sign() if lost else state.ended,
            progress=read_progress(folder.tail(state.log_from)) if state.started else None,
            at=state.at,
            killed=state.killed,
            cwd=record.get("cwd", "."),
        )
        if state.over:
            self._over[folder.id] = job
        return job

    def _run(self, folder: JobFolder, lock: Lock | None, *, take_over: bool = False) -> None:
        """Start a runner that outlives this process; it inherits the lock."""
        self._reap()
        python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        how = [] if take_over else [str(lock.fd) if lock else NO_LOCK]
        with folder.log.open("ab") as log:
            runner = subprocess.Popen(
                [sys.executable, "-m", "ui.jobs.runner", str(folder.root), *how],
                cwd=folder.record["cwd"],
                env=os.environ | {"PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **detached(lock.fd if lock else None),
            )
        with self._reaping:
            self._runners.append(runner)

    def _reap(self) -> None:
        with self._reaping:
            self._runners = [runner for runner in self._runners if runner.poll() is None]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one start happen at a time, however many servers there are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock"):
            yield

    def _next_id(self, now: float) -> str:
        """A time as text, later than every id so far, even if the clock went back."""
        ids = job_ids(self.folder)
        micros = max(int(now * 1e6), _micros(ids[-1]) + 1 if ids else 0)
        moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
        return f"{moment:%Y%m%d-%H%M%S}-{micros % 1_000_000:06}"

    def _folder(self, id: str) -> JobFolder:
        folder = JobFolder(self.folder / id)
        if not known_id(id) or not folder.root.is_dir():
            raise _unknown(id)
        return folder

    def _sweep(self) -> None:
        """Remove the oldest finished jobs, and what a killed start has left."""
        over = [job.id for job in self.list() if not job.active]
        for id in over[self.kept :]:  # by its name first: a part of a job is none
            with contextlib.suppress(OSError):
                (self.folder / id).rename(self.folder / f".new-{id}")
        for path in self.folder.glob(".new-*"):
            shutil.rmtree(path, ignore_errors=True)


def _micros(id: str) -> int:
    """The moment that an id stands for, in microseconds since the epoch."""
    seconds = datetime.strptime(id[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
    return int(seconds) * 1_000_000 + int(id[16:])


def _unknown(id: str) -> InputError:
    return InputError(f"there is no job {id!r}. The finished ones are forgotten after a while; their runs stay.")
