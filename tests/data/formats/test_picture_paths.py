"""Paths of other machines lead to the picture by their longest tail; what leads nowhere says so."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from vqa_core.data.formats.picture_paths import BY_TAIL, SAME_TAIL, WEB, Pictures
from vqa_core.data.formats.split_data import SplitData


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train/0.png", "train/한글 1.png", "val/train/0.png", "2.gif", "images/only.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("image", "path", "name"),
    [
        ("train/0.png", "train/0.png", "train/0.png"),
        ("2.jpg", "2.gif", "2.jpg"),
        ("only.png", "images/only.png", "only.png"),
        ("gone.png", "gone.png", "gone.png"),
        ("./train/0.png", "train/0.png", "./train/0.png"),
    ],
)
def test_a_relative_path_is_as_it_was_and_its_suffix_may_be_another(
    image: str, path: str, name: str, folder: Path
) -> None:
    data = SplitData()
    assert Pictures(folder).find(image, "a", data) == (path, name)
    assert not data.notes


@pytest.mark.parametrize(
    ("image", "path"),
    [
        ("/home/me/train/0.png", "train/0.png"),
        ("/home/me/val/train/0.png", "val/train/0.png"),
        ("train\\0.png", "train/0.png"),
        ("..\\..\\data/train\\0.png", "train/0.png"),
        ("../train/0.png", "train/0.png"),
        ("D:\\data\\train\\0.png", "train/0.png"),
        ("d:/data/train/0.png", "train/0.png"),
        ("\\\\server\\share\\train\\0.png", "train/0.png"),
        ("file:///home/me/train/0.png", "train/0.png"),
        ("file:///C:/me/train/%ED%95%9C%EA%B8%80%201.png", "train/한글 1.png"),
        ("file://localhost/home/train/0.png", "train/0.png"),
        ("https://images.example.org/val/train/0.png?size=9#top", "val/train/0.png"),
        ("/data/2.jpg", "2.gif"),
    ],
)
def test_a_path_of_another_machine_is_found_by_its_longest_tail_and_told(image: str, path: str, folder: Path) -> None:
    data = SplitData()
    pictures = Pictures(folder)
    for case in "ab":
        assert pictures.find(image, case, data).path == path
    assert data.notes == {("note", BY_TAIL): ["a", "b"]}


def test_after_a_short_tail_the_next_path_still_gets_its_longest(folder: Path) -> None:
    pictures = Pictures(folder)
    paths = [pictures.find(f"/x/y/{name}", "a", SplitData()).path for name in ("train/0.png", "val/train/0.png")]
    assert paths == ["train/0.png", "val/train/0.png"]


def test_two_paths_that_end_in_one_file_are_a_warning(folder: Path) -> None:
    data, pictures = SplitData(), Pictures(folder)
    pictures.find("D:\\one\\train\\0.png", "a", data)
    pictures.find("d:/one/train/0.png", "b", data)
    pictures.find("D:\\two\\train\\0.png", "c", data)
    assert data.notes["warning", SAME_TAIL] == ["c"]


@pytest.mark.parametrize(
    ("image", "name"),
    [("C:\\a\\gone.png", "C:\\a\\gone.png"), ("a\\gone.png", "a\\gone.png"), ("/a/gone.png", "gone.png"), ("\\", "\\")],
)
def test_a_path_that_leads_nowhere_keeps_its_name(image: str, name: str, folder: Path) -> None:
    assert Pictures(folder).find(image, "a", SplitData()) == (name, name)


def test_nothing_is_fetched_from_the_web(folder: Path) -> None:
    for address in ("http://example.org/gone.png", "s3://bucket/gone.png"):
        with pytest.raises(ValueError, match=WEB):
            Pictures(folder).find(address, "a", SplitData())


def test_a_picture_in_base64_comes_with_the_data(folder: Path) -> None:
    file = io.BytesIO()
    Image.effect_noise((9, 9), 50).save(file, "PNG")
    data = SplitData()
    found = Pictures(folder).find(f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}", "a", data)
    assert data.pictures == {found.path: file.getvalue()}
    assert found.path.endswith(".png")
