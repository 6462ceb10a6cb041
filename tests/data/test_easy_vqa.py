"""easy-VQA in the competition layout: complete, exact, and rebuilt after a kill."""

import csv
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vqa_core.data import easy_vqa
from vqa_core.data.easy_vqa import write_easy_vqa
from vqa_core.files import InputError


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "easy-vqa"
    write_easy_vqa(folder)
    return folder


def test_rows_are_the_packages_questions_in_order(folder: Path) -> None:
    package = importlib.import_module("easy_vqa")
    for split, get in (("train", package.get_train_questions), ("test", package.get_test_questions)):
        questions, answers, images = get()
        rows = rows_of(folder / f"{split}.csv")
        assert [row["question"] for row in rows] == questions
        assert [row["image_id"] for row in rows] == [f"{split}_{image:04d}" for image in images]
        assert [row["ID"] for row in rows] == [f"{split.upper()}_{n:05d}" for n in range(len(questions))]
        answered = rows if split == "train" else rows_of(folder / "solution.csv")
        assert [row["answer"] for row in answered] == answers
    assert "answer" not in rows_of(folder / "test.csv")[0]
    assert [row["ID"] for row in rows_of(folder / "sample_submission.csv")] == [row["ID"] for row in rows]


def test_images_are_the_packages_bytes(folder: Path) -> None:
    package = importlib.import_module("easy_vqa")
    for number, path in list(package.get_test_image_paths().items())[::97]:
        assert (folder / f"image/test/test_{number:04d}.png").read_bytes() == Path(path).read_bytes()
    assert len(os.listdir(folder / "image/train")) == 4000
    assert len(os.listdir(folder / "image/test")) == 1000


def test_a_second_call_writes_nothing(folder: Path) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in (folder, folder / "train.csv", folder / "image/train/train_0000.png")
    }
    write_easy_vqa(folder)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_damage_is_repaired_and_foreign_files_are_never_touched(tmp_path: Path) -> None:
    folder = tmp_path / "easy-vqa"
    write_easy_vqa(folder)
    (folder / "image/test/test_0001.png").unlink()
    (folder / "train.csv").write_text("ID\n")
    write_easy_vqa(folder)
    assert (folder / "image/test/test_0001.png").stat().st_size > 0
    assert len(rows_of(folder / "train.csv")) == 38575
    (folder / "notes.txt").write_text("mine")
    (folder / "test.csv").unlink()
    with pytest.raises(InputError, match=r"notes\.txt"):
        write_easy_vqa(folder)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_kill_leaves_no_folder_and_the_next_call_no_leftovers(tmp_path: Path) -> None:
    folder = tmp_path / "easy-vqa"
    code = (
        "import sys; from pathlib import Path; from vqa_core.data.easy_vqa import *; write_easy_vqa(Path(sys.argv[1]))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".easy-vqa.*.tmp/image/train/train_0100.png")) and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not folder.exists()
    write_easy_vqa(folder)
    assert os.listdir(tmp_path) == ["easy-vqa"]


def test_a_missing_package_is_named_with_its_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(easy_vqa, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"pip install --no-deps easy-vqa==1\.0"):
        write_easy_vqa(tmp_path / "easy-vqa")
