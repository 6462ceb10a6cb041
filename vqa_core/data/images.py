"""The image decoder: turns any picture of an allowed format into 8-bit RGB, upright, on white, or raises ImageError.

The bytes decide the format, never the file's suffix. The header must pass the pixel limit before anything is decoded.
"""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from vqa_core.files import InputError, sha256_of
from vqa_core.progress import metered

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
PIXEL_LIMIT = 50_000_000
"""Maximum of width x height: a 20 KB file can declare 169 million pixels, which are 500 MB of RGB."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {  # EXIF 2.3, tag Orientation: the turn that makes each value 1
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}  # last bytes of a whole file, but for a little padding
_TAIL = 32
_PART = 1024  # side in pixels of the parts that samples are processed in

# Our limit is stricter, and an error where Pillow's default only warns.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(InputError):
    """A picture that cannot be used. `problem` is a clause without a subject, such as "is cut short"."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}.")
        self.problem = problem


def open_image(source: Path | bytes, *, pixel_limit: int = PIXEL_LIMIT, side: int | None = None) -> Image.Image:
    """Decode the first frame of `source`, a file or the bytes of one, to an upright RGB image of 8 bits per channel.

    With `side`, a JPEG may be decoded at a half, a quarter or an eighth of its size, with a longer side of at least
    `side` pixels: enough for a thumbnail, in a fraction of the time.

    Transparency is put on white. 16-bit samples are divided by 257, floating point is scaled as in `_scale`. Raises
    ImageError for a missing, foreign, oversized, damaged or truncated picture.
    """
    name = str(source) if isinstance(source, Path) else "The picture"
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            _check_size(name, image, pixel_limit)
            if side:
                width, height = (max(1, length * side // max(image.size)) for length in image.size)
                image.draft(None, (width, height))
            image.load()
            return _turn_upright(_to_rgb(image), _read_orientation(image))
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise a dozen kinds on damaged files, struct.error among them
        raise ImageError(name, _describe(error)) from error


def check_image(path: Path, how: str = "header", *, pixel_limit: int = PIXEL_LIMIT) -> str | None:
    """The problem of an image file, as a clause such as "is cut short"; None if there is none.

    `how` is "header" (format, pixel limit and, for PNG and JPEG, the end of the file) or "full" (decode it).
    """
    try:
        if how == "full" or not _header_is_valid(path, pixel_limit):
            open_image(path, pixel_limit=pixel_limit)
    except ImageError as error:
        return error.problem
    return None


def check_images(root: Path, names: Sequence[str], how: str = "header") -> dict[str, str]:
    """Check the files `names` below `root`, showing the progress; return the problem of each file that has one.

    `how` is as in `check_image`, or "none", which checks nothing.
    """
    if how == "none":
        return {}
    # Decoding and reading release the GIL, so threads suffice; a header is read faster than a process starts.
    with ThreadPool(os.cpu_count()) as pool:
        problems = pool.imap(lambda name: check_image(root / name, how), names, chunksize=64)
        counted = metered(problems, "Checking images", len(names), "images")
        return {name: problem for problem, name in zip(counted, names) if problem}


def image_hash(path: Path) -> str:
    """Hex SHA-256 of the file's bytes, the same for copies of one picture."""
    return sha256_of(path)


def _header_is_valid(path: Path, pixel_limit: int) -> bool:
    """Whether header and end of the file are right; if not, only decoding can tell.

    Raises ImageError if the header alone shows a problem.
    """
    try:
        with path.open("rb") as file:
            with Image.open(file, formats=FORMATS) as image:
                _check_size(str(path), image, pixel_limit)
                end = _ENDS.get(image.format or "", b"")
            file.seek(0, io.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            return end in file.read()
    except ImageError:
        raise
    except Exception as error:  # as in open_image
        raise ImageError(str(path), _describe(error)) from error


def _check_size(name: str, image: Image.Image, pixel_limit: int) -> None:
    width, height = image.size
    if width * height > pixel_limit:
        raise ImageError(name, f"has {width} x {height} pixels, more than the {pixel_limit:,} allowed")


def _describe(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, PermissionError | IsADirectoryError):
        return "cannot be read as a file"
    if isinstance(error, Image.DecompressionBombError):
        return f"has too many pixels ({error})"
    if isinstance(error, UnidentifiedImageError):
        return "is not an image of a known format"
    if "truncated" in str(error).lower():
        return "is cut short"
    return f"is damaged ({type(error).__name__}: {error})"


def _read_orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 if it is missing or the EXIF block is damaged, since the pixels are still good."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    deep = image.mode == "F" or image.mode.startswith("I")
    if not (deep or image.has_transparency_data):
        # A copy even of RGB, so that the result does not depend on the open file.
        return image.convert("RGB") if image.mode != "RGB" else image.copy()
    scale = _scale(image) if deep else (0.0, 1.0)
    rgb = Image.new("RGB", image.size)
    for box in _boxes(image):  # all at once would take several copies of up to 8 bytes per sample
        part = image.crop(box)
        rgb.paste(_to_8_bit(part, *scale) if deep else _on_white(part), box)
    return rgb


def _boxes(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Squares with sides of at most _PART pixels that cover a picture."""
    for top in range(0, image.height, _PART):
        for left in range(0, image.width, _PART):
            yield left, top, min(left + _PART, image.width), min(top + _PART, image.height)


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _scale(image: Image.Image) -> tuple[float, float]:
    """The sample values of a grey picture in mode I;16, I or F that become 0 and 255.

    Pillow's own conversion would clip nearly all samples to white or black. Integers from 0 to 65535 are divided by
    257. Floats from 0 to 1 are multiplied by 255, floats from 0 to 255 stay. Anything else is stretched from its
    smallest to its largest finite value.
    """
    if image.mode.startswith("I;16"):
        return 0.0, 65535.0
    low, high = np.inf, -np.inf
    for box in _boxes(image):
        values = _samples(image.crop(box))
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:  # no sample is finite
        low = high = 0.0
    if image.mode != "F" and low >= 0 and high <= 65535:
        return 0.0, 65535.0
    if image.mode == "F" and low >= 0 and high <= 255:
        return 0.0, 1.0 if high <= 1 else 255.0
    return low, high


def _to_8_bit(image: Image.Image, low: float, high: float) -> Image.Image:
    """Convert grey in mode I;16, I or F to 8 bits, `low` to black and `high` to white; NaN becomes black."""
    values = np.nan_to_num(_samples(image), nan=low, posinf=high, neginf=low)
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return Image.fromarray(np.round(scaled).clip(0, 255).astype(np.uint8))


def _samples(image: Image.Image) -> np.ndarray:
    """(height, width), as floats that hold each sample exactly."""
    return np.asarray(image).astype(np.float64 if image.mode == "I" else np.float32)
