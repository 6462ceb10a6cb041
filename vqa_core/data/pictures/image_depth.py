"""Pictures with more than 8 bits a sample become 8-bit ones, by the range that their samples really use."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

_PART = 1024  # side in pixels of the parts that samples are processed in
_LARGE = 1e18
_BITS = (8, 10, 12, 14, 16)
_OTHER_BYTE = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B"}  # of rawmodes that keep one byte of two


def white_of(high: int) -> int:
    """The sample that is white in a picture whose largest is `high`: the largest of 8, 10, 12, 14 or 16 bits.

    Cameras and scanners put 10, 12 or 14 bits into 16. A picture alone decides, so that training and prediction agree.
    So one with none of its upper samples looks brighter than it was, by up to four times: a quarter of white or more
    is in every picture but a black one.
    """
    return next((1 << bits) - 1 for bits in _BITS if high < 1 << bits) if high else 65535


def boxes(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Squares with sides of at most _PART pixels that cover a picture."""
    for top in range(0, image.height, _PART):
        for left in range(0, image.width, _PART):
            yield left, top, min(left + _PART, image.width), min(top + _PART, image.height)


def is_deep(image: Image.Image) -> bool:
    """Whether an opened picture has one colour with more than 8 bits a sample."""
    return image.mode == "F" or image.mode.startswith("I")


def has_two_bytes(image: Image.Image) -> bool:
    """Whether a picture, opened but not decoded, has 16 bits for each sample of red, green and blue."""
    return image.mode == "RGB" and any(_rawmode(tile)[-4:] in _OTHER_BYTE for tile in _tiles(image))


def keep_low_bytes(image: Image.Image) -> None:
    """Have an opened picture of `has_two_bytes` decoded to the low bytes of its samples, in place of the high ones."""
    image.tile = [_with_rawmode(tile) for tile in _tiles(image)]  # type: ignore[attr-defined]


def to_8_bit(image: Image.Image) -> tuple[Image.Image, int]:
    """A decoded picture of `is_deep` as RGB, and the bits that its samples have; 0 for floating point.

    Integers from 0 to 65535 are divided so that `white_of` becomes 255. Floats from 0 to 1 are multiplied by 255,
    floats from 0 to 255 stay. Anything else is stretched from its smallest to its largest finite value. Pillow's own
    conversion would clip nearly all samples to white or black. NaN becomes black.
    """
    low, high, bits = _scale(image)
    rgb = Image.new("RGB", image.size)
    for box in boxes(image):  # all at once would take several copies of up to 8 bytes per sample
        values = np.nan_to_num(_samples(image.crop(box)), nan=low, posinf=high, neginf=low)
        rgb.paste(_as_bytes((values - low) * (255.0 / max(high - low, 1e-12))), box)
    return rgb, bits


def joined(high: Image.Image, low: Image.Image) -> tuple[Image.Image, int]:
    """RGB from the high and the low bytes of its samples, scaled as integers in `to_8_bit`; and the bits they have."""
    largest = 0
    for box in boxes(high):
        largest = max(largest, int(_two_bytes(high, low, box).max()))
    white = white_of(largest)
    rgb = Image.new("RGB", high.size)
    for box in boxes(high):
        rgb.paste(_as_bytes(_two_bytes(high, low, box) * (255.0 / white)), box)
    return rgb, white.bit_length()


def _scale(image: Image.Image) -> tuple[float, float, int]:
    """The sample values that become 0 and 255, and the bits of the latter."""
    low, high = np.inf, -np.inf
    for box in boxes(image):
        values = _samples(image.crop(box))
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:  # no sample is finite
        low = high = 0.0
    if image.mode != "F" and low >= 0 and high <= 65535:
        white = white_of(int(high))
        return 0.0, float(white), white.bit_length()
    if image.mode == "F" and low >= 0 and high <= 255:
        return 0.0, 1.0 if high <= 1 else 255.0, 0
    return low, high, 0


def _as_bytes(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(values).clip(0, 255).astype(np.uint8))


def _samples(image: Image.Image) -> np.ndarray:
    """(height, width), as floats that hold each sample exactly."""
    samples = np.asarray(image).astype(np.float64 if image.mode == "I" else np.float32)
    if image.mode == "F" and np.nanmax(np.abs(samples), initial=0, where=np.isfinite(samples)) > _LARGE:
        return samples.astype(np.float64)  # in which differences of the largest floats still have a place
    return samples


def _two_bytes(high: Image.Image, low: Image.Image, box: tuple[int, int, int, int]) -> np.ndarray:
    """(height, width, 3), the 16-bit samples of a part."""
    samples: np.ndarray = np.asarray(high.crop(box)).astype(np.float32) * 256 + np.asarray(low.crop(box))
    return samples


def _tiles(image: Image.Image) -> list[ImageFile._Tile]:
    return list(getattr(image, "tile", []))


def _rawmode(tile: ImageFile._Tile) -> str:
    """How a decoder packs the samples: its only argument, or the first of several."""
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _with_rawmode(tile: ImageFile._Tile) -> ImageFile._Tile:
    old = _rawmode(tile)
    new = old[:-4] + _OTHER_BYTE[old[-4:]]
    return tile._replace(args=(new, *tile.args[1:]) if isinstance(tile.args, tuple) else new)
