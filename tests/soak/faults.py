"""One fault at every call of a case: what is read back is the old or the new, and the next attempt ends as if nothing
had been.

An attempt with a fault runs in a forked process, which the fault may end and which takes its locks with it. It begins
on a copy of the same folder, at the same path.
"""

import json
import os
import re
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.disk import CRASHED, ENDING, KINDS, LIMITED, Call, FailingDisk, Fault, limited
from vqa_core.files import InputError

Tell = Callable[[str], None]
"""Says that something counts as done from now on: an answer that is given, a step that is kept."""

DONE, REFUSED, BROKEN = 0, 3, 4
SYNTHETIC = ("RuntimeError", "SafetensorError")  # what torch.save and safetensors raise on a full disk


@dataclass(frozen=True, slots=True)
class Found:
    """What was there before, what would be there without a fault, what is there, and what was told to be done."""

    old: Any
    new: Any
    now: Any
    told: tuple[str, ...]
    kind: str

    @property
    def whole(self) -> bool:
        return bool(self.now == self.old or self.now == self.new)


@dataclass(frozen=True)
class Case:
    """Something that is written.

    `start` makes the folder as it is before, `act` writes, and `read` returns what a reader finds. `fits` says whether
    that is right after a fault; by default only the old and the new are. `act` is also the next attempt. Names of files
    that differ from attempt to attempt match `varying`.
    """

    name: str
    start: Callable[[Path], None]
    act: Callable[[Path, Tell], None]
    read: Callable[[Path], Any]
    fits: Callable[[Found], bool] = lambda found: found.whole
    varying: str = r"(?!)"
    settled: Callable[[Any], Any] = lambda value: value
    limits: tuple[int, ...] = ()

    def listing(self, folder: Path) -> list[str]:
        """The files below a folder, with `*` for the parts of their names that vary."""
        paths = (str(path.relative_to(folder)) for path in folder.rglob("*"))
        return sorted(re.sub(self.varying, "*", path) for path in paths)


@dataclass
class CaseFigures:
    """The figures of one case; `problems` has a line for each fault after which something was wrong."""

    name: str
    calls: int
    points: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def inject(case: Case, folder: Path, kinds: tuple[str, ...] = (*KINDS, LIMITED)) -> CaseFigures:
    """Let every call of a case fail in every way; `folder` is for the attempts."""
    template, work = folder / "template", folder / "work"
    work.mkdir(parents=True)
    with FailingDisk(work):
        case.start(work)
    shutil.copytree(work, template, symlinks=True)
    old = case.read(work)

    calls = _count(case, work)
    new, listing = case.read(work), case.listing(work)
    figures = CaseFigures(case.name, len(calls))
    if case.settled(new) == case.settled(old):
        figures.problems.append("without a fault it changes nothing")
    for fault in _faults(case, calls, kinds):
        figures.points[fault.kind] += 1
        shutil.rmtree(work)
        shutil.copytree(template, work, symlinks=True)
        said = _try(case, work, fault, old, new, listing)
        at = calls[fault.at] if fault.kind != LIMITED else None
        place = f"{at.name} {at.path} (call {fault.at})" if at else f"files of at most {fault.at} bytes"
        figures.problems += [f"{fault.kind} at {place}: {what}" for what in said]
    return figures


def _faults(case: Case, calls: list[Call], kinds: tuple[str, ...]) -> Iterator[Fault]:
    for kind in kinds:
        if kind == LIMITED:
            yield from (Fault(kind, size) for size in case.limits)
        else:
            yield from (Fault(kind, number) for number, call in enumerate(calls) if call.can(kind))


def _count(case: Case, work: Path) -> list[Call]:
    """The calls of an attempt without a fault, which it makes in a process of its own."""

    def attempt(tell: Tell) -> None:
        with FailingDisk(work) as disk:
            case.act(work, lambda _: None)
        for call in disk.calls:
            tell(json.dumps(astuple(call)))

    code, lines, trace = in_child(attempt)
    if code != DONE:
        raise RuntimeError(f"{case.name} fails without a fault:\n{trace}")
    return [Call(*json.loads(line)) for line in lines]


def _try(case: Case, work: Path, fault: Fault, old: Any, new: Any, listing: list[str]) -> list[str]:
    """What is wrong after one fault, and after the attempt that follows it."""

    def attempt(tell: Tell) -> None:
        if fault.kind == LIMITED:
            with limited(fault.at):
                case.act(work, tell)
        else:
            with FailingDisk(work, fault):
                case.act(work, tell)

    code, told, trace = in_child(attempt)
    problems = []
    if fault.kind in ENDING and code != CRASHED:
        problems.append(f"the process ended with {code}, not by the fault: {trace}")
    if code == BROKEN:
        problems.append(f"it raised what is neither an OSError nor an InputError:\n{trace}")
    try:
        now = case.read(work)
        if not case.fits(Found(old, new, now, tuple(told), fault.kind)):
            problems.append(f"neither old nor new: {_shortened(now)}")
    except (InputError, OSError, ValueError) as error:
        problems.append(f"it cannot be read: {error}")
    try:
        with FailingDisk(work):
            case.act(work, lambda _: None)
    except Exception:
        return [*problems, f"the next attempt fails: {traceback.format_exc()}"]
    now = case.read(work)
    if case.settled(now) != case.settled(new):
        problems.append(f"the next attempt ends with something else: {_shortened(now)}, not {_shortened(new)}")
    if (files := case.listing(work)) != listing:
        more, fewer = sorted(set(files) - set(listing)), sorted(set(listing) - set(files))
        problems.append(f"after the next attempt there are also {more}, and {fewer} are missing")
    return problems


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 400 else f"{text[:300]} ... {text[-60:]}"


def in_child(work: Callable[[Tell], None]) -> tuple[int, list[str], str]:
    """Do something in a forked process; return its exit code, what it told, and its traceback if it raised."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = BROKEN
        try:
            os.close(read)
            code = _do(work, write)
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    told, _, trace = text.partition("\0")
    return os.waitstatus_to_exitcode(status), told.splitlines(), trace.strip()


def _do(work: Callable[[Tell], None], pipe: int) -> int:
    write = os.write

    def tell(text: str) -> None:
        write(pipe, text.encode() + b"\n")

    try:
        work(tell)
    except Exception as error:
        known = isinstance(error, (OSError, InputError)) or type(error).__name__ in SYNTHETIC
        trace = "".join(traceback.format_exception_only(error) if known else traceback.format_exception(error))
        write(pipe, b"\0" + trace.encode("utf-8", "replace")[-4000:])
        return REFUSED if known else BROKEN
    return DONE
