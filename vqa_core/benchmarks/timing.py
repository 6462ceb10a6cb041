"""Timing several ways of doing the same work against each other on a machine that others use as well.

The arms take turns, A B C | C B A | A B C, so a slow minute hits them all; round 0 warms up and is thrown away; what is
compared is the ratio within a round, and what is reported is the median over the rounds.
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
    """Median, extremes and quartiles of some measurements."""

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
        """How many times as fast as `over` the arm was, in each round."""
        return [slow / fast for slow, fast in zip(self.seconds[over], self.seconds[arm], strict=True)]


def interleave(
    arms: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    limit_s: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Run every arm once a round, in turning order, `rounds` times after a round that doesn't count.

    After `limit_s` seconds no round is begun, but for the first that counts. An arm must have finished its work when
    it returns.
    """
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    begun = clock()
    for number in range(rounds + 1):
        if number > 1 and clock() - begun > limit_s:
            break
        taken = {}
        for name in list(arms)[:: 1 if number % 2 == 0 else -1]:
            started = clock()
            arms[name]()
            taken[name] = clock() - started
        told = ", ".join(f"{name} {taken[name]:.2f} s" for name in arms)
        logger.info("%s: %s", f"Round {number} of {rounds}" if number else "Warm-up", told)
        if number:
            for name in arms:
                seconds[name].append(taken[name])
    return Rounds(seconds)
