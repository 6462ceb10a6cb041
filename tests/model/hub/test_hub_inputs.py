"""What goes to an image processor: the middle of a picture that it cuts out, where all of it would be too much."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from vqa_core.files import InputError
from vqa_core.model.hub import inputs
from vqa_core.model.hub.inputs import crop_to_seen, process


def smooth(size: tuple[int, int]) -> Image.Image:
    ramp = np.random.default_rng(3).integers(0, 256, (max(1, size[1] // 8), max(1, size[0] // 8), 3), dtype=np.uint8)
    return Image.fromarray(ramp).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(900, 30), (30, 900), (901, 40), (7, 300)])
def test_the_middle_alone_gives_the_same_pixels_but_for_a_shift_of_less_than_one(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    how = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_normalize=False)
    image = smooth(size)
    assert crop_to_seen(how, image) is image
    expected = np.asarray(how(image)["pixel_values"][0])
    monkeypatch.setattr(inputs, "MOST_BYTES", 1000)
    part = crop_to_seen(how, image)
    assert max(part.size) < max(size) / 2
    assert min(part.size) == min(size)
    assert np.abs(np.asarray(how(part)["pixel_values"][0]) - expected).mean() < 0.04


def test_a_processor_that_makes_tiles_gets_the_whole_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MOST_BYTES", 1000)
    image = smooth((900, 30))
    assert crop_to_seen(LlavaNextImageProcessorPil(), image) is image
    assert crop_to_seen(None, image) is image


def test_a_picture_of_no_use_is_refused_before_the_processor_sees_it() -> None:
    def refuse(**_: object) -> None:
        pytest.fail("the processor was called")

    with pytest.raises(InputError, match="300 times as high as wide"):
        process(refuse, "is it red?", Image.new("RGB", (1, 300)))
    drawing = SimpleNamespace(image_processor=SimpleNamespace(is_vqa=True))
    with pytest.raises(InputError, match="takes no picture of 10001 x 60: it draws the question above"):
        process(drawing, "is it red?", Image.new("RGB", (10_001, 60)))
