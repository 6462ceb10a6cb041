"""Compare the speed of several ways ("arms") to do the same work, on a machine that others use as well.

The arms take turns, A B C | C B A | A B C, so a slow minute hits them all. Round 0 warms up and does not count. Ratios
are taken within a round, and the median over the rounds is reported.
"""

import logging
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

logger = logging.getLogger("vqa")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum, maximum and quartiles of measurements."""

    median: float
    least: float
    most: float
    quartiles: tuple[float, float]

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(statistics.median(values), min(values), max(values), (low, high))


@dataclass(frozen=True, slots=True)
class Rounds:
    """Seconds of every arm, round by round."""

    seconds: dict[str, list[float]]

    def spread(self, arm: str) -> Spread:
        return Spread.of(self.seconds[arm])

    def ratios(self, arm: str, over: str) -> list[float]:
        """How many times as fast as `over` the arm is, in each round."""
        return [slow / fast for slow, fast in zip(self.seconds[over], self.seconds[arm], strict=True)]


def interleave(
    arms: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    limit_s: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Run every arm once per round, in alternating order, for `rounds` rounds after a warm-up.

    After `limit_s` seconds no further round starts, except the first that counts. An arm must have finished its work
    when it returns.
    """
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    start = clock()
    for number in range(rounds + 1):
        if number > 1 and clock() - start > limit_s:
            break
        times = {}
        for name in list(arms)[:: 1 if number % 2 == 0 else -1]:
            started = clock()
            arms[name]()
            times[name] = clock() - started
        message = ", ".join(f"{name} {times[name]:.2f} s" for name in arms)
        logger.info("%s: %s", f"Round {number} of {rounds}" if number else "Warm-up", message)
        if number:
            for name in arms:
                seconds[name].append(times[name])
    return Rounds(seconds)
