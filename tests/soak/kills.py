"""Processes killed at random moments and started again, round after round.

A round begins on a fresh copy of a run. Its process is killed by SIGKILL some times, each time started again with the
same command, and then left to its end. Half of the moments are drawn from the clock, between the start and the end of
an undisturbed life; the others from what the files show, since the clock mostly meets a process that still imports.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.support.processes import TIMEOUT_S, environment, forked
from vqa_core import ROOT
from vqa_core.runs.run_dir import RunDir

POLL_S = 0.0005


@dataclass(frozen=True, slots=True)
class Moment:
    """Up to `within_s` after `reached` has become true; None is the start of the process."""

    reached: Callable[[], bool] | None
    within_s: float = 0.0


class Process(Protocol):
    """A command that runs."""

    def alive(self) -> bool: ...

    def kill(self, *, alone: bool) -> None:
        """SIGKILL, to the whole process group or, as the kernel does it for want of memory, to the one process."""

    def wait(self) -> int: ...


Launch = Callable[[str, Sequence[object], Path], Process]
"""Start the command of a name with arguments; what it prints goes to a file."""


class Command:
    """`python -m name args`, as a person gives it, in a process group of its own."""

    def __init__(self, name: str, args: Sequence[object], output: Path) -> None:
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", name, *map(str, args)],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self, *, alone: bool) -> None:
        (os.kill if alone else os.killpg)(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        return self._process.wait(TIMEOUT_S)


class Forked:
    """The same `main`, in a process forked from one that has imported it already."""

    def __init__(self, name: str, args: Sequence[object], output: Path) -> None:
        self._process = forked(name, *args, output=output)

    def alive(self) -> bool:
        return bool(self._process.is_alive())

    def kill(self, *, alone: bool) -> None:  # noqa: ARG002
        assert self._process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        self._process.join(TIMEOUT_S)
        assert self._process.exitcode is not None
        return int(self._process.exitcode)


class Subject(Protocol):
    """What is killed."""

    command: str
    phases: tuple[str, ...]
    unit: str

    def begin(self, folder: Path, round_: int) -> RunDir:
        """A run on which the command has not been called yet."""

    def arguments(self, run: RunDir, round_: int) -> list[object]: ...

    def finish(self, run: RunDir) -> None:
        """What is done after the command's end, for the comparison."""

    def moments(self, run: RunDir, chance: random.Random) -> list[Moment]:
        """Moments that its files show, seen from the start of a life."""

    def phase(self, run: RunDir, began: Any) -> str:
        """How far the life had come that has just been ended."""

    def began(self, run: RunDir) -> Any:
        """What `phase` needs to know of the start of a life."""

    def acknowledged(self, run: RunDir) -> Any: ...

    def lost(self, before: Any, run: RunDir) -> int:
        """How many of the things acknowledged before are not there any more."""

    def problems(self, run: RunDir) -> list[str]:
        """What a reader of the files stumbles over, at whatever moment the process was killed."""

    def differences(self, run: RunDir, other: RunDir) -> list[str]:
        """How two finished runs differ, where they must not."""


@dataclass
class Tally:
    """The figures of one subject. `phases` counts the kills by how far the killed life had come."""

    command: str
    unit: str
    kills: int = 0
    rounds: int = 0
    lost: int = 0
    acknowledged: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    by_clock: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def disturb(
    subject: Subject, folder: Path, kills: int, *, seed: int, launch: Launch = Command, most: int = 10
) -> Iterator[Tally]:
    """Kill the subject `kills` times, at most `most` times in a round; yield the figures after each kill.

    A folder of a round stays below `folder` if something was wrong in it.
    """
    chance, started = random.Random(seed), time.monotonic()
    tally = Tally(subject.command, subject.unit)
    undisturbed: dict[str, RunDir] = {}
    seconds: dict[str, float] = {}  # of the last life that came to its end
    while tally.kills < kills:
        number = tally.rounds
        name = str(subject.arguments(RunDir(Path("run")), number))
        if name not in undisturbed:
            place = folder / f"undisturbed-{len(undisturbed)}"
            undisturbed[name], seconds[name] = _live_through(subject, place, number, launch)
        place = folder / f"round-{number}"
        run = subject.begin(place, number)
        before = len(tally.problems)
        for _ in range(min(most, kills - tally.kills)):
            lived_s = _kill_once(subject, run, number, tally, chance, seconds[name], launch)
            if lived_s is not None:
                seconds[name] = lived_s
                break
            tally.seconds = time.monotonic() - started
            yield tally
        _let_end(subject, run, number, tally, launch)
        said = subject.differences(run, undisturbed[name])
        tally.problems += [f"round {number}: {what}" for what in said]
        tally.rounds += 1
        if len(tally.problems) == before:
            shutil.rmtree(place)
    tally.seconds = time.monotonic() - started
    yield tally


def _live_through(subject: Subject, folder: Path, number: int, launch: Launch) -> tuple[RunDir, float]:
    """A run whose command was not disturbed, and the seconds that it took."""
    run, started = subject.begin(folder, number), time.monotonic()
    process = launch(subject.command, subject.arguments(run, number), folder / "output")
    if code := process.wait():
        raise RuntimeError(f"{subject.command} ends with {code}:\n{(folder / 'output').read_text()}")
    seconds = time.monotonic() - started
    subject.finish(run)
    return run, seconds


def _kill_once(
    subject: Subject,
    run: RunDir,
    number: int,
    tally: Tally,
    chance: random.Random,
    whole_s: float,
    launch: Launch,
) -> float | None:
    """Start the command and kill it; the seconds that it lived if it came to its end before."""
    by_clock = chance.random() < 0.5
    moments = [Moment(None, whole_s)] if by_clock else subject.moments(run, chance)
    moment, began, there = chance.choice(moments), subject.began(run), subject.acknowledged(run)
    started = time.monotonic()
    process = launch(subject.command, subject.arguments(run, number), run.root.parent / "output")
    deadline = time.monotonic() + TIMEOUT_S
    while moment.reached is not None and process.alive() and not moment.reached():
        if time.monotonic() > deadline:
            process.kill(alone=False)
            raise TimeoutError(f"{subject.command} does not get on:\n{(run.root.parent / 'output').read_text()}")
        time.sleep(POLL_S)
    until = time.monotonic() + chance.uniform(0, moment.within_s)
    while process.alive() and time.monotonic() < until:
        time.sleep(min(POLL_S, max(until - time.monotonic(), 0.0)))
    there = subject.acknowledged(run) if process.alive() else there
    alive = process.alive()
    if alive:
        process.kill(alone=chance.random() < 0.5)
    code = process.wait()
    if not alive or code == 0:
        if code:
            tally.problems.append(f"round {number}: {subject.command} ended with {code}: {_tail(run)}")
        return time.monotonic() - started
    phase = subject.phase(run, began)
    tally.kills += 1
    tally.by_clock += by_clock
    tally.phases[phase] += 1
    tally.acknowledged += len(there)
    tally.lost += subject.lost(there, run)
    said = subject.problems(run)
    tally.problems += [f"round {number}, kill {tally.kills}, while {phase}: {what}" for what in said]
    return None


def _let_end(subject: Subject, run: RunDir, number: int, tally: Tally, launch: Launch) -> None:
    there = subject.acknowledged(run)
    code = launch(subject.command, subject.arguments(run, number), run.root.parent / "output").wait()
    if code:
        tally.problems.append(f"round {number}: {subject.command} ended with {code}: {_tail(run)}")
    tally.lost += subject.lost(there, run)
    subject.finish(run)


def _tail(run: RunDir) -> str:
    return (run.root.parent / "output").read_text(errors="replace")[-2000:]
