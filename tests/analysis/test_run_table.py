"""The table of runs: a row says what the files say, a damaged file takes no more than its own cell."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.run_files import DATASET, SCORE, TRAIN, answer, made, questions
from vqa_core.analysis.run_table import Measure, against, differences, pin, pinned, read_row, read_rows
from vqa_core.files import write_json, write_json_lines
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.history import keep_submission, set_public_score


def test_a_run_goes_through_every_status(tmp_path: Path) -> None:
    run, seen = RunDir(tmp_path / "a"), []

    def look() -> None:
        seen.append(read_row(run).status)

    write_json(run.config, {"data": {}})
    look()
    made(run.root, train=TRAIN)
    look()
    write_json_lines(run.metrics, [{"step": 1, "loss": 1.0, "seconds": 1.0}])
    look()
    write_json(run.model / "vqa.json", {})
    look()
    run.predictions("test").parent.mkdir()
    run.predictions("test").touch()  # opened, nothing answered
    look()
    run.predictions("test").write_text("{}\n", encoding="utf-8")
    look()
    write_json(run.score, {})
    look()
    run.submission.write_text("ID,answer\n", encoding="utf-8")
    look()
    assert seen == [
        *("started", "prepared", "partly trained", "trained", "trained", "predicted", "scored", "submitted"),
    ]


def test_a_row_holds_scores_speed_and_public_score(tmp_path: Path) -> None:
    run = made(tmp_path / "a", train=TRAIN)
    write_json(run.score, {"val": SCORE, "test": SCORE | {"metric": "exact_normalised"}})
    lines = []
    for step in (10, 20, 30, 40):  # a validation of 100 s after each but the first
        lines.append({"step": step, "loss": 1.0, "seconds": step * 0.5 + max(0, step - 20) * 10})
        lines += [{"step": step, "eval_accuracy": 1.0, "seconds": step * 0.5 + (step - 10) * 10}] if step > 10 else []
    write_json_lines(run.metrics, lines)
    for number, text in enumerate(("x", "y")):
        run.submission.write_text(f"ID,answer\nq,{text}\n", encoding="utf-8")
        kept = keep_submission(run, run.submission)
        if number == 0:
            set_public_score(run, kept.id, "0.70")
            for file in run.submissions.iterdir():  # the other one is newer
                file.rename(file.with_name(file.name.replace(kept.id, f"20200101T000000Z-{kept.id[-8:]}")))
    row = read_row(run)
    assert row.validation == Measure("exact", 0.5, 40, 0.4, 0.6)
    assert row.test is not None
    assert (row.test.metric, row.test.value) == ("exact_normalised", 0.9)
    assert row.speed == pytest.approx(16 / 0.5)  # 8 questions twice a step; validating doesn't count
    assert (row.data, row.stage, row.public_score, row.problems) == ("data/x", "lora", "0.70", ())


def test_a_finished_training_tells_how_many_questions_its_steps_had(tmp_path: Path) -> None:
    run = made(tmp_path / "a", train=TRAIN)
    write_json_lines(run.metrics, [{"step": step, "loss": 1.0, "seconds": step / 2} for step in (1, 2)])
    trained = {"steps": 100, "questions": 500}
    checked = {"accuracy": 0.75, "questions": 20}
    write_json(run.model / "vqa.json", {"trained": trained, "validation": checked, "stage": {"name": "full"}})
    row = read_row(run)
    assert row.speed == pytest.approx(5 / 0.5)
    assert row.stage == "full"
    assert row.validation == Measure("exact", 0.75, 20)  # no interval: it was measured while training


def test_a_changed_file_changes_the_row(tmp_path: Path) -> None:
    run = made(tmp_path / "a")
    assert read_row(run).validation is None
    write_json(run.score, {"val": SCORE})
    first = read_row(run)
    write_json(run.score, {"val": json.loads(json.dumps(SCORE).replace("0.5", "0.7"))})
    os.utime(run.score, ns=(0, run.score.stat().st_mtime_ns + 1_000_000))
    assert first.validation is not None
    assert read_row(run).validation == Measure("exact", 0.7, 40, 0.4, 0.6)


@pytest.mark.parametrize("name", ["config.json", "score.json", "metrics.jsonl", "model/vqa.json"])
@pytest.mark.parametrize(
    "text",
    [
        "{broken",
        "[1]",
        "null",
        '{"val": 3, "train": 7, "dataset": [], "step": "x", "validation": "y", "stage": 1}',
        "\x00",
        '"a"',
    ],
)
def test_a_damaged_file_is_a_problem_of_one_run(tmp_path: Path, name: str, text: str) -> None:
    run, other = made(tmp_path / "a", train=TRAIN), made(tmp_path / "b", train=TRAIN)
    (run.root / name).parent.mkdir(exist_ok=True)
    (run.root / name).write_text(text, encoding="utf-8")
    rows = {row.name: row for row in read_rows(tmp_path)}
    assert rows["b"].stage == "lora"
    assert rows["b"].problems == ()
    assert rows["a"].validation is None
    assert rows["a"].problems or text.startswith('{"val')
    assert all(str(run.root / name) in problem for problem in rows["a"].problems)
    assert other.root.name == "b"


def test_differences_name_settings_missing_sections_and_other_data() -> None:
    ours = {"train": {"seed": 0, "epochs": 1}, "model": {"x": 1}, "dataset": DATASET}
    theirs = {"train": {"seed": 1, "epochs": 1}, "dataset": DATASET | {"fingerprint": "bb", "source": "y"}}
    assert differences(ours, theirs) == {
        "model.*": ("…", None),
        "train.seed": (0, 1),
        "dataset": ("data/x", "y"),
    }
    assert differences(ours, ours | {"dataset": DATASET | {"root": "/elsewhere"}}) == {}


def test_runs_of_the_same_questions_are_compared_in_pairs(tmp_path: Path) -> None:
    a, b, c = (made(tmp_path / name) for name in "abc")
    examples = questions(60, 20)
    answer(a, examples, set(range(60)))
    answer(b, examples, set(range(0, 60, 2)))
    answer(c, questions(59, 20), set(range(59)))
    paired = against(a, b)
    assert paired is not None
    assert (paired.only_a, paired.only_b, paired.verdict) == (30, 0, "a")
    assert paired.difference.value == pytest.approx(0.5)
    turned = against(b, a)
    assert turned is not None
    assert turned.verdict == "b"
    assert against(a, c) is None
    assert against(a, made(tmp_path / "d")) is None
    e = made(tmp_path / "e")
    answer(e, [replace(example, question="who?") for example in examples], set())
    assert against(a, e) is None  # the same ids of other questions
    b.predictions("val").write_text("{broken\n{}\n", encoding="utf-8")
    assert against(a, b) is None


def test_a_baseline_is_pinned_until_it_is_gone(tmp_path: Path) -> None:
    assert pinned(tmp_path) == ""
    run = made(tmp_path / "한글 run")
    pin(tmp_path, "한글 run")
    assert pinned(tmp_path) == "한글 run"
    assert [row.name for row in read_rows(tmp_path)] == ["한글 run"]  # the pin is no run
    run.config.unlink()
    assert pinned(tmp_path) == ""
    made(run.root)
    pin(tmp_path, "")
    assert pinned(tmp_path) == ""


@pytest.mark.parametrize("text", ["{", "[]", '{"run": 3}', '{"run": "../a"}', "{}"])
def test_a_damaged_pin_is_no_pin(tmp_path: Path, text: str) -> None:
    made(tmp_path / "a")
    (tmp_path / "baseline.json").write_text(text, encoding="utf-8")
    assert pinned(tmp_path) == ""


def test_two_hundred_runs_are_read_quickly_and_again_at_once(tmp_path: Path) -> None:
    run = made(tmp_path / "run0", train=TRAIN)
    write_json(run.score, {"val": SCORE})
    write_json_lines(run.metrics, [{"step": step, "loss": 1.0, "seconds": step * 1.5} for step in range(100)])
    for number in range(1, 200):
        shutil.copytree(run.root, tmp_path / f"run{number}")
    started = time.perf_counter()
    assert len(read_rows(tmp_path)) == 200
    first = time.perf_counter() - started
    read_rows(tmp_path)
    again = time.perf_counter() - started - first
    assert first < 5  # 0.15 s on two idle cores; others may be busy here
    assert again < first
