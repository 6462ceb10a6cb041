"""`train.prepare`, the command: from a folder, a zip or easy-vqa to a run that later stages may trust."""

import errno
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.exported import conversations, questions
from train.finetune import parse
from train.prepare import main
from vqa_core import ROOT
from vqa_core.benchmarks.prepare import time_prepare
from vqa_core.benchmarks.synthetic import make_dacon
from vqa_core.commands import run_command
from vqa_core.config import DataSettings
from vqa_core.data.prepare import Splits, prepare
from vqa_core.files import InputError
from vqa_core.planning.lengths import lengths_of_data, lengths_of_run
from vqa_core.runs.examples import Example, read_examples
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.training_rows import open_rows


def command(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "train.prepare", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve training images with three questions each and two test images, all PNG."""
    root = tmp_path / "data"
    lines = ["ID,image_id,question,answer"]
    for number in range(12):
        path = root / f"image/train/train_{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        answers = ("none", f"00{number}", "NA")
        lines += [f"{3 * number + n},train_{number:02d},question {n}?,{answer}" for n, answer in enumerate(answers)]
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    (root / "test.csv").write_text("ID,image_id,question\nT0,test_0,Q?\nT1,test_1,Q?\n")
    (root / "image/test").mkdir()
    for number in range(2):
        Image.new("RGB", (8, 8)).save(root / f"image/test/test_{number}.png")
    return root


def splits_of(run: RunDir) -> Splits:
    return Splits(*(read_examples(path) for path in (run.train, run.val, run.test)))


def contents(run: RunDir) -> dict[str, bytes]:
    """Every file of a run but its log and what a killed write leaves under a hidden name."""
    files = [path for path in run.root.rglob("*") if path.is_file() and path != run.log and path.suffix != ".tmp"]
    return {path.relative_to(run.root).as_posix(): path.read_bytes() for path in files}


def as_rows(run: RunDir) -> list[Example]:
    return [
        Example(question_id, row["image_id"], row["image"], question, answer)
        for row in open_rows(run.rows)
        for question_id, question, answer in zip(row["question_ids"], row["questions"], row["answers"], strict=True)
    ]


@pytest.mark.slow
def test_easy_vqa_is_prepared_from_nothing_and_home_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    run = RunDir(tmp_path / "runs/demo")
    arguments = ("--data", "easy-vqa", "--data-dir", tmp_path / "easy-vqa", "--run", run.root)
    child = command(*arguments, HOME=str(home), HF_HOME="", XDG_CACHE_HOME="")
    output, errors = child.communicate()
    assert child.returncode == 0, errors
    assert list(home.rglob("*")) == []
    splits = splits_of(run)
    assert (len(splits.train) + len(splits.val), len(splits.test)) == (38575, 9673)
    trained, held_out = ({row.image for row in rows} for rows in (splits.train, splits.val))
    assert (len(held_out), len(trained)) == (200, 3800)
    assert not trained & held_out
    assert sorted(as_rows(run), key=lambda row: row.question_id) == splits.train
    assert conversations(run.llava / "output.json") == splits.train
    assert questions(run.llava / "test.jsonl") == splits.test
    assert run.data_root() == (tmp_path / "easy-vqa").resolve()
    assert (run.data_root() / splits.test[0].image).is_file()
    config = run.read_config()
    assert (config["dataset"]["source"], config["dataset"]["has_solution"]) == ("easy-vqa", True)
    assert config["data"]["val_fraction"] == 0.05
    assert "38,575" in output
    assert f"Next: python -m train.finetune --run {run.root}" in errors


def test_answers_and_ids_pass_through_untouched(folder: Path, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    splits = prepare(run, str(folder), DataSettings(val_fraction=0.0))
    assert splits == splits_of(run)
    assert [row.answer for row in as_rows(run)][:6] == ["none", "000", "NA", "none", "001", "NA"]
    assert len(open_rows(run.rows)) == 12
    assert open_rows(run.rows).cache_files  # mapped from the file, not held in memory


def test_the_same_settings_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    runs = [RunDir(tmp_path / name) for name in ("one", "two")]
    for run in runs:
        prepare(run, str(folder), DataSettings(val_fraction=0.25))
    first = contents(runs[0])
    assert first == contents(runs[1])
    prepare(runs[0], str(folder), DataSettings(val_fraction=0.25))
    assert contents(runs[0]) == first


def test_a_zip_with_a_wrapping_folder_is_prepared(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "open.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, Path("open") / path.relative_to(folder))
    run = RunDir(tmp_path / "run")
    for _ in range(2):
        main(["--data", str(tmp_path / "open.zip"), "--run", str(run.root)])
    assert run.data_root() == tmp_path / "open.extracted/open"
    assert len(read_examples(run.train)) + len(read_examples(run.val)) == 36


def test_a_zip_within_folders_is_prepared_and_one_of_another_form_says_how_to_read_it(
    folder: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, Path("open/data") / path.relative_to(folder))
    main(["--data", str(tmp_path / "deep.zip"), "--run", str(tmp_path / "deep")])
    assert RunDir(tmp_path / "deep").data_root() == tmp_path / "deep.extracted/open/data"
    with zipfile.ZipFile(tmp_path / "json.zip", "w") as archive:
        archive.writestr("train.json", "[]")
    with pytest.raises(InputError, match=r"data in another format\. Read it with --data .*json\.extracted"):
        main(["--data", str(tmp_path / "json.zip"), "--run", str(tmp_path / "json")])
    with pytest.raises(InputError, match=r"train\.csv is not a folder, a zip, .*Name the folder"):
        main(["--data", str(folder / "train.csv"), "--run", str(tmp_path / "csv")])
    (tmp_path / "half.zip").write_bytes((tmp_path / "deep.zip").read_bytes()[:300])
    with pytest.raises(InputError, match=r"half\.zip is not a zip file"):
        main(["--data", str(tmp_path / "half.zip"), "--run", str(tmp_path / "half")])


def test_settings_come_from_the_config_and_flags_win(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"data": {"val_fraction": 0.5, "split_seed": 3}}')
    main(["--data", str(folder), "--run", str(tmp_path / "run"), "--config", str(config), "--split-seed", "4"])
    section = RunDir(tmp_path / "run").read_config()["data"]
    assert (section["val_fraction"], section["split_seed"]) == (0.5, 4)


def test_rows_without_a_usable_image_are_left_out_and_reported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "image/train/train_03.png").unlink()
    whole = (folder / "image/train/train_04.png").read_bytes()
    (folder / "image/train/train_04.png").write_bytes(whole[:-40])
    (folder / "image/test/test_0.png").write_bytes(b"")
    run = RunDir(tmp_path / "run")
    main(["--data", str(folder), "--run", str(run.root)])
    kept = {row.image_id for row in read_examples(run.train) + read_examples(run.val)}
    assert len(kept) == 10
    assert not kept & {"train_03", "train_04"}
    assert [row.image for row in read_examples(run.test)] == ["image/test/test_0.png", "image/test/test_1.png"]
    shown = capsys.readouterr().out
    assert "warning: 1 train image not found; the rows are left out (train_03)." in shown
    assert "warning: 1 train image that cannot be used; the rows are left out (image/train/train_04.png is" in shown
    assert "warning: 1 test image that cannot be used; the questions get a fallback answer" in shown


def test_how_far_images_are_checked_is_a_setting(folder: Path, tmp_path: Path) -> None:
    path = folder / "image/train/train_04.png"
    data = path.read_bytes()
    start = data.index(b"IDAT") + 4
    path.write_bytes(data[:start] + bytes(4) + data[start + 4 :])  # whole in header and end, rotten within
    kept = {}
    for how in ("none", "header", "full"):
        splits = prepare(RunDir(tmp_path / how), str(folder), DataSettings(verify_images=how, val_fraction=0.0))
        kept[how] = len(splits.train)
    assert kept == {"none": 36, "header": 36, "full": 33}
    codes = {
        how: [one["code"] for one in json.loads((tmp_path / how / "data_report.json").read_text())["findings"]]
        for how in kept
    }
    assert {how: "copies-by-bytes" in found for how, found in codes.items()} == {
        "none": True,
        "header": False,
        "full": False,
    }


def copy_as_new_names(folder: Path) -> None:
    """A file for each question: the picture of question 3 n, 3 n + 1 and 3 n + 2 under three names."""
    for path in list((folder / "image/train").iterdir()):
        for number in range(1, 3):
            shutil.copyfile(path, path.with_name(f"{path.stem}-{number}.png"))
    rows = (folder / "train.csv").read_text().splitlines()
    named = [re.sub(r"(train_..),(question ([12]))", r"\1-\3,\2", row) for row in rows]
    (folder / "train.csv").write_text("\n".join(named) + "\n")


def test_copies_of_a_picture_stay_on_one_side_of_the_split(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_as_new_names(folder)
    run = RunDir(tmp_path / "run")
    main(["--data", str(folder), "--run", str(run.root), "--val-fraction", "0.25"])
    train, val = read_examples(run.train), read_examples(run.val)
    assert (len(train), len(val)) == (27, 9)
    assert not {row.image_id[:8] for row in train} & {row.image_id[:8] for row in val}
    shown = capsys.readouterr().out
    assert "note: 24 train image files with the same content as another one; the split keeps them together" in shown
    assert re.search("copies +24 +1\n", shown)


def test_a_training_picture_that_test_has_under_another_name_is_reported_with_its_rows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8), (7, 0, 0)).save(folder / "image/test/test_1.png", compress_level=0)
    main(["--data", str(folder), "--run", str(tmp_path / "run")])
    shown = capsys.readouterr().out
    assert "warning: 6 rows of train.csv about exactly the same picture as a test question (0, 1, 2, ...)." in shown


@pytest.fixture(params=["val.csv", "validation.csv", "dev.csv"])
def own_split(folder: Path, request: pytest.FixtureRequest) -> Path:
    """The last nine rows of `folder` as its own validation split, with a row that names a picture of train.csv."""
    head, *rows = (folder / "train.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join([head, *rows[:27]]) + "\n")
    (folder / request.param).write_text("\n".join([head, *rows[27:], "27,train_00,a leak?,x", "99,train_11,?,"]) + "\n")
    pictures = folder / "image" / request.param.removesuffix(".csv")
    pictures.mkdir()
    for number in (0, *range(9, 12)):
        shutil.copyfile(folder / f"image/train/train_{number:02d}.png", pictures / f"train_{number:02d}.png")
    return folder


def test_the_validation_split_of_the_data_is_the_runs_whole_and_never_trained_on(
    own_split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir(tmp_path / "run")
    main(["--data", str(own_split), "--run", str(run.root), "--val-fraction", "0.5"])
    train, val = read_examples(run.train), read_examples(run.val)
    assert [row.question_id for row in train] == [str(number) for number in range(27)]
    assert [row.question_id for row in val] == [*(str(number) for number in range(27, 36)), "27#2"]
    assert val[0].image in [f"image/{name}/train_09.png" for name in ("val", "validation", "dev")]
    shown = capsys.readouterr()
    assert re.search(
        r"note: \w+\.csv is the validation split, 10 rows: --val-fraction holds out no others\.", shown.out
    )
    assert re.search(r"warning: 1 row of \w+\.csv without an answer, left out \(99\)", shown.out)
    assert (
        "warning: 3 rows of train.csv about exactly the same picture as a validation question (0, 1, 2)." in shown.out
    )
    assert "--val-fraction 0.5 is not used: the validation split that the data have wins" in shown.err
    assert [row.question_id for row in read_examples(run.unanswered)] == ["99"]


def test_validation_pictures_among_those_of_training_are_found_and_without_any_a_share_is_held_out(
    own_split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next(
        own_split / "image" / name for name in ("val", "validation", "dev") if (own_split / "image" / name).is_dir()
    ).rename(tmp_path / "away")
    run = RunDir(tmp_path / "run")
    main(["--data", str(own_split), "--run", str(run.root)])
    assert {row.image for row in read_examples(run.val)} == {f"image/train/train_{n:02d}.png" for n in (0, 9, 10, 11)}
    for number in (0, *range(9, 12)):
        (own_split / f"image/train/train_{number:02d}.png").unlink()
    capsys.readouterr()
    main(["--data", str(own_split), "--run", str(tmp_path / "second")])
    assert re.search(r"warning: no row of \w+\.csv has a usable image and an answer, so", capsys.readouterr().out)
    assert {row.image_id[:6] for row in read_examples(tmp_path / "second/val.jsonl")} == {"train_"}


def test_nobody_who_asked_for_no_fraction_is_told_that_it_is_not_used(
    own_split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--data", str(own_split), "--run", str(tmp_path / "run")])
    assert "is not used" not in capsys.readouterr().err
    assert lengths_of_data(own_split, DataSettings()) == lengths_of_run(RunDir(tmp_path / "run"))


def test_a_dev_csv_without_answers_changes_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / "dev.csv").write_text("ID,image_id,question\nD0,train_00,Q?\n")
    prepare(RunDir(tmp_path / "with"), str(folder), DataSettings(val_fraction=0.25))
    (folder / "dev.csv").unlink()
    prepare(RunDir(tmp_path / "without"), str(folder), DataSettings(val_fraction=0.25))
    with_it, without = (contents(RunDir(tmp_path / name)) for name in ("with", "without"))
    assert with_it["val.jsonl"] == without["val.jsonl"]
    assert with_it["train.jsonl"] == without["train.jsonl"]


def test_ids_that_train_csv_repeats_are_numbered_in_the_run_and_exported_as_they_were(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "train.csv").write_text(re.sub(r"(?m)^\d+,(train_..)", r"\1,\1", (folder / "train.csv").read_text()))
    run = RunDir(tmp_path / "run")
    main(["--data", str(folder), "--run", str(run.root), "--val-fraction", "0.25", "--export", "llava"])
    rows = read_examples(run.train) + read_examples(run.val)
    assert len({row.question_id for row in rows}) == 36
    assert {row.question_id for row in rows if row.image_id == "train_00"} == {"train_00", "train_00#2", "train_00#3"}
    assert "warning: 12 ids more than once in train.csv (train_00, train_01, train_02, ...)." in capsys.readouterr().out
    exported = [json.loads((run.root / f"export/llava/{split}.json").read_text()) for split in ("train", "val")]
    assert {record["id"] for records in exported for record in records} == {f"train_{n:02d}" for n in range(12)}


def spoil(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(change((folder / name).read_text())) and None


FATAL: dict[str, tuple[Callable[[Path], None], list[str], str]] = {
    "typo in a column": (lambda _folder: None, ["--question-column", "questoin"], "no column 'questoin'.*'question'"),
    "renamed column": (spoil("train.csv", lambda text: text.replace("answer", "reaction", 1)), [], "--answer-column"),
    "empty train.csv": (spoil("train.csv", lambda _text: ""), [], r"train\.csv is empty"),
    "header only": (spoil("train.csv", lambda text: text.splitlines()[0]), [], "a header but no rows"),
    "no train.csv": (lambda folder: (folder / "train.csv").unlink(), [], r"does not hold train\.csv; it holds image"),
    "ragged row": (spoil("train.csv", lambda text: text + "9,a,b,c,d\n"), [], r"row 37 \(line 38\)"),
    "duplicate test id": (spoil("test.csv", lambda text: text.replace("T1", "T0")), [], "1 id more than once"),
    "two files for one id": (
        lambda folder: (folder / "image/train/train_00.JPG").write_bytes(b"x") and None,
        [],
        r"train_00\.JPG or image/train/train_00\.png",
    ),
    "no images": (
        lambda folder: (folder / "image/train").rename(folder / "elsewhere"),
        [],
        "images were looked for in",
    ),
    "unknown choice": (lambda _folder: None, ["--verify-images", "ful"], "Did you mean 'full'"),
}


@pytest.mark.parametrize("kind", FATAL)
def test_fatal_data_stops_with_a_sentence_and_writes_no_examples(kind: str, folder: Path, tmp_path: Path) -> None:
    break_it, flags, message = FATAL[kind]
    break_it(folder)
    with pytest.raises(InputError, match=message):
        main(["--data", str(folder), "--run", str(tmp_path / "run"), *flags])
    run = RunDir(tmp_path / "run")
    assert not run.train.exists()
    assert not run.config.exists()


def test_a_fatal_report_is_printed_written_and_exits_with_2(folder: Path, tmp_path: Path) -> None:
    spoil("test.csv", lambda text: text.replace("T1", "T0"))(folder)
    (folder / "image/train/train_00.JPG").write_bytes(b"x")
    child = command("--data", folder, "--run", tmp_path / "run")
    output, errors = child.communicate()
    assert child.returncode == 2
    assert "questions per image" in output
    assert errors.count("\n") == 2
    assert "Traceback" not in errors
    assert "1 id more than once in test.csv (T0)." in errors
    codes = [one["code"] for one in json.loads(RunDir(tmp_path / "run").report.read_text())["findings"]]
    assert {"duplicate-test-ids", "ambiguous-images"} <= set(codes)


def test_a_run_with_a_model_keeps_its_data(folder: Path, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    prepare(run, str(folder), DataSettings(val_fraction=0.25))
    run.checkpoints.mkdir()
    before = contents(run)
    prepare(run, str(folder), DataSettings(val_fraction=0.25))
    with pytest.raises(InputError, match=r"checkpoints/ comes from that.*another --run"):
        prepare(run, str(folder), DataSettings(val_fraction=0.5))
    assert contents(run) == before


def consistent(run: RunDir) -> bool:
    """Whether the run claims to hold data; if it does, it is all of one making."""
    try:
        run.data_root()
    except InputError:
        return False
    splits = splits_of(run)
    assert splits.fingerprint == run.read_config()["dataset"]["fingerprint"]
    assert as_rows(run) == conversations(run.llava / "output.json") == splits.train
    assert questions(run.llava / "test.jsonl") == splits.test
    return True


class Stopped(BaseException):
    """What a test raises where a kill would come."""


def test_stopped_before_any_of_its_renames_a_run_is_never_half_trusted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, rename = os.replace, Path.rename
    left = 0

    def counted(act: Callable[..., object]) -> Callable[..., object]:
        def stop_or_act(*arguments: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise Stopped
            return act(*arguments)

        return stop_or_act

    other = prepare(RunDir(tmp_path / "other"), str(folder), DataSettings(val_fraction=0.5))
    outcomes = []
    for at in range(13):
        run = RunDir(tmp_path / f"run-{at}")
        prepare(run, str(folder), DataSettings(val_fraction=0.25))
        with monkeypatch.context() as patch:
            left = at
            patch.setattr(os, "replace", counted(replace))
            patch.setattr(Path, "rename", counted(rename))
            try:
                prepare(run, str(folder), DataSettings(val_fraction=0.5))
                finished = True
            except Stopped:
                finished = False
        outcomes.append((finished, consistent(run)))
        assert prepare(run, str(folder), DataSettings(val_fraction=0.5)) == other
        assert consistent(run)
    # Untouched until the old data are declared void, void until the last file, then whole.
    assert outcomes[:2] == [(False, True)] * 2
    assert set(outcomes[2:-1]) == {(False, False)}
    assert outcomes[-1] == (True, True)


@pytest.mark.parametrize("awaited", ["val.jsonl", "llava/test.jsonl"])
def test_sigkill_leaves_nothing_a_later_run_would_trust(awaited: str, folder: Path, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    prepare(run, str(folder), DataSettings(val_fraction=0.25))
    before = (run.root / awaited).stat().st_ino
    child = command("--data", folder, "--run", run.root, "--val-fraction", 0.5)
    deadline = time.monotonic() + 60
    while (run.root / awaited).stat().st_ino == before and time.monotonic() < deadline:
        time.sleep(0.0005)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert not consistent(run)
    with pytest.raises(InputError, match=r"has no data.*Run `python -m train\.prepare"):
        run.data_root()
    prepare(run, str(folder), DataSettings(val_fraction=0.5))
    undisturbed = RunDir(tmp_path / "undisturbed")
    prepare(undisturbed, str(folder), DataSettings(val_fraction=0.5))
    assert contents(run) == contents(undisturbed)


@pytest.mark.slow
def test_a_folder_of_a_twentieth_of_dacons_size_stays_within_its_share(tmp_path: Path) -> None:
    """The whole has 90 s on two cores and 1.5 GB; start-up and libraries come once and are not divided."""
    make_dacon(tmp_path / "dacon", share=1 / 20)
    usage = time_prepare(tmp_path / "dacon", RunDir(tmp_path / "run"))
    assert len(read_examples(tmp_path / "run/test.jsonl")) == 2024
    assert usage.processor_seconds < 3 + 2 * 90 / 20
    assert usage.peak_bytes < 200e6 + 1.5e9 / 20
    report = json.loads((tmp_path / "run/data_report.json").read_text())
    assert (report["splits"]["train"]["rows"], report["splits"]["train"]["found"]) == (17976, 5362)


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EROFS"])
def test_a_disk_that_fails_at_any_write_leaves_the_run_as_it_was(
    code: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write in turn, tried on a run that is prepared with another split already, until there is none to fail."""
    run = RunDir(tmp_path / "run")
    prepare(run, str(folder), DataSettings(val_fraction=0.25))
    before, number = contents(run), getattr(errno, code)
    del before[run.report.name]  # the report comes first, and tells what the data are like, not the run
    real, left = tempfile.mkstemp, [0]

    def fail(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    said: list[str] = []
    for at in itertools.count(1):
        left[0] = at
        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "mkstemp", fail)
            try:
                prepare(run, str(folder), DataSettings(val_fraction=0.5))
            except InputError as error:
                said.append(str(error))
            else:
                break
        after = contents(run)
        del after[run.report.name]
        assert after == before
        assert not [name for name in os.listdir(run.root) if name.endswith(".tmp")]
    assert len(said) > 7
    assert all(str(run.root) in sentence for sentence in said)
    assert len(read_examples(run.val)) == 18


def test_a_drive_that_fills_up_while_the_rows_are_saved_is_a_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_self: object, place: Path) -> None:
        Path(place, "data-00000-of-00001.arrow").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    monkeypatch.setattr("datasets.Dataset.save_to_disk", full)
    with pytest.raises(SystemExit) as exit:
        run_command(main, ["--data", str(folder), "--run", str(tmp_path / "run")])
    assert exit.value.code == 2
    assert "its drive is full" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path / "run")) == ["data_report.json"]


@pytest.mark.parametrize("name", ["my run", "it's", "한국 실행", "-x"])
def test_the_next_command_can_be_typed_as_it_is_printed(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["--data", str(folder), f"--run={name}"])
    words = shlex.split(capsys.readouterr().err.partition("Next: ")[2].splitlines()[0])
    assert words[:4] == ["python", "-m", "train.finetune", "--run"]
    assert RunDir(parse(words[3:]).run).train.is_file()
