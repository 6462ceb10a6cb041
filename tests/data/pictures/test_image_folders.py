"""The usual places of pictures."""

from pathlib import Path

import pytest

from vqa_core.data.competition import read_competition
from vqa_core.data.pictures.image_folders import possible_paths, usual_folders

TABLE = "ID,image_id,question,answer\n0,a,q,x\n"


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train_images", "test_images"),
        ("images_train", "images_test"),
        ("train/images", "test/images"),
        ("Images/Train", "Images/Test"),
        ("train_input_images", "test_input_images"),
        ("train2014", "test2015"),
        ("imgs/training", "imgs/testing"),
        ("TRAIN-IMG", "TEST-IMG"),
        ("이미지/학습", "이미지/평가"),
        ("photos", "photos"),
        ("image/train", "image/test"),
    ],
)
def test_each_split_finds_its_own_folder(train: str, test: str, tmp_path: Path) -> None:
    for name in (train, test):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "a.png").touch()
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text(TABLE)
    read = read_competition(tmp_path)
    assert (read.train[0].image, read.test[0].image) == (f"{train}/a.png", f"{test}/a.png")


def test_validation_pictures_may_lie_with_those_for_training(tmp_path: Path) -> None:
    (tmp_path / "image" / "train").mkdir(parents=True)
    assert usual_folders(tmp_path, "val") == ["image/train", "image"]
    (tmp_path / "image" / "val").mkdir()
    assert usual_folders(tmp_path, "val")[0] == "image/val"
    assert usual_folders(tmp_path, "test") == ["image"]


def test_a_folder_without_pictures_of_its_own_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "train" / "images").mkdir(parents=True)
    (tmp_path / "train" / "notes.txt").touch()
    (tmp_path / "train" / "images" / "a.png").touch()
    (tmp_path / "train.csv").write_text(TABLE)
    assert read_competition(tmp_path).train[0].image == "train/images/a.png"


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("a.png", ["a.png"]),
        ("train/a.png", ["train/a.png"]),
        (r"train\a.png", [r"train\a.png", "train/a.png"]),
        (r"C:\x\train\a.png", [r"C:\x\train\a.png", "x/train/a.png", "train/a.png", "a.png"]),
        ("/x/a.png", ["x/a.png", "a.png"]),
        ("../a.png", []),
        ("", []),
        ("  ", ["  "]),
    ],
)
def test_what_a_path_may_mean(text: str, paths: list[str]) -> None:
    assert [str(path) for path in possible_paths(text)] == paths
