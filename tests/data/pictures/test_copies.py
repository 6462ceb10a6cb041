"""Copies of a picture are found whatever their names, bytes and metadata, and nothing else is taken for one."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vqa_core.data.pictures import copies as module
from vqa_core.data.pictures.copies import find_copies


def photograph(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Smooth noise, which a JPEG stores as such."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three different photographs as a.jpg, b.jpg and c.png."""
    for number, name in enumerate(("a.jpg", "b.jpg", "c.png")):
        photograph(number).save(tmp_path / name)
    return tmp_path


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def with_exif(folder: Path, name: str, copy: str, orientation: int = 1) -> None:
    """The file again with other metadata before the same pixel data."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera"
    data = (folder / name).read_bytes()
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    (folder / copy).write_bytes(data[:2] + segment + data[2:])


def test_pictures_that_differ_are_no_copies(folder: Path) -> None:
    found = find_copies(folder, names_in(folder))
    assert (found.first, found.by_pixels, found.pictures) == ({}, True, 3)
    assert found.picture("a.jpg") == "a.jpg"


@pytest.mark.parametrize("how", ["none", "header", "full"])
def test_the_same_bytes_under_another_name_are_found_however_images_are_checked(how: str, folder: Path) -> None:
    (folder / "z.jpg").write_bytes((folder / "a.jpg").read_bytes())
    (folder / "y.jpg").write_bytes((folder / "a.jpg").read_bytes())
    os.link(folder / "c.png", folder / "linked.png")
    found = find_copies(folder, names_in(folder), how)
    assert found.first == {"y.jpg": "a.jpg", "z.jpg": "a.jpg", "linked.png": "c.png"}
    assert found.by_pixels == (how != "none")


def test_the_same_pixels_in_another_format_or_with_other_metadata_are_found(folder: Path) -> None:
    Image.open(folder / "a.jpg").save(folder / "a.png")
    Image.open(folder / "a.jpg").save(folder / "a.webp", lossless=True)
    (folder / "zz.png").write_bytes((folder / "a.png").read_bytes())
    with_exif(folder, "b.jpg", "e.jpg")
    text = PngInfo()
    text.add_text("Comment", "the same picture")
    Image.open(folder / "c.png").save(folder / "f.png", pnginfo=text, compress_level=1)
    photograph(1).save(folder / "quality.jpg", quality=50)  # what it shows is alike, not the same
    found = find_copies(folder, names_in(folder))
    assert found.first == {"a.png": "a.jpg", "a.webp": "a.jpg", "zz.png": "a.jpg", "e.jpg": "b.jpg", "f.png": "c.png"}


def test_a_picture_stored_on_its_side_is_the_one_that_it_is_turned_to(folder: Path) -> None:
    turned = photograph(2).transpose(Image.Transpose.ROTATE_90)  # which value 6 turns back
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "d.png", exif=exif)
    turned.save(folder / "e.png")
    assert find_copies(folder, names_in(folder)).first == {"d.png": "c.png"}


def test_too_many_pictures_to_decode_are_compared_by_bytes_and_by_how_their_files_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_exif(folder, "b.jpg", "e.jpg")
    with_exif(folder, "b.jpg", "f.jpg", orientation=3)
    (folder / "z.jpg").write_bytes((folder / "a.jpg").read_bytes())
    Image.open(folder / "c.png").save(folder / "other.bmp")
    every = {"e.jpg": "b.jpg", "z.jpg": "a.jpg"}
    for limit, value in (("MOST_FILES", 2), ("MOST_PIXELS", 4000)):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, value)
            found = find_copies(folder, names_in(folder))
            assert (found.first, found.by_pixels) == (every, False)
            found = find_copies(folder, names_in(folder), "full")
            assert (found.first, found.by_pixels) == (every | {"other.bmp": "c.png"}, True)
    monkeypatch.setattr(module, "MOST_PIXELS", 1)
    assert find_copies(folder, names_in(folder)).first == {"z.jpg": "a.jpg"}


def test_files_that_cannot_be_read_have_no_copies(folder: Path) -> None:
    for name in ("x.png", "y.png"):
        (folder / name).write_bytes((folder / "c.png").read_bytes()[:60] + b"rotten")
    (folder / "empty.png").touch()
    (folder / "empty2.png").touch()
    found = find_copies(folder, [*names_in(folder), "gone.png"])
    assert set(found.first) <= {"y.png", "empty2.png"}
