"""Pictures beyond the pixel limit: a JPEG comes smaller, within memory; others name the flag that allows them."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vqa_core import ROOT
from vqa_core.config import DataSettings
from vqa_core.data.images import ImageError, check_image, check_images, open_image, open_picture
from vqa_core.data.prepare import prepare
from vqa_core.runs.run_dir import RunDir

LIMIT = 10_000


def jpeg(size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    ramp = Image.linear_gradient("L").resize(size)
    ramp.convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


def png(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    ("size", "part"),
    [((100, 100), 1), ((101, 100), 2), ((200, 200), 2), ((201, 200), 4), ((399, 400), 4), ((7, 9000), 4)],
)
def test_a_jpeg_beyond_the_limit_is_decoded_at_a_part_of_its_size(size: tuple[int, int], part: int, mode: str) -> None:
    picture = open_picture(jpeg(size, mode), pixel_limit=LIMIT)
    assert picture.part == part
    assert picture.image.size == (-(-size[0] // part), -(-size[1] // part))
    assert picture.image.mode == "RGB"
    whole = open_image(jpeg(size, mode)).resize(picture.image.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(picture.image)).mean() < 4


def test_an_oversized_jpeg_is_still_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_image(jpeg((300, 100), exif=exif), pixel_limit=LIMIT).size == (50, 150)


def test_a_thumbnail_of_an_oversized_jpeg_is_no_larger_than_it_must() -> None:
    assert open_image(jpeg((320, 320)), pixel_limit=LIMIT, side=40).size == (40, 40)
    assert open_image(jpeg((320, 320)), pixel_limit=LIMIT, side=300).size == (80, 80)


def test_a_progressive_jpeg_which_is_kept_whole_in_memory_may_be_twice_as_large_only() -> None:
    assert open_image(jpeg((140, 140), progressive=True), pixel_limit=LIMIT).size == (70, 70)
    with pytest.raises(
        ImageError, match=r"150 x 150 pixels, more than the 10,000 allowed \(--pixel-limit 22500 allows"
    ):
        open_image(jpeg((150, 150), progressive=True), pixel_limit=LIMIT)
    assert open_image(jpeg((150, 150), progressive=True), pixel_limit=22_500).size == (150, 150)
    with pytest.raises(ImageError, match="401 x 400 pixels"):
        open_image(jpeg((401, 400)), pixel_limit=LIMIT)


def test_other_formats_name_the_flag_and_it_works(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png((120, 100)))
    assert check_image(path, pixel_limit=LIMIT) == (
        "has 120 x 100 pixels, more than the 10,000 allowed (--pixel-limit 12000 allows it)"
    )
    assert open_image(path, pixel_limit=12_000).size == (120, 100)


def test_prepare_counts_both_and_the_run_keeps_the_limit(tmp_path: Path) -> None:
    (tmp_path / "data/image/train").mkdir(parents=True)
    for name, data in (("a.jpg", jpeg((120, 100))), ("b.png", png((120, 100))), ("c.png", png((10, 10)))):
        (tmp_path / "data/image/train" / name).write_bytes(data)
    rows = "".join(f"{name},{name},what?,red\n" for name in "abc")
    (tmp_path / "data/train.csv").write_text(f"ID,image_id,question,answer\n{rows}")
    reports = []
    settings = DataSettings(pixel_limit=LIMIT)
    splits = prepare(RunDir(tmp_path / "run"), str(tmp_path / "data"), settings, on_report=reports.append)
    found = {finding.code: str(finding) for finding in reports[0].findings}
    assert found["reduced-images"] == (
        "1 image above the pixel limit, decoded at a smaller size (image/train/a.jpg at 1/2)"
    )
    assert "--pixel-limit 12000 allows it" in found["broken-train-images"]
    assert len(splits.train) + len(splits.val) == 2
    assert RunDir(tmp_path / "run").read_config()["data"]["pixel_limit"] == LIMIT
    allowed = DataSettings(pixel_limit=12_000)
    splits = prepare(RunDir(tmp_path / "other"), str(tmp_path / "data"), allowed, on_report=reports.append)
    assert len(splits.train) + len(splits.val) == 3
    assert {"reduced-images", "broken-train-images"}.isdisjoint(finding.code for finding in reports[1].findings)


def test_a_run_that_was_never_asked_for_a_limit_records_none() -> None:
    assert "pixel_limit" not in DataSettings().to_dict()
    assert "encoding" not in DataSettings().to_dict()


MEASURE = """
import resource, sys
from pathlib import Path
from vqa_core.data.images import open_image
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
print(*open_image(Path(sys.argv[1])).size, peak() - before)
"""


def test_60_megapixels_are_decoded_within_the_memory_of_a_quarter(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("L", (10_000, 6000), 128).save(path, quality=50)
    assert check_images(tmp_path, ["large.jpg"]).parts == {"large.jpg": 2}
    done = subprocess.run([sys.executable, "-c", MEASURE, path], cwd=ROOT, check=True, capture_output=True, text=True)
    width, height, grown = map(int, done.stdout.split())
    assert (width, height) == (5000, 3000)
    assert grown < 150e6  # 15 million pixels of grey and of RGB, the latter with 4 bytes each
