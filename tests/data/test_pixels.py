import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil

from vqa_core.data.pixels import PixelTransform
from vqa_core.files import InputError

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's


def picture(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def clip_pixels(image: Image.Image, side: int) -> np.ndarray:
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}, image_mean=MEAN, image_std=STD
    )
    return np.asarray(processor(image)["pixel_values"][0])


def expand2square(image: Image.Image) -> Image.Image:
    """LLaVA's mm_utils.expand2square with the background of process_images, as written there."""
    background = tuple(int(x * 255) for x in MEAN)
    width, height = image.size
    if width == height:
        return image
    if width > height:
        result = Image.new(image.mode, (width, width), background)
        result.paste(image, (0, (width - height) // 2))
        return result
    result = Image.new(image.mode, (height, height), background)
    result.paste(image, ((height - width) // 2, 0))
    return result


SIZES = [(64, 64), (224, 224), (100, 57), (57, 100), (333, 40), (61, 300), (20, 30), (1, 9)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [56, 224])
def test_square_is_clip_s_own_preprocessing_to_the_last_bit(size: tuple[int, int], side: int) -> None:
    image = picture(*size)
    ours = PixelTransform(side, "square", MEAN, STD)(image)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, clip_pixels(image, side).astype(np.float32))


@pytest.mark.parametrize("size", SIZES)
def test_pad_is_llava_s_own_preprocessing_to_the_last_bit(size: tuple[int, int]) -> None:
    image = picture(*size)
    ours = PixelTransform(224, "pad", MEAN, STD)(image)
    np.testing.assert_array_equal(ours, clip_pixels(expand2square(image), 224).astype(np.float32))


def test_stretch_keeps_all_of_the_picture() -> None:
    image = Image.new("RGB", (40, 10), "black")
    image.paste("white", (0, 0, 20, 10))
    seen = np.asarray(PixelTransform(20, "stretch", MEAN, STD).square(image))
    assert seen.shape == (20, 20, 3)
    assert (seen[:, :8] > 250).all()
    assert (seen[:, 12:] < 5).all()


def test_a_tower_without_mean_and_std_is_refused() -> None:
    with pytest.raises(InputError, match="image_mean"):
        PixelTransform.from_preprocessor({"size": 224}, 224, "square")
