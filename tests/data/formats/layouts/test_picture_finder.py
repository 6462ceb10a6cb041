"""A picture is found in the folders that data sets keep theirs in; one that could be another picture is not."""

from pathlib import Path

import pytest

from vqa_core.data.formats.layouts.picture_finder import MOST, PictureFinder, coco_names


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def find(root: Path, *names: str, subset: str = "", file: str = "a.json") -> list[str]:
    return PictureFinder(root, root / file).find(names, subset)


@pytest.mark.parametrize("place", ["", "train2014/", "coco/train2014/", "Images/mscoco/train2014/"])
def test_a_number_is_coco_s_picture_in_any_usual_folder(place: str, tmp_path: Path) -> None:
    touch(tmp_path, f"{place}COCO_train2014_000000000007.jpg", "coco/val2014/COCO_val2014_000000000008.jpg")
    assert find(tmp_path, *coco_names("7", "train2014")) == [f"{place}COCO_train2014_000000000007.jpg"]
    assert find(tmp_path, *coco_names("8")) == ["coco/val2014/COCO_val2014_000000000008.jpg"]
    assert find(tmp_path, *coco_names("9")) == []


def test_names_since_2017_and_of_the_development_test_are_known_and_texts_are_no_numbers() -> None:
    assert "000000000007" in coco_names("7")
    assert coco_names("7", "test-dev2015")[0] == "COCO_test2015_000000000007"
    assert coco_names("x7") == coco_names("") == []


def test_the_same_name_in_two_folders_is_told_apart_by_the_split_alone(tmp_path: Path) -> None:
    touch(tmp_path, "train/0.png", "val_images/0.png", "test/0.png")
    assert find(tmp_path, "0.png", subset="train") == ["train/0.png"]
    assert find(tmp_path, "0", subset="val2014") == ["val_images/0.png"]
    assert len(find(tmp_path, "0.png")) == 3
    assert find(tmp_path, "train/0.png") == ["train/0.png"]


def test_pictures_beside_the_file_that_names_them_come_first(tmp_path: Path) -> None:
    touch(tmp_path, "train/0.png", "test/0.png", "1.png")
    assert find(tmp_path, "0.png", file="test/metadata.jsonl") == ["test/0.png"]
    assert find(tmp_path, "1.png", file="test/metadata.jsonl") == ["1.png"]
    assert find(tmp_path / "test", "0.png", file="../elsewhere/a.json") == ["0.png"]


def test_a_path_keeps_its_folders_and_another_picture_of_that_name_is_never_taken(tmp_path: Path) -> None:
    touch(tmp_path, "imgs/x1/source.jpg", "imgs/x2/source.jpg", "b/1.jpg")
    assert find(tmp_path, "x2/source.jpg") == ["imgs/x2/source.jpg"]
    assert find(tmp_path, "a/1.jpg") == []
    assert find(tmp_path / "imgs", "../b/1.jpg") == []


def test_a_folder_with_a_folder_for_each_record_is_not_searched(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{number}/image.png" for number in range(MOST + 1)), "only/here.png")
    assert find(tmp_path, "image.png") == []
    assert find(tmp_path, "train/7/image.png") == ["train/7/image.png"]
    assert find(tmp_path, "here.png") == ["only/here.png"]
