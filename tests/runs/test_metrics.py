"""The lines of a metrics.jsonl, and the speed that they tell."""

from pathlib import Path

import pytest

from vqa_core.files import InputError
from vqa_core.runs.metrics import read_metrics, seconds_per_step


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


def test_a_last_line_that_was_torn_is_none_and_any_other_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"step": 1}\n{"step": 2}')
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]
    path.write_text('{"step": 1}\n{"step": 2')
    assert read_metrics(path) == [{"step": 1}]
    path.write_text('{"step": 1}\n{"st\n{"step": 2}\n')
    with pytest.raises(InputError, match="line 2: not valid JSON"):
        read_metrics(path)
