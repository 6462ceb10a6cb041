"""Metadata of any size, every suffix of an allowed format, and formats that need a plug-in."""

import io
import os
import struct
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from vqa_core.data.images import ImageError, check_image, open_image
from vqa_core.data.pictures import image_formats
from vqa_core.data.pictures.image_files import ImageFiles
from vqa_core.data.pictures.image_formats import FORMATS, SUFFIXES, readable_formats, suffix_of

COLOUR = (200, 30, 60)


def encoded(format: str, size: tuple[int, int] = (8, 6), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, COLOUR).save(stream, format, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes, at_the_end: bool = False) -> bytes:
    data = encoded("PNG")
    at = data.index(b"IEND") - 4 if at_the_end else 33  # after IHDR
    return data[:at] + b"".join(chunks) + data[at:]


MEGABYTES = bytes(3 << 20)
PROFILE = chunk(b"iCCP", b"icc\0\0" + zlib.compress(MEGABYTES))
TEXTS = {
    "a profile of 3 MB": PROFILE,
    "a compressed text of 3 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(MEGABYTES)),
    "a compressed international text of 3 MB": chunk(
        b"iTXt", b"Comment\0\1\0en\0Comment\0" + zlib.compress(b"x" * (3 << 20))
    ),
    "many texts": chunk(b"tEXt", b"Comment\0" + b"x" * 10_000) * 20,
    "a profile in an unknown compression": chunk(b"iCCP", b"icc\0\7" + bytes(40)),
    "a text with a wrong checksum": chunk(b"tEXt", b"Comment\0hello")[:-4] + bytes(4),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("at_the_end", [False, True])
def test_metadata_of_any_kind_never_cost_a_png(
    kind: str, at_the_end: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", 150_000)  # 64 MB, in a picture fast to make
    path = tmp_path / "picture.png"
    path.write_bytes(png_with(TEXTS[kind], at_the_end=at_the_end))
    assert open_image(path).getpixel((0, 0)) == COLOUR
    assert open_image(path.read_bytes()).getpixel((7, 5)) == COLOUR
    assert check_image(path) is None
    assert check_image(path, "full") is None
    assert suffix_of(path.read_bytes()) == ".png"


def test_a_png_without_its_profile_keeps_orientation_and_transparency() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "short")
    stream = io.BytesIO()
    Image.new("RGBA", (8, 6), (0, 0, 0, 0)).save(stream, "PNG", exif=exif, pnginfo=info)
    data = stream.getvalue()
    image = open_image(data[:33] + PROFILE + data[33:])
    assert image.size == (6, 8)
    assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_cut_or_damaged_png_stays_refused_whatever_its_metadata(share: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    data = stream.getvalue()
    with pytest.raises(ImageError, match=r"is (cut short|damaged)"):
        open_image(data[:33] + PROFILE + data[33 : int(len(data) * share)])
    broken = bytearray(data)
    broken[len(data) // 2] ^= 255
    with pytest.raises(ImageError, match=r"is (cut short|damaged)"):
        open_image(bytes(broken))


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_large_profile_does_not_cost_other_formats(format: str) -> None:
    profile = os.urandom(5 << 20) if format != "WEBP" else bytes(5 << 20)
    image = open_image(encoded(format, icc_profile=profile))
    assert np.abs(np.asarray(image).astype(int) - COLOUR).max() < 12


@pytest.mark.parametrize("suffix", [".jfif", ".JFIF", ".jpe", ".JPE", ".ppm", ".pnm", ".apng", ".tif", ".jp2", ".avif"])
def test_a_picture_is_found_by_its_stem_whatever_its_suffix(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / f"image/a{suffix}").write_bytes(b"")
    files = ImageFiles(tmp_path)
    assert files.find("train", "a") == [f"image/a{suffix}"]
    assert files.find("train", "a.jpg") == [f"image/a{suffix}"]


def test_every_suffix_of_an_allowed_format_is_known() -> None:
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
    assert known <= set(SUFFIXES)
    assert {".heic", ".heif", ".mpo"} <= set(SUFFIXES)


def test_an_unusual_file_makes_a_usual_one_of_that_stem_not_ambiguous(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.pgm", "b.pgm", "b.jp2"):
        (tmp_path / name).write_bytes(b"")
    files = ImageFiles(tmp_path)
    assert files.find("train", "a") == ["a.jpg"]
    assert files.find("train", "a.pgm") == ["a.pgm"]
    assert files.find("train", "b") == ["b.jp2", "b.pgm"]


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000", "MPO"])
def test_formats_of_phones_and_scanners_open(format: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    options = {"save_all": True, "append_images": [Image.new("RGB", (8, 6))]} if format == "MPO" else {}
    path.write_bytes(encoded(format, **options))
    assert np.abs(np.asarray(open_image(path)).astype(int) - COLOUR).max() < 12
    assert check_image(path) is None


def test_a_heic_picture_names_the_plug_in_that_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.heic"
    path.write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(100))
    with pytest.raises(ImageError, match=r"IMG_1\.heic is a HEIC picture, .* run `pip install pillow-heif`"):
        open_image(path)
    assert "pillow-heif" in (check_image(path) or "")
    with pytest.raises(ImageError, match="The picture is a HEIC picture"):
        open_image(path.read_bytes())


def test_the_plug_in_for_heic_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in, calls = types.ModuleType("pillow_heif"), []
    plug_in.register_heif_opener = lambda: calls.append(1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", plug_in)
    monkeypatch.setattr(image_formats.importlib.util, "find_spec", lambda name: name == "pillow_heif")
    assert "HEIF" in readable_formats()
    assert calls == [1]
