"""The speed of a training, by its metrics.jsonl."""

import pytest

from vqa_core.runs.metrics import seconds_per_step


def line(step: int, seconds: float, kind: str = "loss") -> dict[str, float]:
    return {"step": step, kind: 1.0, "seconds": seconds}


def test_a_validation_and_a_clock_that_stands_still_are_left_out() -> None:
    rows = [
        line(10, 5.0),
        line(20, 10.0),
        line(20, 30.0, "eval_accuracy"),
        line(30, 35.0),
        line(34, 37.0),
        line(44, 37.0),
    ]
    assert seconds_per_step(rows) == [0.5, 0.5]
    assert seconds_per_step(rows[:1]) == seconds_per_step([]) == []


def test_a_line_of_another_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        seconds_per_step([{"loss": 1.0}, line(10, 5.0)])
