import logging
from pathlib import Path

import pytest

from vqa_core.runs.checkpoints import MANIFEST, keep_only, newest_valid, problem_with, seal, steps_below


def write_checkpoint(folder: Path, step: int) -> Path:
    writing = folder / f".writing-{step}" / f"checkpoint-{step}"
    (writing / "inner").mkdir(parents=True)
    (writing / "weights.bin").write_bytes(bytes(range(256)) * step)
    (writing / "inner" / "state.json").write_text("{}")
    target = folder / f"checkpoint-{step}"
    seal(writing, target)
    return target


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[Path]:
    return [write_checkpoint(tmp_path, step) for step in (5, 10, 100)]


def test_the_newest_is_the_one_of_the_highest_step(checkpoints: list[Path]) -> None:
    assert steps_below(checkpoints[0].parent) == [(5, checkpoints[0]), (10, checkpoints[1]), (100, checkpoints[2])]
    assert newest_valid(checkpoints[0].parent) == checkpoints[2]
    assert all(problem_with(path) is None for path in checkpoints)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: _flip(path / "weights.bin"), "weights.bin is not what was written"),
        (lambda path: (path / "inner" / "state.json").unlink(), "inner/state.json is missing"),
        (lambda path: (path / "weights.bin").write_bytes(b""), "weights.bin is not what was written"),
        (lambda path: (path / MANIFEST).unlink(), "no readable manifest"),
        (lambda path: (path / MANIFEST).write_text('{"weights'), "no readable manifest"),
    ],
)
def test_a_damaged_checkpoint_is_skipped_by_name(
    checkpoints: list[Path],
    damage: object,
    said: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("vqa"), "propagate", True)
    damage(checkpoints[2])  # type: ignore[operator]
    assert newest_valid(checkpoints[0].parent) == checkpoints[1]
    assert f"Skipping {checkpoints[2]}: " in caplog.text
    assert said in caplog.text


def test_nothing_valid_is_nothing(tmp_path: Path) -> None:
    assert newest_valid(tmp_path) is None
    assert newest_valid(tmp_path / "absent") is None
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-last").mkdir()
    assert newest_valid(tmp_path) is None


def test_what_a_crash_left_is_never_taken_for_a_checkpoint_and_is_cleared_away(checkpoints: list[Path]) -> None:
    folder = checkpoints[0].parent
    (folder / ".writing-200" / "checkpoint-200").mkdir(parents=True)
    assert newest_valid(folder) == checkpoints[2]
    keep_only(folder, {5, 100})
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-100", "checkpoint-5"]


def test_sealing_a_step_again_replaces_it(checkpoints: list[Path]) -> None:
    (checkpoints[1] / "weights.bin").write_bytes(b"damaged")
    write_checkpoint(checkpoints[1].parent, 10)
    assert problem_with(checkpoints[1]) is None
