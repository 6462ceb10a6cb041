"""PixelTransform: from a decoded picture to the square of normalised pixels that a vision tower sees."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqa_core.data.pictures.resizing import resize, resize_on_square, resize_part
from vqa_core.files import InputError


@dataclass(frozen=True, slots=True)
class PixelTransform:
    """Resize (bicubic), crop or pad to `side` x `side`, scale to 0..1, normalise by `mean` and `std`.

    Aspect `square` equals CLIPImageProcessor (shortest side to `side`, centre crop), and `pad` LLaVA-1.5's
    expand2square followed by it; a test compares both with transformers. `stretch` keeps the whole picture but not its
    aspect ratio.
    """

    side: int
    aspect: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def square(self, image: Image.Image) -> Image.Image:
        """The picture as the model sees it, before normalisation: RGB, `side` x `side`."""
        side = self.side
        if self.aspect == "stretch":
            return resize(image, (side, side))
        if self.aspect == "pad":
            return resize_on_square(image, side, _colour(self.mean))
        width, height = image.size
        short = min(width, height)
        # int(), as in transformers: the longer side is truncated, not rounded
        size = (int(side * width / short), int(side * height / short))
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        return resize_part(image, size, (left, top, left + side, top + side))

    def kept(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The box of a picture of size (width, height) that the model sees: left, top, right, bottom in pixels."""
        width, height = size
        if self.aspect != "square":
            return 0, 0, width, height
        left, top = (width - min(size)) / 2, (height - min(size)) / 2
        return left, top, width - left, height - top

    def __call__(self, image: Image.Image) -> NDArray[np.float32]:
        """RGB picture of any size -> (3, side, side) float32."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        pixels: NDArray[np.float32] = np.asarray(self.square(image), np.float32) / np.float32(255)  # (side, side, 3)
        return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))

    @classmethod
    def from_preprocessor(cls, config: dict[str, Any], side: int, aspect: str) -> "PixelTransform":
        """Take mean and std from a Hugging Face preprocessor_config.json. Raises InputError if it has none."""
        try:
            mean, std = tuple(map(float, config["image_mean"])), tuple(map(float, config["image_std"]))
        except KeyError as error:
            raise InputError(
                f"The vision tower's preprocessor_config.json has no {error}; it can't be used as a tower."
            ) from None
        except (TypeError, ValueError):
            mean, std = (), ()
        if {len(mean), len(std)} - {1, 3} or not all(math.isfinite(value) for value in mean + std) or 0 in std:
            raise InputError(
                "The vision tower's preprocessor_config.json has to have three numbers as image_mean and three as "
                f"image_std, none of them 0; found {config['image_mean']!r} and {config['image_std']!r}. Copy it anew "
                "from the model."
            )
        red, green, blue = mean * (3 // len(mean))  # one for all colours
        deviations = std * (3 // len(std))
        return cls(side, aspect, (red, green, blue), (deviations[0], deviations[1], deviations[2]))


def _colour(mean: tuple[float, float, float]) -> tuple[int, int, int]:
    """What LLaVA-1.5 pads with."""
    red, green, blue = (int(value * 255) for value in mean)
    return red, green, blue
