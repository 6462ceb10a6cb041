"""Progress: what the commands print while they work is what the page reads."""

import io
import logging
import sys
from pathlib import Path

import pytest

from vqa_core import progress
from vqa_core.inference import predict as predicting
from vqa_core.progress import Meter, Progress, metered, read_progress
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir
from vqa_core.training.metric_log import MetricLog
from vqa_core.training.trackers import Tracker


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that shows, each time it is looked at, the next second."""
    now = [0.0]

    def clock() -> float:
        now[0] += 1
        return now[0]

    monkeypatch.setattr("time.monotonic", clock)
    return now


def test_the_lines_of_a_training_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = RunDir(tmp_path)
    log = MetricLog(run, Tracker("none", run, {}), steps=40, epochs=2.0, after=0)
    with caplog.at_level(logging.INFO, "vqa"):
        log.write(1, 10.0, {"loss": 2.0, "learning_rate": 1e-3})
        first = read_progress(caplog.messages)
        log.write(21, 20.0, {"loss": 1.0, "learning_rate": 1e-3})
        log.write(21, 20.0, {"eval_accuracy": 0.5, "eval_questions": 8})
    assert first is not None
    assert (first.done, first.total, first.unit, first.rate, first.eta_s) == (1, 40, "steps", None, None)
    last = read_progress(caplog.messages)
    assert last is not None
    assert (last.done, last.total, last.unit, last.rate, last.eta_s) == (21, 40, "steps", 2.0, 9.5)


@pytest.mark.usefixtures("seconds")
def test_the_lines_of_a_prediction_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answers = (Prediction(f"Q{number}", "a", "yes", 0.5, "ok") for number in range(20))
    with caplog.at_level(logging.INFO, "vqa"), PredictionLog.open(tmp_path / "p.jsonl", meta={}, restart=False) as log:
        predicting._append(answers, 20, log)
    steps = [read_progress([line]) for line in caplog.messages]
    assert [(step.total, step.unit) for step in steps if step] == [(20, "questions")] * len(caplog.messages)
    assert steps[-1]
    assert (steps[-1].done, steps[-1].eta_s) == (20, 0.0)


@pytest.mark.usefixtures("seconds")
def test_a_meter_tells_the_log_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(metered("abcdefghijklm", "Checking images", 13, "images")) == list("abcdefghijklm")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Checking images: 5 of 13 images, 1.0 images/s, 0.1 min left",
        "Checking images: 10 of 13 images, 1.0 images/s, 0.1 min left",
        "Checking images: 13 of 13 images, 1.0 images/s, 0.0 min left",
    ]
    assert read_progress(lines[:2]) == Progress(10, 13, "images", 1.0, 3.0, lines[1])


def test_what_is_quickly_done_leaves_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    list(metered(range(1000), "Checking images", 1000, "images"))
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("seconds")
def test_bytes_are_shown_as_megabytes(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("Unpacking", "B") as meter:
        for done in range(0, 60_000_001, 5_000_000):
            meter.at(done, 60_000_000)
    last = read_progress(capsys.readouterr().err.splitlines())
    assert last
    assert (last.done, last.total, last.unit, last.rate) == (60, 60, "MB", 4.6)


@pytest.mark.usefixtures("seconds")
def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    list(metered(range(30), "Checking images", 30, "images"))
    assert "Checking images:" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "12 of 40 questions are answered already.",
        "The text token budget of 5 cut 2 of 40 questions (9 tokens); no answer or image was cut.",
        "The time limit is reached at step 5 of 9.",
        "Stopped at step 5 of 9. Give the same command with --resume to go on.",
        "step 8: validation accuracy 0.5000 (8 questions)",
        "question: what is 3 of 4?",
        "$ python -c 'step 3 of 4: '",
    ],
)
def test_other_lines_tell_of_no_progress(line: str) -> None:
    assert read_progress([line]) is None


def test_the_last_line_that_tells_counts() -> None:
    last = read_progress(["1 of 9 questions, 2.0 questions/s, 0.1 min left", "2 of 9 questions", "Encoded 3 images."])
    assert last == Progress(2, 9, "questions", None, None, "2 of 9 questions")


def test_a_share_is_never_more_than_the_whole() -> None:
    assert Progress(12, 9, "steps", None, None, "").share == 1.0
    assert Progress(0, 0, "steps", None, None, "").share == 0.0


def test_a_meter_looks_at_the_clock_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs little, a line or not: 100,000 images are 100,000 calls."""
    printed: list[str] = []
    monkeypatch.setattr(progress.Meter, "_line", lambda *_: printed.append("") or "")
    list(metered(range(100_000), "Checking images", 100_000, "images"))
    assert len(printed) <= 1
