"""JobFolder: what a job is on disk, for the page that reads it and the runner that writes it.

job.json     written once, before the job can be seen
state.json   written by the job's runner only, whole each time; its modification time is the heartbeat
stop         there once somebody has asked the job to stop
kill         there once somebody has asked for its end at once
lock         held by whatever of the job is alive: runner and command inherit it; younger jobs wait for it. Where a
             child inherits no lock (Windows, a drive without locks) there is none, and state.json tells what is alive
log.txt      what the commands print
"""

import contextlib
import os
import re
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ui.jobs.processes import INHERITS, ProcessId
from vqa_core.drives import rename_folder, touch
from vqa_core.files import InputError, read_json, write_json
from vqa_core.locks import Lock, soft_path, try_lock

HEARTBEAT_S = 2.0
STALE_S = 15.0  # an older heartbeat means dead, where processes can't be seen
START_S = 60.0  # time for a runner to write its first state

_ID = re.compile(r"\d{8}-\d{6}-\d{6}")
_TAIL_BYTES = 8192
_PAUSES_S = (0.01, 0.05, 0.2)
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class State:
    """What the runner knows. `status` is queued, running, done, failed or stopped; `command` is the one it watches.

    `at` is the index of the last one begun; its output starts at byte `log_from` of the log. `killed` says that it was
    ended at once, as somebody asked.
    """

    status: str = "queued"
    runner: ProcessId | None = None
    command: ProcessId | None = None
    at: int = 0
    log_from: int = 0
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None
    killed: bool = False

    @property
    def over(self) -> bool:
        return self.status in ("done", "failed", "stopped")


@dataclass(frozen=True)
class JobFolder:
    root: Path

    @property
    def id(self) -> str:
        return self.root.name

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def stop_asked(self) -> bool:
        return (self.root / "stop").exists()

    def ask_to_stop(self) -> None:
        (self.root / "stop").touch()

    @property
    def kill_asked(self) -> bool:
        return (self.root / "kill").exists()

    def ask_to_kill(self) -> None:
        (self.root / "kill").touch()

    @cached_property
    def record(self) -> dict[str, Any]:
        """kind, run, commands, cwd and created: what does not change."""
        return dict(read_json(self.root / "job.json"))

    def create(self, record: dict[str, Any]) -> Lock | None:
        """Make the folder appear, whole, its lock held; return the lock, or None where a child would not inherit it."""
        new = self.root.with_name(f".new-{self.id}")
        new.mkdir(parents=True)
        write_json(new / "job.json", record)
        write_json(new / "state.json", asdict(State()))
        (new / "log.txt").touch()
        lock = _inheritable_lock(new / "lock")
        rename_folder(new, self.root)
        return lock

    def held(self) -> bool:
        """Whether anything of the job lives: it holds its lock, or where there is none, its state says so."""
        try:
            if not (self.root / "lock").is_file():
                state = self.state()
                return not state.over and self.alive(state)
            if lock := try_lock(self.root / "lock"):
                lock.release()
            return lock is None
        except (FileNotFoundError, InputError):  # it has been removed since
            return False

    def state(self) -> State:
        values = _read_patiently(self.root / "state.json")
        for name in ("runner", "command"):
            if values[name]:
                values[name] = ProcessId.read(values[name])
        return State(**values)

    def write_state(self, state: State) -> None:
        write_json(self.root / "state.json", asdict(state))

    def beat(self) -> None:
        touch(self.root / "state.json")

    def heartbeat(self) -> float:
        """When the runner last gave a sign of life, in seconds since the epoch."""
        return (self.root / "state.json").stat().st_mtime

    def last_sign(self) -> float:
        """When anything of the job last gave a sign of life: a command may outlive its runner, and prints."""
        return max(self.heartbeat(), self.log.stat().st_mtime)

    def alive(self, state: State) -> bool:
        """Whether the job's runner, or failing that its command, lives."""
        if state.runner is None:
            return time.time() - self.heartbeat() < START_S
        if not state.runner.visible:
            return time.time() - self.heartbeat() < STALE_S
        return state.runner.alive or (state.command is not None and state.command.alive)

    def tail(self, after: int = 0) -> list[str]:
        """The last lines of the log after byte `after`, at most 8 KB, as a terminal shows them."""
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(after, end - _TAIL_BYTES, 0)
            file.seek(start)
            text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
        lines = text.split("\n")
        if start > after and len(lines) > 1:
            del lines[0]  # a part of a line
        if lines[-1] == "":
            del lines[-1]
        return [_CONTROLS.sub("", _ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2])) for line in lines]


def _read_patiently(path: Path) -> Any:
    """The content of a file that is replaced now and then: Windows opens none while that is going on."""
    for pause in _PAUSES_S:
        try:
            return read_json(path)
        except PermissionError:
            time.sleep(pause)
    return read_json(path)


def _inheritable_lock(path: Path) -> Lock | None:
    """A lock on a new file; None, and no file, where a child would not inherit it."""
    if not INHERITS:
        return None
    lock = try_lock(path)
    if lock and lock.is_soft:
        lock.release()
        for left in (path, soft_path(path)):
            left.unlink(missing_ok=True)
        return None
    return lock


def known_id(text: str) -> bool:
    """Whether the text has the form of an id: a moment, so that ids sort as the jobs were created."""
    return _ID.fullmatch(text) is not None


def job_ids(folder: Path) -> list[str]:
    """The ids of the jobs below `folder`, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(filter(known_id, os.listdir(folder)))
    return []
