"""Arms take turns, the first round doesn't count, ratios are taken within a round."""

from functools import partial

import pytest

from vqa_core.benchmarks.timing import Rounds, Spread, interleave


class Clock:
    """A clock that arms move on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.order: list[str] = []

    def arm(self, name: str, seconds: float) -> None:
        self.order.append(name)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def test_arms_take_turns_there_and_back() -> None:
    clock = Clock()
    interleave({name: partial(clock.arm, name, 1) for name in "ABC"}, 3, clock=clock)
    assert "".join(clock.order) == "ABCCBAABCCBA"


def test_round_0_does_not_count() -> None:
    clock = Clock()
    pace = iter([50.0, 2.0, 3.0])
    rounds = interleave({"A": lambda: clock.arm("A", next(pace))}, 2, clock=clock)
    assert rounds.seconds == {"A": [2.0, 3.0]}


def test_no_round_is_begun_after_the_limit_but_one_always_counts() -> None:
    clock = Clock()
    arms = {"A": lambda: clock.arm("A", 10)}
    assert interleave(arms, 5, limit_s=25, clock=clock).seconds == {"A": [10, 10]}
    assert interleave(arms, 5, limit_s=0, clock=clock).seconds == {"A": [10]}


def test_ratios_are_taken_within_a_round_so_that_a_slow_minute_cancels() -> None:
    rounds = Rounds({"shared": [1.0, 10.0, 2.0], "naive": [3.0, 30.0, 7.0]})
    assert rounds.ratios("shared", over="naive") == [3.0, 3.0, 3.5]
    assert Spread.of(rounds.ratios("shared", over="naive")).median == 3.0


def test_a_spread_tells_median_extremes_and_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, 1.0, 5.0, (2.0, 4.0))
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0, (7.0, 7.0))


def test_an_arm_that_fails_stops_the_measurement() -> None:
    def fail() -> None:
        raise RuntimeError("wrong answers")

    with pytest.raises(RuntimeError, match="wrong answers"):
        interleave({"A": fail}, 1)
