"""The decoder on a corpus made in code: every odd kind of picture opens as a person would see it, or is refused."""

import contextlib
import io
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vqa_core import ROOT
from vqa_core.data.images import ImageError, check_image, image_hash, open_image
from vqa_core.files import InputError

Pixel = tuple[int, int, int]
WHITE, RED, BLUE, BLACK = (255, 255, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def pixel(source: bytes | Path, x: int = 0, y: int = 0) -> Pixel:
    image = open_image(source)
    assert image.mode == "RGB"
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value  # type: ignore[return-value]


def close(one: Pixel, other: Pixel, tolerance: int) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other))


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """A noisy picture, so that its file is long enough to be cut anywhere."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_every_allowed_format_opens_whatever_its_suffix(format: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(Image.new("RGB", (8, 6), RED), format))
    assert open_image(path).size == (8, 6)
    assert close(pixel(path), RED, 6)
    assert check_image(path) is None
    assert check_image(path, "full") is None


def test_formats_outside_the_list_are_refused() -> None:
    with pytest.raises(ImageError, match="not an image of a known format"):
        open_image(encoded(Image.new("RGB", (8, 8)), "ICO"))
    with pytest.raises(ImageError, match="not an image of a known format"):
        open_image(encoded(Image.new("RGB", (8, 8)), "EPS"))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_brightness(format: str) -> None:
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    image = open_image(encoded(Image.fromarray(ramp), format))
    assert np.asarray(image)[..., 0].flatten().tolist() == list(range(256))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 1000.0, 2000.0], [0, 128, 255]),
        ([float("nan"), 0.5, float("inf")], [0, 128, 255]),
        ([7.0, 7.0, 7.0], [7, 7, 7]),
    ],
)
def test_float_tiff_is_scaled(values: list[float], expected: list[int]) -> None:
    data = encoded(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    assert np.asarray(open_image(data))[0, :, 0].tolist() == expected


def test_32_bit_integers_are_scaled() -> None:
    within = encoded(Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.int32)), "TIFF")
    beyond = encoded(Image.fromarray(np.array([[0, 50_000, 100_000]], dtype=np.int32)), "TIFF")
    assert np.asarray(open_image(within))[0, :, 0].tolist() == [0, 128, 255]
    assert np.asarray(open_image(beyond))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("size", [(1030, 3), (2, 2050), (1024, 1024)])
def test_a_picture_of_several_parts_is_scaled_as_one(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(0, 65536, size[::-1], dtype=np.uint16)
    image = open_image(encoded(Image.fromarray(values), "PNG"))
    assert (np.asarray(image) == np.round(values / 257).astype(np.uint8)[..., None]).all()
    floats = values.astype(np.float32) - 1000
    low, high = floats.min(), floats.max()
    image = open_image(encoded(Image.fromarray(floats), "TIFF"))
    off = np.asarray(image)[..., 0] - (floats - low) / (high - low) * 255
    assert np.abs(off).max() <= 0.501


MEASURE = """
import resource, sys
from pathlib import Path
from vqa_core.data.images import open_image
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
print(*open_image(Path(sys.argv[1])).size, peak() - before)
"""


@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_a_small_file_of_just_below_the_limit_takes_no_more_memory_than_its_pixels(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new(mode, (7000, 7000)).save(path)
    assert path.stat().st_size < 300_000
    done = subprocess.run([sys.executable, "-c", MEASURE, path], cwd=ROOT, check=True, capture_output=True, text=True)
    width, height, grown = map(int, done.stdout.split())
    assert (width, height) == (7000, 7000)
    # Pillow has 4 bytes a pixel of RGB and of RGBA: 196 MB of what comes and as much of what leaves
    assert grown < 450e6


def test_cmyk_jpeg_is_seen_in_its_colours() -> None:
    assert close(pixel(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")), RED, 6)


@pytest.mark.parametrize(
    ("size", "found"), [((640, 480), (320, 240)), ((480, 640), (240, 320)), ((500, 400), (500, 400))]
)
def test_for_a_thumbnail_a_jpeg_comes_no_larger_than_it_must(size: tuple[int, int], found: tuple[int, int]) -> None:
    data = io.BytesIO()
    Image.new("RGB", size, "red").save(data, "JPEG")
    assert open_image(data.getvalue(), side=256).size == found


def test_transparency_is_put_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert pixel(encoded(clear, "PNG")) == WHITE
    assert pixel(encoded(clear, "WEBP", lossless=True)) == WHITE
    assert close(pixel(encoded(half, "PNG")), (255, 127, 127), 1)
    assert pixel(encoded(Image.new("LA", (4, 4), (0, 0)), "PNG")) == WHITE
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    for format in ("PNG", "GIF"):
        data = encoded(palette, format, transparency=0)
        assert pixel(data) == WHITE
        assert pixel(data, x=1) == RED
    assert pixel(encoded(Image.new("RGB", (4, 4), BLUE), "PNG", transparency=BLUE)) == WHITE
    assert pixel(encoded(Image.new("L", (4, 4), 9), "PNG", transparency=9)) == WHITE


def test_one_bit_and_palette_pictures_open() -> None:
    assert pixel(encoded(Image.new("1", (9, 9), 1), "PNG")) == WHITE
    assert pixel(encoded(Image.new("RGB", (9, 9), BLUE).quantize(4), "PNG")) == BLUE


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :16] = RED
    upright[8:, 16:] = BLUE
    # How a camera stores the scene for each orientation: the inverse of what a viewer does.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    image = open_image(encoded(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif, **options))
    assert image.size == (32, 16)
    assert np.abs(np.asarray(image).astype(int) - upright).mean() <= (10 if format == "JPEG" else 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_block_does_not_lose_the_picture() -> None:
    assert close(pixel(encoded(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")), RED, 6)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert pixel(data) == RED


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_truncated_files_are_refused_by_both_checks(format: str, share: float, tmp_path: Path) -> None:
    data = encoded(photo(), format)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match="cut"):
        open_image(path)
    assert check_image(path, "full") is not None
    if format in ("JPEG", "PNG"):
        assert check_image(path, "header") == "is cut short"


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_bytes_after_the_end_of_a_whole_picture_are_no_fault(format: str, tmp_path: Path) -> None:
    path = tmp_path / "padded.img"
    path.write_bytes(encoded(photo(), format) + b"\0" * 5000)
    assert check_image(path) is None


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xd9", b"GIF89a"])
def test_what_is_no_picture_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"picture\.jpg"):
        open_image(path)
    assert check_image(path)
    assert check_image(path, "full")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        open_image(tmp_path / "gone.png")
    assert check_image(tmp_path / "gone.png") == "does not exist"
    assert check_image(tmp_path) == "cannot be read as a file"


def one_bit_png(side: int) -> bytes:
    """A white square of one bit a pixel, compressed without building it in memory."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + b"\xff" * ((side + 7) // 8)
    body = zlib.compress(row * side, 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [13_000, 20_000])  # Pillow warns of the first and raises on the second
def test_a_bomb_is_refused_from_its_header(side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(one_bit_png(side))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("the bomb was decoded"))
    start = time.perf_counter()
    for how in ("header", "full"):
        assert "pixels" in (check_image(path, how) or "")
    with pytest.raises(ImageError, match="pixels"):
        open_image(path)
    assert time.perf_counter() - start < 1  # decoding the smaller one takes 5 s


def test_the_pixel_limit_is_an_argument() -> None:
    data = encoded(Image.new("1", (100, 100)), "PNG")
    assert open_image(data, pixel_limit=10_000).size == (100, 100)
    with pytest.raises(ImageError, match="100 x 100 pixels, more than the 9,999 allowed"):
        open_image(data, pixel_limit=9_999)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutilated_bytes_open_or_are_refused_but_never_crash(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]))
    content = bytearray(encoded(photo(16, 12), format))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        assert open_image(bytes(content)).mode == "RGB"


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    for name, colour in (("a.png", RED), ("b.jpg", RED), ("c.png", BLUE)):
        (tmp_path / name).write_bytes(encoded(Image.new("RGB", (4, 4), colour), "PNG"))
    assert image_hash(tmp_path / "a.png") == image_hash(tmp_path / "b.jpg") != image_hash(tmp_path / "c.png")


def test_the_header_check_is_fast(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(photo(640, 480), "JPEG"))
    check_image(path)
    start = time.process_time()
    for _ in range(500):
        check_image(path)
    assert (time.process_time() - start) / 500 < 0.5e-3  # 0.05 ms on an idle core; a decode takes 5 ms
