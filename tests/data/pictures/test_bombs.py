"""Small files that would take memory or time without measure are refused before they do."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tests.support.mutated_pictures import exif_jpeg, extreme_pictures, many_scans, precincts_j2k, tags_tiff, tiled_tiff
from vqa_core import ROOT
from vqa_core.data.images import ImageError, check_image, image_hash, open_image
from vqa_core.data.pictures.image_formats import suffix_of

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as the decoder has it; pytest sets its own filters

EXTREME = extreme_pictures()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (EXTREME["claims.gif"], "has 65535 x 65535 pixels, more than the 50,000,000 allowed"),
        (EXTREME["claims.png"], "has 100000 x 100000 pixels"),
        (EXTREME["claims.ppm"], "has 70000 x 70000 pixels"),
        (tiled_tiff(4, 4, 60_000, 60_000), "has tiles of 60000 x 60000 pixels"),
        (many_scans(400), "has 40. scans, more than the 100 allowed"),
        (tags_tiff(500, 1 << 20), "has tags of more bytes than the file"),
        (b"GIF89a" + bytes(7) + b"!\xfe" + (b"\xff" + b"a" * 255) * 20_000, "before its first frame"),
    ],
)  # fmt: skip
def test_a_bomb_is_refused(data: bytes, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=problem):
        open_image(data)
    path = tmp_path / "picture"
    path.write_bytes(data)
    assert check_image(path, "full")
    suffix_of(data)


@pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow was built without JPEG 2000")
def test_a_jpeg_2000_of_a_precinct_for_each_pixel_is_refused() -> None:
    with pytest.raises(ImageError, match="has 9,000,000 precincts in a tile"):
        open_image(precincts_j2k(3000))
    with pytest.raises(ImageError, match="has 60000 x 60000 pixels"):
        open_image(precincts_j2k(60_000))
    stream = io.BytesIO()
    picture = Image.linear_gradient("L").resize((300, 200))
    picture.save(stream, "JPEG2000", tile_size=(64, 64), precinct_size=(64, 64), num_resolutions=3)
    assert open_image(stream.getvalue()).size == (300, 200)


def test_what_only_looks_like_one_is_read() -> None:
    assert open_image(many_scans(10)).size == (32, 24)
    assert open_image(tags_tiff(3, 1000)).size == (4, 4)
    assert open_image(EXTREME["profile.png"]).size == (8, 6)
    assert open_image(EXTREME["words.png"]).size == (8, 6)
    assert open_image(exif_jpeg(40, 1 << 20)).size == (8, 8)
    tall = io.BytesIO()
    Image.new("L", (1, 50_000)).save(tall, "GIF")
    assert open_image(tall.getvalue()).size == (1, 50_000)


MEASURE = """
from tests.support.mutated_pictures import exif_jpeg, extreme_pictures, mutated_pictures, tags_tiff
from tests.support.peak_memory import peak_memory
from vqa_core.data.images import open_image
files = [*extreme_pictures().values(), *(data for _, data in mutated_pictures(200, seed=5))]
files += [tags_tiff(4000, 1 << 19), exif_jpeg(4000, 1 << 19)]
before = peak_memory()
for data in files:
    try:
        open_image(data)
    except ValueError:
        pass
print(peak_memory() - before)
"""


@pytest.mark.slow(seconds=5)
def test_no_small_file_takes_more_than_some_megabytes_and_none_is_complained_about() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 100 << 20
    assert done.stderr == ""


def test_pipes_devices_and_folders_are_no_pictures(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(ImageError, match="cannot be read as a file"):
            open_image(path)
        assert check_image(path) == "cannot be read as a file"
        with pytest.raises(OSError, match=r"is no file|directory"):
            image_hash(path)


def test_a_file_much_longer_than_its_pixels_is_not_read_into_memory(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(whole, "WEBP")
    path = tmp_path / "long.webp"
    path.write_bytes(whole.getvalue())
    os.truncate(path, 1 << 33)  # a hole: it takes no room
    with pytest.raises(ImageError, match="is a file of 8,589,934,592 bytes"):
        open_image(path)


def test_floats_from_one_end_of_their_range_to_the_other_are_scaled(recwarn: pytest.WarningsRecorder) -> None:
    values = np.array([[-3e38, 0.0, 3e38, np.nan]], dtype=np.float32)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF")
    assert np.asarray(open_image(stream.getvalue()))[0, :3, 0].tolist() == [0, 128, 255]
    assert not recwarn.list
