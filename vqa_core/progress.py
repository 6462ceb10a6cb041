"""Progress of a long command: a bar on a terminal, lines in a log, and a parser of these lines."""

import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

LOG_EVERY_S = 5.0
_MB = 1_000_000

T = TypeVar("T")

# "Checking images: 640 of 4000 images, 128.0 images/s, 0.4 min left", eval.predict's line without a label, and
# "step 40 of 90: loss 0.1034, learning rate 3.00e-04, 1.90 steps/s, 0.4 min left" of train.finetune
_LEFT = r"(?:, (?P<left>\d+(?:\.\d+)?) min left)?$"
_LINES = (
    re.compile(
        r"^(?:[^:]*: )?(?P<done>\d+) of (?P<total>\d+) (?P<unit>\w+)(?:, (?P<rate>\d+(?:\.\d+)?) (?P=unit)/s)?" + _LEFT
    ),
    re.compile(r"^(?P<unit>step) (?P<done>\d+) of (?P<total>\d+): .*?(?:, (?P<rate>\d+(?:\.\d+)?) steps/s)?" + _LEFT),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total`, in `unit` ("questions"); `rate` per second and `eta_s` if known; `text` is the line itself."""

    done: int
    total: int
    unit: str
    rate: float | None
    eta_s: float | None
    text: str

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


def read_progress(lines: Iterable[str]) -> Progress | None:
    """Parse the last line that reports progress; None if no line does."""
    for line in reversed(list(lines)):
        for pattern in _LINES:
            if match := pattern.match(line):
                return _parse(match)
    return None


def _parse(match: re.Match[str]) -> Progress:
    done, total = int(match["done"]), int(match["total"])
    rate = float(match["rate"]) if match["rate"] else None
    eta_s = float(match["left"]) * 60 if match["left"] else None
    if rate:  # more precise than the tenths of a minute in the line
        eta_s = max(total - done, 0) / rate
    unit = "steps" if match["unit"] == "step" else match["unit"]
    return Progress(done, total, unit, rate, eta_s, match[0])


class Meter:
    """`with Meter("Unpacking", "B") as meter: meter.at(done, total)`; shows bytes as MB.

    Draws a bar on a terminal. Elsewhere prints a line to stderr every few seconds, and none for work that is shorter.
    """

    def __init__(self, label: str, unit: str, total: int | None = None) -> None:
        self.label, self.unit, self.total = label, unit, total
        scaled = unit == "B"
        self._bar = tqdm(
            desc=label, total=total, unit=unit if scaled else f" {unit}", unit_scale=scaled, leave=False, disable=None
        )
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def at(self, done: int, total: int | None = None) -> None:
        """Report `done` of `total`; without `total`, the last one stays."""
        self.total = total if total is not None else self.total
        if not self._bar.disable:
            self._bar.total = self.total
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._printed < LOG_EVERY_S and not (done == self.total and self._printed > self._started):
            return
        self._printed = now
        print(self._line(done, now - self._started), file=sys.stderr, flush=True)

    def _line(self, done: int, seconds: float) -> str:
        scale, unit = (_MB, "MB") if self.unit == "B" else (1, self.unit)
        rate = done / max(seconds, 1e-9)
        line = f"{self.label}: {done // scale} of {(self.total or done) // scale} {unit}, {rate / scale:.1f} {unit}/s"
        return f"{line}, {((self.total or done) - done) / rate / 60:.1f} min left" if rate else line


def metered(items: Iterable[T], label: str, total: int, unit: str) -> Iterator[T]:
    """Yield the items and report their number on a Meter."""
    with Meter(label, unit, total) as meter:
        for done, item in enumerate(items, start=1):
            yield item
            meter.at(done)
