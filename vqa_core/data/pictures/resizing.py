"""Resizing within a bound of memory, whatever the shape of a picture, and the shapes that are taken at all.

A picture of 1 x 20,000 pixels whose shorter side is to become 224 is 224 x 4,480,000 in between. Pillow's `resize`
goes over the columns first, then over the rows, and rounds in between; where it would take too much, it is done here in
parts. All pictures are RGB, of which Pillow keeps 4 bytes a pixel, and resized with its bicubic filter.
"""

import math

from PIL import Image

from vqa_core.files import InputError

MOST_BYTES = 1 << 26
"""What resizing a picture may take beside the picture itself."""

MOST_TIMES = 200
"""How many times as long as wide a picture may be: as in Qwen2-VL's own processor, and more than any receipt or
panorama. Beyond, the square that a model sees shows less than a hundredth of it, or a line."""

LONGEST_SIDE = 100_000
"""Pixels: the longer side of a picture of MOST_TIMES and the default pixel limit. JPEG ends at 65,535."""

_PIXEL = 4  # bytes
_MOST_PIXELS = 1 << 29  # of the rows of a canvas that a picture is on: a second of work
_COEFFICIENTS = 48  # bytes that Pillow takes for each column or row of an enlarged picture
_REACH = 3  # pixels on either side, of the smaller picture, that the bicubic filter reaches to, and one more

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""


def shape_problem(size: tuple[int, int]) -> str:
    """What is wrong with the shape of a picture, as a clause without a subject; "" if it can be used."""
    width, height = size
    if not width or not height:
        return f"is {width} x {height} pixels, which is no picture"
    if max(size) > LONGEST_SIDE:
        return f"is {width} x {height} pixels; {LONGEST_SIDE:,} is the longest side that is read, so cut it into parts"
    if max(size) <= MOST_TIMES * min(size):
        return ""
    times = f"{max(size) / min(size):,.1f}".removesuffix(".0")
    how = "as wide as high" if width > height else "as high as wide"
    return (
        f"is {width} x {height} pixels, {times} times {how}; {MOST_TIMES} times is the most that is read, so cut it "
        "into parts"
    )


def check_shape(size: tuple[int, int], name: str = "The picture") -> None:
    """Raise InputError for a shape that no model makes sense of."""
    problem = shape_problem(size)
    if problem:
        raise InputError(f"{name} {problem}.")


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture as Pillow resizes it, to the last bit."""
    if _bytes_to_resize(image.size, size) <= MOST_BYTES:
        return image.resize(size, Image.Resampling.BICUBIC)
    return _resize_on_canvas(image, image.size, size, (0, 0, 0))


def resize_on_square(image: Image.Image, side: int, colour: tuple[int, int, int]) -> Image.Image:
    """The picture in the middle of a square of `colour`, as Pillow resizes that to `side` x `side`, to the last bit."""
    longer = max(image.size)
    square = (longer, longer)
    if longer * longer * _PIXEL + _bytes_to_resize(square, (side, side)) > MOST_BYTES:
        return _resize_on_canvas(image, square, (side, side), colour)
    canvas = Image.new("RGB", square, colour)
    canvas.paste(image, _middle(square, image.size))
    return canvas.resize((side, side), Image.Resampling.BICUBIC) if longer != side else canvas


def resize_part(image: Image.Image, size: tuple[int, int], part: Box) -> Image.Image:
    """The `part` of the picture resized to `size`.

    As Pillow gives it, to the last bit, where the resized picture takes no more than half of MOST_BYTES. Beyond, only
    what the part shows is resized: in Pillow's `resize` the place of such a box is a number of 32 bits, so a sample may
    be off by one after the columns, and again after the rows.
    """
    if size == image.size:
        return image.crop(part)
    if _PIXEL * size[0] * size[1] + _COEFFICIENTS * max(*image.size, *size) <= MOST_BYTES // 2:
        return resize(image, size).crop(part)
    left, top, right, bottom = part
    found = Image.new("RGB", (right - left, bottom - top))
    x_from, x_to = _span(left, right, image.width, size[0])
    rows = bottom - top
    while rows > 1:
        y_from, y_to = _span(top, top + rows, image.height, size[1])
        if (y_to - y_from) * (x_to - x_from + right - left) * _PIXEL <= MOST_BYTES // 2:
            break
        rows = -(-rows // 2)
    for y in range(top, bottom, rows):
        below = min(y + rows, bottom)
        y_from, y_to = _span(y, below, image.height, size[1])
        seen = image.crop((x_from, y_from, x_to, y_to))
        across, down = image.width / size[0], image.height / size[1]
        box = (
            max(left * across - x_from, 0),
            max(y * down - y_from, 0),
            min(right * across - x_from, seen.width),
            min(below * down - y_from, seen.height),
        )
        found.paste(seen.resize((right - left, below - y), Image.Resampling.BICUBIC, box), (0, y - top))
    return found


def _bytes_to_resize(old: tuple[int, int], new: tuple[int, int]) -> int:
    """What Pillow's `resize` takes: the picture with the columns done, the whole, and the filter's coefficients."""
    return _PIXEL * new[0] * (old[1] + new[1]) + _COEFFICIENTS * max(*old, *new)


def _resize_on_canvas(
    image: Image.Image, canvas: tuple[int, int], size: tuple[int, int], colour: tuple[int, int, int]
) -> Image.Image:
    """A picture in the middle of a `canvas` of one colour, resized: first some columns of all rows, then these rows.

    To the last bit, but for a canvas of more than _MOST_PIXELS beside the picture: of that only what the picture
    reaches is made, see `resize_part`.
    """
    quarter = MOST_BYTES // 4
    x, y = _middle(canvas, image.size)
    across, height = canvas[0] / size[0], image.height
    whole = canvas[0] * height <= _MOST_PIXELS
    reach = _REACH * max(across, 1.0)
    first, last = max(0, math.floor((x - reach) / across)), math.ceil((x + image.width + reach) / across)
    last = min(size[0], last)  # the columns with something of the picture in them
    columns = max(1, min(last - first, quarter // (canvas[1] * _PIXEL)))
    resized = Image.new("RGB", size, colour)
    for left in range(first, last, columns):
        right = min(left + columns, last)
        x_from, x_to = (0, canvas[0]) if whole else _span(left, right, canvas[0], size[0])
        rows = max(1, quarter // ((2 * (x_to - x_from) + size[0]) * _PIXEL))
        narrow = Image.new("RGB", (right - left, canvas[1]), colour)
        for top in range(0, height, rows):
            band = image.crop((max(0, x_from - x), top, min(image.width, x_to - x), min(top + rows, height)))
            if band.width < x_to - x_from:
                wide = Image.new("RGB", (x_to - x_from, band.height), colour)
                wide.paste(band, (max(0, x - x_from), 0))
                band = wide
            if whole:
                band = band.resize((size[0], band.height), Image.Resampling.BICUBIC)
                band = band.crop((left, 0, right, band.height))
            else:
                box = max(0, left * across - x_from), 0, min(band.width, right * across - x_from), band.height
                band = band.resize((right - left, band.height), Image.Resampling.BICUBIC, box)
            narrow.paste(band, (0, y + top))
        resized.paste(narrow.resize((right - left, size[1]), Image.Resampling.BICUBIC), (left, 0))
    return resized


def _middle(outer: tuple[int, int], inner: tuple[int, int]) -> tuple[int, int]:
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2


def _span(first: int, last: int, old: int, new: int) -> tuple[int, int]:
    """The pixels of an axis of `old` that those from `first` to `last` of `new` are made of."""
    scale = old / new
    reach = _REACH * max(scale, 1.0)
    return max(0, math.floor(first * scale - reach)), min(old, math.ceil(last * scale + reach))
