"""Pictures that can't be read while training: left out with their questions, counted, named, the same on a resume."""

import errno
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.support.processes import TIMEOUT_S, run_forked
from tests.support.tiny import TINY_TRAIN, losses, tiny_run, tiny_vlm
from tests.support.trainings import run_in_two, start_two, training_flags
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.data import images
from vqa_core.data.pictures import patience
from vqa_core.files import InputError, read_json, read_json_lines
from vqa_core.planning.batches import PlannedRow
from vqa_core.runs.checkpoints import PLAN
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.training_rows import open_rows
from vqa_core.training import trainer as training
from vqa_core.training.feed.left_out import IN_A_ROW, BadPicture, LeftOut
from vqa_core.training.finetune import Outcome, finetune
from vqa_core.training.task import TrainingTask
from vqa_core.training.trainer import VqaTrainer

SETTINGS: dict[str, Any] = TINY_TRAIN | {"max_steps": 0, "epochs": 2.0, "eval_every": 0}
slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAITS_S", (0.0, 0.0, 0.0))


def train(run: RunDir, *, resume: bool = False, **settings: Any) -> Outcome:
    chosen = TrainSettings(**SETTINGS | settings)
    return finetune(TrainingTask.of_run(run, ModelSettings(), chosen, resume=resume), tiny_vlm())


def picture(run: RunDir, row: int) -> Path:
    return run.data_root() / str(open_rows(run.rows)[row]["image"])


def damage(run: RunDir, row: int, how: str = "cut") -> Path:
    path = picture(run, row)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:60])
    elif how == "missing":
        path.unlink()
    elif how == "text":
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "empty":
        path.write_bytes(b"")
    return path


def weights(run: RunDir) -> dict[str, torch.Tensor]:
    return dict(load_file(run.model / "trained.safetensors"))


def questions(run: RunDir, row: int) -> int:
    return len(open_rows(run.rows)[row]["questions"])


def trained(run: RunDir) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run.model / "vqa.json")["trained"]
    return found


def assert_same(one: RunDir, other: RunDir) -> None:
    ours, theirs = weights(one), weights(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# -- left out, counted, named ------------------------------------------------------------------------------------------


@slow
@pytest.mark.parametrize("how", ["cut", "missing", "text", "folder", "empty"])
def test_a_bad_picture_is_left_out_with_its_questions_and_named_once(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tiny_run(tmp_path)
    path, asked = damage(run, 3, how), questions(run, 3)
    with caplog.at_level(logging.INFO, logger="vqa"):
        assert train(run).finished
    said = [record.getMessage() for record in caplog.records if str(path) in record.getMessage()]
    assert len(said) == 1
    assert said[0].endswith("Left out with its questions.")
    name = str(open_rows(run.rows)[3]["image"])
    assert trained(run)["left_out"] == {"images": 1, "questions": 2 * asked, "first": [name]}
    whole = sum(questions(run, row) for row in range(len(open_rows(run.rows))))
    assert trained(run)["questions"] == 2 * (whole - asked)


@slow
def test_without_a_bad_picture_nothing_is_said_of_them(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    train(run)
    assert "left_out" not in trained(run)
    assert all("left_out" not in read_json(path / PLAN) for path in run.checkpoints.iterdir())


@slow
def test_an_oversized_picture_is_a_bad_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = tiny_run(tmp_path)
    chosen = TrainSettings(**SETTINGS)
    tiny_limit = TrainingTask.of_run(run, ModelSettings(), chosen, resume=False)
    big = picture(run, 2)
    Image.new("RGB", (80, 80)).save(big)
    with caplog.at_level(logging.INFO, logger="vqa"):
        assert finetune(replace(tiny_limit, pixel_limit=2500), tiny_vlm()).finished
    assert f"{big} has 80 x 80 pixels" in caplog.text
    assert trained(run)["left_out"]["images"] == 1


@slow
@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (2, 1), (0, 3), (2, 3)])
def test_workers_and_accumulation_change_nothing(workers: int, accumulate: int, tmp_path: Path) -> None:
    """What is left is trained on as if the bad pictures' questions had never been planned."""
    runs = [tiny_run(tmp_path / name) for name in ("here", "there")]
    for run in runs:
        damage(run, 1), damage(run, 5)
    train(runs[0], accumulate=accumulate, lora_dropout=0.0)
    train(runs[1], accumulate=accumulate, lora_dropout=0.0, workers=workers)
    assert_same(*runs)
    assert trained(runs[0]) == trained(runs[1])


@slow
def test_the_loss_of_a_step_is_the_mean_over_the_answers_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch with a bad picture has the loss of the same batch without that row."""
    whole, bad = tiny_run(tmp_path / "whole"), tiny_run(tmp_path / "bad")
    seen: dict[int, list[int]] = {}
    original = training.VqaTrainer.get_batch_samples

    def noting(self: Any, *args: Any) -> Any:
        step = self.state.global_step
        samples, tokens = original(self, *args)
        seen.setdefault(step, []).append(int(tokens))
        return samples, tokens

    monkeypatch.setattr(training.VqaTrainer, "get_batch_samples", noting)
    train(whole, epochs=1.0)
    damage(bad, 4)
    train(bad, epochs=1.0)
    assert all(left <= all_of_them for all_of_them, left in seen.values())
    assert any(left < all_of_them for all_of_them, left in seen.values())


@slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_batch_without_a_readable_picture_is_survived_and_teaches_nothing(accumulate: int, tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    many = [row for row in range(len(open_rows(run.rows))) if questions(run, row) >= 5]  # a batch of their own
    for row in many[:2]:
        damage(run, row)
    outcome = train(run, accumulate=accumulate, weight_decay=0.1)
    assert outcome.finished
    assert trained(run)["left_out"]["images"] == 2
    assert all(bool(tensor.isfinite().all()) for tensor in weights(run).values())
    assert all(loss is None or loss > 0 for loss in losses(run).values())


@slow
def test_a_step_without_a_readable_picture_leaves_the_weights_as_they_are(tmp_path: Path) -> None:
    """Neither AdamW's momentum nor its weight decay moves them."""
    run = tiny_run(tmp_path)
    rows = open_rows(run.rows)
    kept: dict[int, dict[str, torch.Tensor]] = {}
    original = VqaTrainer._maybe_log_save_evaluate

    def noting(self: Any, *args: Any, **kwargs: Any) -> None:
        kept[self.state.global_step] = {
            name: value.detach().clone() for name, value in self.model.named_parameters() if value.requires_grad
        }
        original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VqaTrainer, "_maybe_log_save_evaluate", noting)
        big = next(row for row in range(len(rows)) if questions(run, row) >= 5)
        damage(run, big)
        train(run, weight_decay=0.1, epochs=1.0)
    empty = [row["step"] for row in read_json_lines(run.metrics) if row.get("skipped_steps")]
    assert empty
    for step in (step for step in empty if step > 1):
        assert all(torch.equal(kept[step][name], kept[step - 1][name]) for name in kept[step])


@slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp2"])
def test_two_processes_of_which_one_has_no_readable_picture_train_as_one_does(parallel: str, tmp_path: Path) -> None:
    one, two, output = tiny_run(tmp_path / "one"), tiny_run(tmp_path / "two"), tmp_path / "output"
    big = [row for row in range(len(open_rows(one.rows))) if questions(one, row) >= 5][:2]
    for run in (one, two):
        damage(run, big[0]), damage(run, big[1], "missing")
    args = training_flags(tmp_path, lora_dropout=0, epochs=2.0, max_steps=0, eval_every=0, save_every=3)
    assert run_forked("train.finetune", "--run", one.root, *args, "--accumulate", 2, output=output) == 0
    run_in_two(["--run", two.root, *args, "--parallel", parallel], output)
    ours, theirs = weights(two), weights(one)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-5)
    assert trained(two)["left_out"] | {"first": set()} == trained(one)["left_out"] | {"first": set()}
    assert trained(two)["questions"] == trained(one)["questions"]
    assert output.read_text().count(str(picture(two, big[0]))) == 1


@slow
def test_of_two_processes_one_whose_pictures_are_gone_ends_both_with_a_sentence(tmp_path: Path) -> None:
    run, output = tiny_run(tmp_path), tmp_path / "output"
    for row in range(len(open_rows(run.rows))):
        damage(run, row, "missing")
    for process in start_two(["--run", run.root, *training_flags(tmp_path, max_steps=9)], output):
        process.join(TIMEOUT_S)
        assert process.exitcode == 2, output.read_text()
    assert "Traceback" not in output.read_text()
    assert "training images can't be read" in output.read_text()


# -- on a resume -------------------------------------------------------------------------------------------------------


@slow
def test_resumed_it_has_the_weights_and_the_record_of_straight_through(tmp_path: Path) -> None:
    straight, resumed = tiny_run(tmp_path / "straight"), tiny_run(tmp_path / "resumed")
    for run in (straight, resumed):
        damage(run, 0), damage(run, 6, "missing")
    settings = {"scheduler": "constant_with_warmup", "warmup_ratio": 0.0}
    steps = train(straight, **settings).steps
    train(resumed, **settings, max_steps=steps // 2)
    shutil.rmtree(resumed.model)
    train(resumed, resume=True, **settings)
    assert_same(straight, resumed)
    assert trained(resumed) == trained(straight)
    assert losses(resumed) == losses(straight)


@slow
def test_a_picture_that_is_mended_or_damaged_between_stop_and_resume_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tiny_run(tmp_path)
    kept = picture(run, 0).read_bytes()
    mended = damage(run, 0)
    steps = train(run, epochs=1.0).steps
    mended.write_bytes(kept)
    broken = damage(run, 6)
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="vqa"):
        train(run, resume=True, epochs=2.0)
    said = [record.getMessage() for record in caplog.records]
    assert any(f"Left out before step {steps}: 1 images" in line for line in said)
    (again,) = [line for line in said if "can be read again" in line]
    assert str(open_rows(run.rows)[0]["image"]) in again
    (lost,) = [line for line in said if "though it could be read before" in line]
    assert str(broken) in lost
    assert trained(run)["left_out"]["images"] == 2
    assert trained(run)["left_out"]["questions"] == questions(run, 0) + questions(run, 6)


# -- too many ----------------------------------------------------------------------------------------------------------


@slow
def test_too_many_end_the_training_with_a_sentence_and_what_was_done_is_saved(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    train(run, epochs=1.0)
    (step, *_) = sorted((int(path.name[11:]) for path in run.checkpoints.iterdir()), reverse=True)
    rows = len(open_rows(run.rows))
    for row in range(rows):
        damage(run, row, "missing")
    with pytest.raises(
        InputError, match=r"of \d+ training images can't be read.*--max-bad-images 0\.1 allows.*--resume"
    ):
        train(run, resume=True, epochs=2.0, save_every=1000)
    assert max(int(path.name[11:]) for path in run.checkpoints.iterdir()) >= step


@slow
def test_none_may_be_bad_where_none_is_allowed(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    damage(run, 2)
    with pytest.raises(InputError, match="1 of 11 training images can't be read"):
        train(run, max_bad_images=0.0)
    assert not run.model.exists()


def left_out(images: int, most: float, plan: list[list[PlannedRow]] | None = None) -> LeftOut:
    names = [f"{number}.png" for number in range(images)]
    return LeftOut(names, plan or [[PlannedRow(row, (0,))] for row in range(images)], 1, most)


@pytest.mark.parametrize(
    ("images", "most", "limit"), [(11, 0.1, 5), (20, 0.1, 10), (1000, 0.1, 100), (1000, 0.0, 0), (10, 1.0, 10)]
)
def test_few_pictures_may_lose_half_of_them_many_a_share(images: int, most: float, limit: int) -> None:
    assert left_out(images, most).limit == limit


def test_a_drive_that_is_gone_ends_a_training_long_before_its_share_is_used_up() -> None:
    record = left_out(100_000, 0.5)
    for step in range(IN_A_ROW - 1):
        record.see_step(step, [BadPicture(step, 1, "x is missing.")])
    with pytest.raises(InputError, match="100 of 100000 training images"):
        record.see_step(IN_A_ROW - 1, [BadPicture(IN_A_ROW - 1, 1, "x is missing.")])
    assert record.pictures == IN_A_ROW - 1  # what ended it is not counted: the step was never done


@slow
def test_a_data_folder_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(tmp_path)
    original = training.VqaTrainer.get_batch_samples

    def unmount(self: Any, *args: Any) -> Any:
        if self.state.global_step == 4:
            run.data_root().rename(tmp_path / "away")
        return original(self, *args)

    monkeypatch.setattr(training.VqaTrainer, "get_batch_samples", unmount)
    with pytest.raises(InputError, match=r"The folder of the pictures, .*data, can't be reached any more.*--resume"):
        train(run, save_every=1000)
    (saved,) = run.checkpoints.iterdir()
    assert int(saved.name[11:]) >= 4  # some batches had been read before
    (tmp_path / "away").rename(run.data_root())
    monkeypatch.undo()
    assert train(run, resume=True).finished


# -- what may pass -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE])
def test_an_error_that_may_pass_is_tried_again(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tries = tmp_path / "a.png", []
    Image.new("RGB", (4, 4), "red").save(path)
    original = Path.open

    def fails_twice(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            tries.append(0)
            if len(tries) <= 2:
                raise OSError(number, "for a moment", str(path))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", fails_twice)
    monkeypatch.setattr(images, "without_metadata", lambda _: None)
    assert patience.open_patiently(path, patience.waits()).getpixel((0, 0)) == (255, 0, 0)


def test_an_error_that_stays_is_raised_and_the_pauses_are_those_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(patience, "WAITS_S", (0.1, 0.5))
    monkeypatch.setattr(patience.time, "sleep", slept.append)

    def stale(source: Path, **_: Any) -> Any:
        raise OSError(errno.ESTALE, "Stale file handle", str(source))

    monkeypatch.setattr(patience, "open_image", stale)
    pauses = patience.waits()
    for name in "abc":
        with pytest.raises(OSError, match="Stale"):
            patience.open_patiently(tmp_path / name, pauses)
    assert slept == [0.1, 0.5]


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR])
def test_an_error_of_the_file_is_not_tried_again(number: int) -> None:
    assert not patience.may_pass(OSError(number, "no"))


# -- validation --------------------------------------------------------------------------------------------------------


@slow
def test_a_bad_picture_of_the_validation_counts_as_answered_wrongly_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tiny_run(tmp_path)
    example = run.examples("val")[0]
    path = run.data_root() / example.image
    path.write_bytes(b"not a picture")
    asked = sum(other.image == example.image for other in run.examples("val"))
    with caplog.at_level(logging.INFO, logger="vqa"):
        train(run, max_steps=4, eval_every=2)
    rows = [row for row in read_json_lines(run.metrics) if "eval_accuracy" in row]
    assert [row["eval_bad_images"] for row in rows] == [asked, asked]
    assert caplog.text.count("Its questions count as answered wrongly") == 1
