"""The image decoder: turns any picture of an allowed format into 8-bit RGB, upright, on white, or raises ImageError.

The bytes decide the format, never the file's suffix. The header must pass the pixel limit before anything is decoded.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from vqa_core.config import DataSettings, settings_of
from vqa_core.data.pictures.bombs import Bomb, check_opened, open_regular
from vqa_core.data.pictures.image_depth import boxes, has_two_bytes, is_deep, joined, keep_low_bytes, to_8_bit
from vqa_core.data.pictures.image_formats import brand_of, is_decoded_in_rows, open_header, without_metadata
from vqa_core.data.pictures.resizing import LONGEST_SIDE, shape_problem
from vqa_core.files import InputError
from vqa_core.progress import metered
from vqa_core.runs.run_dir import RunDir

PIXEL_LIMIT = DataSettings.pixel_limit
"""Maximum of width x height: a 20 KB file can declare 169 million pixels, which are 500 MB of RGB."""

_IN_ROWS, _WHOLE = 16, 2  # times the limit that a JPEG may have for a smaller decode: by rows, or with all in memory
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


class ImageError(InputError):
    """A picture that cannot be used. `problem` is a clause without a subject, such as "is cut short"."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}.")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: RGB of 8 bits, upright.

    `part` is 1, or 2, 4 or 8 for one that was decoded at a half, a quarter or an eighth of its size to fit the pixel
    limit. `bits` are those of its samples if they were in more than 8, and 0 for others and for floating point.
    """

    image: Image.Image
    part: int = 1
    bits: int = 0


@dataclass(slots=True)
class ImageChecks:
    """What is wrong with image files, by name, and what was done to decode those that are unusual.

    `problems` are clauses such as "is cut short". `parts` and `bits` are as in `Picture`, for pictures that are not
    decoded whole and for 16-bit ones whose samples fit into fewer.
    """

    problems: dict[str, str] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)

    def add(self, other: "ImageChecks") -> None:
        """Add the checks of other files."""
        self.problems |= other.problems
        self.parts |= other.parts
        self.bits |= other.bits


def open_image(source: Path | bytes, *, pixel_limit: int = PIXEL_LIMIT, side: int | None = None) -> Image.Image:
    """Decode the first frame of `source`, a file or the bytes of one, to an upright RGB image of 8 bits per channel.

    With `side`, a JPEG may be decoded at a half, a quarter or an eighth of its size, with a longer side of at least
    `side` pixels: enough for a thumbnail, in a fraction of the time. So may a JPEG beyond the pixel limit, to fit it.

    Transparency is put on white. Samples of more than 8 bits are scaled by the range that they use (`white_of`). Raises
    ImageError for a missing, foreign, oversized, damaged or truncated picture.
    """
    return open_picture(source, pixel_limit=pixel_limit, side=side).image


def open_picture(source: Path | bytes, *, pixel_limit: int = PIXEL_LIMIT, side: int | None = None) -> Picture:
    """`open_image`, with what was done to the picture."""
    name = str(source) if isinstance(source, Path) else "The picture"
    try:
        return _decode(source, name, pixel_limit, side)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise a dozen kinds on damaged files, struct.error among them
        try:
            if plain := without_metadata(source):
                return _decode(plain, name, pixel_limit, side)
        except ImageError:
            raise
        except Exception:
            pass  # the first error tells more
        raise ImageError(name, _describe(error, source)) from error


def check_image(path: Path, how: str = "header", *, pixel_limit: int = PIXEL_LIMIT) -> str | None:
    """The problem of an image file, as a clause such as "is cut short"; None if there is none.

    `how` is "header" (format, pixel limit and, for PNG and JPEG, the end of the file) or "full" (decode it). What has
    more than 8 bits a sample is always decoded.
    """
    return _check(path, how, pixel_limit)[0] or None


def check_images(root: Path, names: Sequence[str], how: str = "header", pixel_limit: int = PIXEL_LIMIT) -> ImageChecks:
    """Check the files `names` below `root`, showing the progress.

    `how` is as in `check_image`, or "none", which checks nothing.
    """
    checks = ImageChecks()
    if how == "none":
        return checks
    # Decoding and reading release the GIL, so threads suffice; a header is read faster than a process starts.
    with ThreadPool(os.cpu_count()) as pool:
        found = pool.imap(lambda name: _check(root / name, how, pixel_limit), names, chunksize=64)
        for name, (problem, part, bits) in zip(names, metered(found, "Checking images", len(names), "images")):
            if problem:
                checks.problems[name] = problem
            if part > 1:
                checks.parts[name] = part
            if 0 < bits < 16:
                checks.bits[name] = bits
    return checks


def pixel_limit_of(run: RunDir) -> int:
    """The pixel limit that the run's data were prepared with."""
    return settings_of(DataSettings, run.read_config() if run.config.is_file() else {}, {}).pixel_limit


def image_hash(path: Path) -> str:
    """Hex SHA-256 of the file's bytes, the same for copies of one picture."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(path: Path, how: str, pixel_limit: int) -> tuple[str, int, int]:
    """The problem of an image file, "" if there is none; `part` and `bits` of the picture."""
    try:
        part = 0 if how == "full" else _part_by_header(path, pixel_limit)
        if part:
            return "", part, 0
        picture = open_picture(path, pixel_limit=pixel_limit)
        return shape_problem(picture.image.size), picture.part, picture.bits
    except ImageError as error:
        return error.problem, 1, 0


def _part_by_header(path: Path, pixel_limit: int) -> int:
    """`part` of a picture whose header and file end are right and say all; 0 if only decoding can tell.

    Raises ImageError if the header alone shows a problem.
    """
    try:
        with open_regular(path) as file:
            with open_header(file, pixel_limit) as image:
                part = _part_within(str(path), image, file, pixel_limit)
                if problem := shape_problem(image.size):
                    raise ImageError(str(path), problem)
                end = _ENDS.get(image.format or "", b"")
                if is_deep(image) or has_two_bytes(image):
                    return 0
            file.seek(0, io.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            return part if end in file.read() else 0
    except ImageError:
        raise
    except Exception:
        return 0


@contextmanager
def _opened(source: Path | bytes, pixel_limit: int) -> Iterator[tuple[BinaryIO, Image.Image]]:
    file = io.BytesIO(source) if isinstance(source, bytes) else open_regular(source)
    with file, open_header(file, pixel_limit) as image:
        yield file, image


def _decode(source: Path | bytes, name: str, pixel_limit: int, side: int | None) -> Picture:
    with _opened(source, pixel_limit) as (file, image):
        part = _part_within(name, image, file, pixel_limit)
        check_opened(image, file, pixel_limit)
        sizes = [(image.width // part, image.height // part)] if part > 1 else []
        if side:
            width, height = (max(1, length * side // max(image.size)) for length in image.size)
            sizes.append((width, height))
        if sizes:
            image.draft(None, min(sizes))
        two_bytes = has_two_bytes(image)
        image.load()
        bits = 0
        if is_deep(image):
            rgb, bits = to_8_bit(image)
        else:
            rgb = _to_rgb(image)
            if two_bytes and not image.has_transparency_data:
                rgb, bits = _with_low_bytes(source, rgb, pixel_limit)
        return Picture(_turn_upright(rgb, _read_orientation(image)), part, bits)


def _with_low_bytes(source: Path | bytes, high: Image.Image, pixel_limit: int) -> tuple[Image.Image, int]:
    """A 16-bit RGB picture, of which Pillow gives the `high` bytes, scaled if they leave out the two highest bits."""
    if max(largest for _, largest in high.getextrema()) > 63:  # type: ignore[misc]
        return high, 16
    with _opened(source, pixel_limit) as (_, image):
        keep_low_bytes(image)
        return joined(high, image.convert("RGB"))


def _part_within(name: str, image: Image.Image, file: BinaryIO, pixel_limit: int) -> int:
    """The `part` at which an opened picture fits the limit. Raises ImageError if there is none."""
    width, height = image.size
    if max(width, height) > LONGEST_SIDE:
        raise ImageError(name, shape_problem(image.size))
    if width * height <= pixel_limit:
        return 1
    if image.format in ("JPEG", "MPO"):
        most = (_IN_ROWS if is_decoded_in_rows(image, file) else _WHOLE) * pixel_limit
        for part in (2, 4, 8):
            if width * height <= most and -(-width // part) * -(-height // part) <= pixel_limit:
                return part
    allowed = f"more than the {pixel_limit:,} allowed (--pixel-limit {width * height} allows it)"
    raise ImageError(name, f"has {width} x {height} pixels, {allowed}")


def _describe(error: Exception, source: Path | bytes) -> str:
    if isinstance(error, Bomb):
        return str(error)
    if isinstance(error, MemoryError):
        return "takes more memory to decode than there is"
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, PermissionError | IsADirectoryError):
        return "cannot be read as a file"
    if isinstance(error, UnidentifiedImageError):
        return _needed_reader(source) or "is not an image of a known format"
    if "truncated" in str(error).lower():
        return "is cut short"
    return f"is damaged ({type(error).__name__}: {error})"


def _needed_reader(source: Path | bytes) -> str:
    """What reads a picture that Pillow does not know here; "" if nothing is known to."""
    brand = brand_of(source)
    if brand == "HEIC":
        return "is a HEIC picture, which only a plug-in reads: run `pip install pillow-heif`"
    return "is an AVIF picture, which needs a newer Pillow: run `pip install -U pillow`" if brand else ""


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
    if not image.has_transparency_data:
        # A copy even of RGB, so that the result does not depend on the open file.
        return image.convert("RGB") if image.mode != "RGB" else image.copy()
    rgb = Image.new("RGB", image.size)
    for box in boxes(image):  # all at once would take several copies
        rgb.paste(_on_white(image.crop(box)), box)
    return rgb


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
