"""Samples of more than 8 bits: scaled by the range that they use, each picture by itself, and told."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vqa_core.data.findings import find_unusual_images
from vqa_core.data.images import check_images, open_image, open_picture
from vqa_core.data.pictures.image_depth import white_of

KINDS = {1: 0, 3: 2}  # colours of a PNG -> its colour type


def png_of(samples: np.ndarray) -> bytes:
    """A 16-bit PNG of samples of shape (height, width, colours)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, colours = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", width, height, 16, KINDS[colours], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ramp(bits: int, colours: int) -> np.ndarray:
    """(16, 16, colours): all brightnesses from black to the white of so many bits."""
    values = np.round(np.linspace(0, (1 << bits) - 1, 256)).astype(np.uint16).reshape(16, 16, 1)
    return np.repeat(values, colours, axis=2)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("colours", [1, 3])
def test_a_picture_with_fewer_bits_than_its_file_is_as_bright_as_it_was(bits: int, colours: int) -> None:
    picture = open_picture(png_of(ramp(bits, colours)))
    grey = np.asarray(picture.image).astype(int)
    assert picture.bits == bits
    assert np.abs(grey - np.arange(256).reshape(16, 16, 1)).max() <= (1 if colours == 3 and bits == 16 else 0)


@pytest.mark.parametrize("mode", ["I;16", "I"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_tiff_is_scaled_alike(mode: str, bits: int) -> None:
    stream = io.BytesIO()
    kind = np.uint16 if mode == "I;16" else np.int32
    Image.fromarray(ramp(bits, 1)[..., 0].astype(kind)).save(stream, "TIFF")
    picture = open_picture(stream.getvalue())
    assert (np.asarray(picture.image)[..., 0].flatten() == np.arange(256)).all()
    assert picture.bits == bits


@pytest.mark.parametrize("deflated", [False, True])  # read by Pillow itself, and by libtiff
@pytest.mark.parametrize("order", "<>")
def test_colour_tiff_of_12_bits_in_16_is_scaled(deflated: bool, order: str) -> None:
    picture = open_picture(colour_tiff(ramp(12, 3), order, deflated))
    assert picture.bits == 12
    assert (np.asarray(picture.image)[..., 0].flatten() == np.arange(256)).all()


def colour_tiff(samples: np.ndarray, order: str, deflated: bool) -> bytes:
    """A TIFF of 16-bit RGB in one strip."""
    height, width, _ = samples.shape
    pixels = samples.astype(f"{order}u2").tobytes()
    pixels = zlib.compress(pixels) if deflated else pixels
    entries = [
        (256, width), (257, height), (258, 8), (259, 8 if deflated else 1), (262, 2), (273, 14), (277, 3),
        (278, height), (279, len(pixels)),
    ]  # fmt: skip
    rows = b"".join(
        struct.pack(f"{order}HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, value)
        for tag, value in entries
    )
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}IHHH", 14 + len(pixels), 16, 16, 16)
    return head + pixels + struct.pack(f"{order}H", len(entries)) + rows + bytes(4)


def test_the_white_of_a_picture_is_that_of_its_bits() -> None:
    assert [white_of(high) for high in (1, 255, 256, 1023, 1024, 4095, 4096, 16383, 16384, 65535)] == [
        255, 255, 1023, 1023, 4095, 4095, 16383, 16383, 65535, 65535,
    ]  # fmt: skip
    assert white_of(0) == 65535


def test_a_black_picture_stays_black() -> None:
    for colours in (1, 3):
        assert not np.asarray(open_image(png_of(np.zeros((4, 4, colours), np.uint16)))).any()


def test_ordinary_16_bit_colour_stays_as_pillow_reads_it() -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    data = png_of(samples)
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(open_image(data)) == np.asarray(image)).all()


def test_what_was_scaled_is_told_with_its_number(tmp_path: Path) -> None:
    for name, bits in (("a", 12), ("b", 12), ("c", 16), ("d", 10)):
        (tmp_path / f"{name}.png").write_bytes(png_of(ramp(bits, 1)))
    (tmp_path / "e.png").write_bytes(png_of(ramp(14, 3)))
    checks = check_images(tmp_path, ["a.png", "b.png", "c.png", "d.png", "e.png"])
    assert checks.problems == {}
    assert checks.bits == {"a.png": 12, "b.png": 12, "d.png": 10, "e.png": 14}
    (finding,) = find_unusual_images(checks)
    assert finding["message"].startswith("4 images of 16 bits with samples of fewer")
    assert list(finding["examples"]) == ["a.png: 12 bits", "b.png: 12 bits", "d.png: 10 bits", "e.png: 14 bits"]
