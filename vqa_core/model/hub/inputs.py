"""A whole model's inputs: what its processor makes of a picture and a text, and further tokens behind them."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqa_core.data.pictures.resizing import MOST_BYTES, check_shape
from vqa_core.files import InputError
from vqa_core.model.packing import Prefix

_CROPPING = re.compile(r"(CLIP|Bit|Chameleon)ImageProcessor(Pil|Fast)?")
_COPIED = 10  # bytes of each pixel of a resized picture: Pillow's, and two copies of numpy's
_WIDEST_DRAWN = 10_000  # pixels: Pix2Struct's text grows with the picture, and 2 GB are needed for such a one
_MARGIN = 8  # pixels: more than the filter reaches to
OF_TOKENS = {
    "attention_mask": 1, "mm_token_type_ids": 0, "token_type_ids": 0, "image_embeds_position_mask": 0,
    "image_patches_indices": -1,
}  # fmt: skip
"""Inputs with a value for each token, and the value of a token of text."""


@dataclass(frozen=True, slots=True)
class HubPicture:
    """A preprocessed picture, on the CPU.

    `prefix` is the prompt up to the question, empty where each question goes through the processor with the picture.
    `pixels` are the model's inputs but for tokens, a batch of one; `of_tokens` further inputs with a value for each
    token of the prefix. `image` is the picture itself, `questions` are those that are trained together, `choices`
    their options. `tokens` is how many the prompt without a question takes, by the name of the input; of whole prompts.
    """

    prefix: Prefix
    pixels: dict[str, Tensor]
    of_tokens: dict[str, list[int]]
    image: Image.Image
    questions: tuple[str, ...] = ()
    choices: tuple[tuple[str, ...], ...] = ()
    tokens: dict[str, int] = field(default_factory=dict)


def process(processor: Any, text: str, image: Image.Image, *, adds_special_tokens: bool = True) -> dict[str, Any]:
    """The inputs that a processor makes of a text with one RGB picture: a batch of one, on the CPU.

    Loader threads call it at once: the tokeniser, set up by the first call, is changed by no later one.

    Raises InputError for a picture of a shape that shows nothing, or that the processor refuses.
    """
    check_shape(image.size)
    how = getattr(processor, "image_processor", None)
    if getattr(how, "is_vqa", False) and image.width > _WIDEST_DRAWN:
        raise InputError(
            f"The model's processor takes no picture of {image.width} x {image.height}: it draws the question above, "
            f"as wide as the picture, and {_WIDEST_DRAWN:,} pixels are the most for that."
        )
    image = crop_to_seen(how, image)
    options = {} if adds_special_tokens else {"add_special_tokens": False}
    try:
        inputs = dict(processor(text=[text], images=[image], return_tensors="pt", **options))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"The model's processor takes no picture of {image.width} x {image.height}: {error}"
        ) from error
    inputs.pop("labels", None)  # of no answer
    return inputs


def crop_to_seen(how: Any, image: Image.Image) -> Image.Image:
    """The middle of a picture that an image processor cuts out, where resizing all of it would go beyond the bound.

    Of CLIP's processor and those like it, which resize the shorter side and then cut out the centre.
    """
    if not _CROPPING.fullmatch(type(how).__name__) or not (how.do_resize and how.do_center_crop):
        return image
    side, crop = dict(how.size), dict(how.crop_size)
    if side.keys() != {"shortest_edge"} or crop.keys() != {"height", "width"}:
        return image
    shorter, longer = sorted(image.size)
    scale = side["shortest_edge"] / shorter
    if _COPIED * scale * scale * shorter * longer <= MOST_BYTES:
        return image
    keep = math.ceil(max(crop.values()) / scale) + _MARGIN
    keep += (longer - keep) % 2  # as much on either side, so that the middle stays where it is
    if keep >= longer:
        return image
    cut = (longer - keep) // 2
    box = (cut, 0, cut + keep, shorter) if image.width == longer else (0, cut, shorter, cut + keep)
    return image.crop(box)


def extend_inputs(inputs: dict[str, Any], ids: list[int], token_type: int = 0) -> dict[str, Any]:
    """Inputs of one row with further tokens of text; `token_type` is their value in `token_type_ids`."""
    tokens = inputs["input_ids"]  # (1, T)
    longer = dict(inputs)
    longer["input_ids"] = torch.cat([tokens, torch.tensor([ids], device=tokens.device).long()], dim=1)
    for name, value in (OF_TOKENS | {"token_type_ids": token_type}).items():
        if name in inputs:
            longer[name] = torch.cat([inputs[name], inputs[name].new_full((1, len(ids)), value)], dim=1)
    seen = inputs.get("cross_attention_mask")  # (1, T, images, tiles): all further tokens see what the last one does
    if seen is not None:
        longer["cross_attention_mask"] = torch.cat([seen, seen[:, -1:].expand(-1, len(ids), -1, -1)], dim=1)
    return longer


def drop_last_token(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs of one row without the last token."""
    return {
        name: value[:, :-1] if name == "input_ids" or name in OF_TOKENS else value for name, value in inputs.items()
    }
