"""A whole model's inputs: what its processor makes of a picture and a text, and further tokens behind them."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqa_core.data.pictures.resizing import check_shape
from vqa_core.files import InputError
from vqa_core.model.packing import Prefix

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
    their options.
    """

    prefix: Prefix
    pixels: dict[str, Tensor]
    of_tokens: dict[str, list[int]]
    image: Image.Image
    questions: tuple[str, ...] = ()
    choices: tuple[tuple[str, ...], ...] = ()


def process(processor: Any, text: str, image: Image.Image, *, adds_special_tokens: bool = True) -> dict[str, Any]:
    """The inputs that a processor makes of a text with one RGB picture: a batch of one, on the CPU.

    Loader threads call it at once: the tokeniser, set up by the first call, is changed by no later one.

    Raises InputError for a picture of a shape that shows nothing, or that the processor refuses.
    """
    check_shape(image)
    options = {} if adds_special_tokens else {"add_special_tokens": False}
    try:
        inputs = dict(processor(text=[text], images=[image], return_tensors="pt", **options))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"The model's processor takes no picture of {image.width} x {image.height}: {error}"
        ) from error
    inputs.pop("labels", None)  # of no answer
    return inputs


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
