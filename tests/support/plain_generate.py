"""What a whole model's own `generate` answers, to compare ours with."""

from typing import Any

import torch
from PIL import Image

from tests.support.tiny import tiny_picture
from tests.support.tiny_hub import plain_inputs
from vqa_core.model.hub.hub_model import HubModel

LONGEST = 6
ANSWERS_TAUGHT = ("red", "dark blue", "3")
SIZES = [(50, 40), (40, 90), (64, 64), (33, 20)]


def picture(number: int) -> Image.Image:
    return tiny_picture(number).resize(SIZES[number % len(SIZES)])


def generated(model: HubModel, image: Image.Image, question: str) -> tuple[list[int], torch.Tensor]:
    """What plain `generate` gives to one question, and the logits (steps, V) it chose from."""
    inputs = plain_inputs(model.processor, image, question)
    if model.model.config.model_type != "blip":  # which brings its own
        inputs |= {"eos_token_id": sorted(model.stop_ids), "pad_token_id": model.pad_id}
    output: Any = model.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=LONGEST + len(model.lead or [0]) - 1,
        return_dict_in_generate=True,
        output_logits=True,
    )
    ids = output.sequences[0].tolist()[-len(output.logits) :]
    forced = model.lead[1:] if model.lead else ()
    assert tuple(ids[: len(forced)]) == forced
    return [token for token in ids[len(forced) :] if token not in model.stop_ids], torch.cat(output.logits)
