"""Resizing: Pillow's pixels to the last bit, and a bound of memory whatever the shape."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vqa_core import ROOT
from vqa_core.data.pictures import resizing
from vqa_core.data.pictures.resizing import check_shape, resize, resize_on_square, resize_part, shape_problem
from vqa_core.files import InputError

SIZES = [(64, 48), (48, 64), (300, 7), (7, 300), (1, 90), (90, 1), (120, 119), (33, 33)]
BICUBIC = Image.Resampling.BICUBIC


def picture(size: tuple[int, int]) -> Image.Image:
    width, height = size
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def on_square(image: Image.Image, side: int, colour: tuple[int, int, int]) -> Image.Image:
    longer = max(image.size)
    canvas = Image.new("RGB", (longer, longer), colour)
    canvas.paste(image, ((longer - image.width) // 2, (longer - image.height) // 2))
    return canvas.resize((side, side), BICUBIC)


def centre(size: tuple[int, int], side: int) -> tuple[tuple[int, int], resizing.Box]:
    """The size of a picture whose shorter side is `side`, and the square in its middle."""
    short = min(size)
    whole = int(side * size[0] / short), int(side * size[1] / short)
    left, top = (whole[0] - side) // 2, (whole[1] - side) // 2
    return whole, (left, top, left + side, top + side)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [16, 56])
@pytest.mark.parametrize("bound", [1 << 26, 40_000, 4_000])
def test_in_parts_it_is_pillow_s_resize_to_the_last_bit(
    size: tuple[int, int], side: int, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resizing, "MOST_BYTES", bound)
    image, colour = picture(size), (120, 116, 104)
    for target in ((side, side), (side, 3), (3, side), size):
        assert resize(image, target).tobytes() == image.resize(target, BICUBIC).tobytes()
    assert resize_on_square(image, side, colour).tobytes() == on_square(image, side, colour).tobytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [16, 56, 224])
@pytest.mark.parametrize("bound", [1 << 26, 1_000])
def test_the_middle_alone_is_that_of_the_whole_but_for_the_rounding(
    size: tuple[int, int], side: int, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, box = centre(size, side)
    image = picture(size)
    expected = np.asarray(image.resize(whole, BICUBIC).crop(box)).astype(int)
    monkeypatch.setattr(resizing, "MOST_BYTES", bound)
    found = np.asarray(resize_part(image, whole, box)).astype(int)
    different = np.abs(found - expected)
    assert different.max() <= (0 if bound > 1_000 else 2)  # rounded after the columns and after the rows
    assert (different > 0).mean() < 0.01


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [16, 56, 224])
def test_on_a_large_canvas_it_is_that_of_the_whole_but_for_the_rounding(
    size: tuple[int, int], side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, colour = picture(size), (120, 116, 104)
    expected = np.asarray(on_square(image, side, colour)).astype(int)
    monkeypatch.setattr(resizing, "MOST_BYTES", 10_000)
    monkeypatch.setattr(resizing, "_MOST_PIXELS", 0)
    different = np.abs(np.asarray(resize_on_square(image, side, colour)) - expected)
    assert different.max() <= 2  # it is rounded twice
    assert (different > 0).mean() < 0.01


def test_a_small_bound_is_kept_to_by_parts_that_are_equal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture((900, 40))
    whole, box = centre(image.size, 32)
    expected = image.resize(whole, BICUBIC).crop(box).tobytes()
    monkeypatch.setattr(resizing, "MOST_BYTES", 300_000)
    assert resize_part(image, whole, box).tobytes() == expected


MEASURE = """
from PIL import Image
from tests.support.peak_memory import forget_peak, peak_memory
from vqa_core.data.pixels import PixelTransform
for size in (1, 20_000), (20_000, 1), (500, 100_000), (100_000, 500), (8_000, 6_000):
    image = Image.new("RGB", size, "red")
    for aspect in "square", "pad", "stretch":
        forget_peak()
        before = peak_memory()
        PixelTransform(336, aspect, (0.5,) * 3, (0.5,) * 3)(image)
        print(aspect, *size, (peak_memory() - before) >> 20)
"""


@pytest.mark.slow(seconds=20)
def test_no_shape_takes_more_than_64_megabytes_beside_the_picture() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, check=True, capture_output=True, text=True)
    found = {line: int(line.split()[-1]) for line in done.stdout.splitlines()}
    assert len(found) == 15
    assert max(found.values()) <= 64, found


@pytest.mark.parametrize("size", [(10, 1), (1, 20), (1, 1), (200, 1), (30, 6_000), (100_000, 500)])
def test_panoramas_and_receipts_are_taken(size: tuple[int, int]) -> None:
    assert shape_problem(size) == ""


@pytest.mark.parametrize(
    ("size", "problem"),
    [
        ((1, 60_000), "is 1 x 60000 pixels, 60,000 times as high as wide; 200 times is the most that is read"),
        ((401, 2), "is 401 x 2 pixels, 200.5 times as wide as high"),
        ((100_001, 900), "is 100001 x 900 pixels; 100,000 is the longest side that is read"),
        ((0, 5), "is 0 x 5 pixels, which is no picture"),
    ],
)
def test_a_shape_beyond_reason_is_refused_with_the_figure(size: tuple[int, int], problem: str) -> None:
    assert shape_problem(size).startswith(problem)
    if min(size):
        with pytest.raises(InputError, match="The picture is "):
            check_shape(size)
