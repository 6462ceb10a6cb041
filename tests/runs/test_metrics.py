"""The lines of a metrics.jsonl, whole or torn, and the speed of a training by them."""

import os
from pathlib import Path

import pytest

from vqa_core.files import InputError, append_line
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


def test_a_line_that_does_not_fit_leaves_nothing_and_a_torn_one_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "metrics.jsonl", os.write
    assert read_metrics(path) == []
    append_line(path, '{"step": 1}')
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda handle, data: real(handle, data[:4]))
        with pytest.raises(InputError, match="its drive is full"):
            append_line(path, '{"step": 2}')
    assert path.read_text() == '{"step": 1}\n'
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 1}]
    path.write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(InputError, match="line 1"):
        read_metrics(path)
    path.write_text('{"step": 1}\n{"step": 2}')
    assert [row["step"] for row in read_metrics(path)] == [1, 2]
