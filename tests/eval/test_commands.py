"""eval.score, eval.submit and eval.compare as a person types them, on a run whose predictions are given."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from eval import compare, score, submit
from vqa_core import ROOT
from vqa_core.commands import run_command
from vqa_core.files import InputError
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.history import list_submissions

COLORS = ["red", "blue", "none", "black"]


def question(split: str, number: int, answer: str | None) -> Example:
    image = f"{split}_{number // 3:04d}"
    return Example(f"{split.upper()}_{number:05d}", image, f"image/{image}.png", f"what color is {number % 5}?", answer)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    answers = [(f"TEST_{number:05d}", COLORS[number % 4]) for number in range(60)]
    (folder / "sample_submission.csv").write_text(
        "ID,answer\n" + "".join(f"{name},\n" for name, _ in reversed(answers))
    )
    (folder / "solution.csv").write_text("ID,answer\n" + "".join(f"{name},{answer}\n" for name, answer in answers))
    (folder / "train.csv").write_text("ID,image_id,question,answer\n")
    return folder


def make_run(folder: Path, data: Path, every: int) -> RunDir:
    """A run that answers each `every`th question wrongly."""
    run = RunDir(folder)
    run.write_section("dataset", {"root": str(data)})
    run.write_section("train", {"seed": every})
    splits = {
        split: [question(split, number, COLORS[number % 4]) for number in range(60)] for split in ("train", "val")
    }
    splits["test"] = [question("test", number, None) for number in range(60)]
    for split, examples in splits.items():
        write_examples(folder / f"{split}.jsonl", examples)
        if split == "train":
            continue
        with PredictionLog.open(run.predictions(split), meta={"weights": "w"}) as log:
            for number, example in enumerate(examples):
                answer = "pink" if number % every == 0 else COLORS[number % 4]
                log.append([Prediction(example.question_id, answer, answer, 0.5)])
    return run


@pytest.fixture
def run(tmp_path: Path, data: Path) -> RunDir:
    return make_run(tmp_path / "runs" / "a", data, every=10)


def test_scores_of_both_splits_stand_side_by_side_in_score_json(
    run: RunDir, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score.main(["--run", str(run.root)])
    assert capsys.readouterr().out.splitlines()[-1].startswith("exact match: 0.9000 (95 % interval 0.8")
    score.main(["--run", str(run.root), "--split", "test", "--answers", str(data / "solution.csv")])
    assert capsys.readouterr().out.splitlines()[-1].endswith(", n 60, test)")
    written = json.loads(run.score.read_text())
    assert written.keys() == {"val", "test"}
    assert written["val"]["overall"]["exact"]["value"] == 0.9
    assert written["test"]["overall"]["exact"]["n"] == 60


def test_test_answers_must_be_given_and_ten_of_them_for_the_vqa_metric(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no reference answer for 60 of 60.*--answers"):
        score.main(["--run", str(run.root), "--split", "test"])
    with pytest.raises(InputError, match="at least 4 reference"):
        score.main(["--run", str(run.root), "--metric", "vqa_official_2021"])
    annotations = [
        {"question_id": f"TEST_{n:05d}", "answers": [{"answer": COLORS[n % 4]}] * 3 + [{"answer": "no"}] * 7}
        for n in range(60)
    ]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"annotations": annotations}))
    options = ["--split", "test", "--annotations", str(path), "--metric", "vqa_official_2021"]
    score.main(["--run", str(run.root), *options])
    found = json.loads(run.score.read_text())["test"]["overall"]["vqa_official_2021"]["value"]
    # Three of ten score 0.9, and "none" normalised is "0" on both sides.
    assert found == pytest.approx(0.9 * 0.9)


def test_a_submission_is_in_the_samples_order_with_a_card_beside_it(
    run: RunDir, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score.main(["--run", str(run.root)])
    out = tmp_path / "out" / "mine.csv"
    submit.main(["--run", str(run.root), "--data", str(data), "--out", str(out)])
    lines = out.read_text().splitlines()
    assert lines[0] == "ID,answer"
    assert lines[1:3] == ["TEST_00059,black", "TEST_00058,none"]
    assert len(lines) == 61
    card = json.loads((tmp_path / "out" / "mine.card.json").read_text())
    assert card["validation"]["overall"]["exact"]["value"] == 0.9
    assert card["command"].startswith("python -m eval.submit --run ")
    assert card["data"].keys() == {"train.csv", "sample_submission.csv"}
    printed = capsys.readouterr().out
    assert "warning: 6 answers never seen in training: 'pink' (6 times)." in printed
    assert f"{out}: 60 answers, checked against sample_submission.csv." in printed


def test_a_submission_goes_into_the_run_from_the_data_it_was_prepared_from(run: RunDir) -> None:
    submit.main(["--run", str(run.root)])
    assert run.submission.is_file()
    assert (run.root / "submission.card.json").is_file()


def test_every_submission_is_kept_in_the_run_wherever_it_is_written(run: RunDir, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    for _ in range(2):
        submit.main(["--run", str(run.root), "--out", str(out)])
    (kept,) = list_submissions(run)
    assert kept.path.read_bytes() == out.read_bytes()
    assert kept.card["submission"]["rows"] == 60


def test_a_refused_submission_leaves_the_old_one_as_it_was(run: RunDir) -> None:
    submit.main(["--run", str(run.root)])
    before = run.submission.read_bytes()
    with PredictionLog.open(run.predictions("test")) as log:
        log.append([Prediction("VAL_00001", "yes", "yes", 1.0)])
    with pytest.raises(InputError, match="lists 60 of the 61 questions that have a prediction, without 'VAL_00001'"):
        submit.main(["--run", str(run.root)])
    assert run.submission.read_bytes() == before


def test_the_competitions_own_files_are_never_written_over(run: RunDir, data: Path) -> None:
    with pytest.raises(InputError, match="one of the competition's own files"):
        submit.main(["--run", str(run.root), "--out", str(data / "sample_submission.csv")])
    with pytest.raises(InputError, match="is not a folder"):
        submit.main(["--run", str(run.root), "--data", str(data / "train.csv")])


def test_two_runs_are_compared_with_answers_and_without(
    run: RunDir, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_run(tmp_path / "runs" / "b", data, every=2)
    pair = ["--run", str(run.root), "--with", str(other.root)]
    compare.main(pair)
    printed = capsys.readouterr().out
    assert "a is better" in printed
    assert "train.seed" in printed
    compare.main([*pair, "--split", "test"])
    printed = capsys.readouterr().out
    assert "answers that differ: 24 of 60 (40.0%)" in printed
    assert "better" not in printed
    compare.main([*pair, "--split", "test", "--answers", str(data / "solution.csv")])
    assert "a is better" in capsys.readouterr().out


def test_runs_split_otherwise_are_not_compared(run: RunDir, data: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "runs" / "b", data, every=3)
    write_examples(other.val, other.examples("val")[3:])
    with pytest.raises(InputError, match=r"3 are in one only.*--split-seed"):
        compare.main(["--run", str(run.root), "--with", str(other.root)])


@pytest.mark.parametrize("command", ["score", "submit", "compare"])
def test_a_folder_that_is_no_run_ends_with_one_sentence_and_exit_code_2(command: str, tmp_path: Path) -> None:
    extra = ["--with", str(tmp_path)] if command == "compare" else []
    arguments = [sys.executable, "-m", f"eval.{command}", "--run", str(tmp_path / "nowhere"), *extra]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "python -m train.prepare" in done.stderr


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EIO"])
@pytest.mark.parametrize("call", ["mkstemp", "fsync", "replace"])
@pytest.mark.parametrize("command", [score, submit], ids=["score", "submit"])
def test_a_disk_that_fails_is_a_sentence_and_what_was_written_before_stays(
    command: ModuleType,
    call: str,
    code: str,
    run: RunDir,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written, number = (run.score if command is score else run.submission), getattr(errno, code)
    command.main(["--run", str(run.root)])
    before = written.read_bytes()
    with PredictionLog.open(run.predictions("val"), restart=True) as log:
        log.append([Prediction(example.question_id, "pink", "", 0.5) for example in run.examples("val")])
    with PredictionLog.open(run.predictions("test"), restart=True) as log:
        log.append([Prediction(example.question_id, "pink", "", 0.5) for example in run.examples("test")])

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), *([str(run.root / "x")] if code == "EACCES" else []))

    monkeypatch.setattr(tempfile if call == "mkstemp" else os, call, fail)
    if (call, code) in (("fsync", "EROFS"), ("replace", "EACCES")):
        return  # say that the drive has none, and that it renames no file over another
    with pytest.raises(SystemExit) as exit:
        run_command(command.main, ["--run", str(run.root)])
    monkeypatch.undo()
    shown = capsys.readouterr().err
    assert exit.value.code == 2, shown
    assert shown.startswith(f"error: {written}")
    assert written.read_bytes() == before
    assert not [path for path in run.root.rglob("*") if path.name.endswith(".tmp")]
