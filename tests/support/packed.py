"""Pictures with questions and answers, packed into a training batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.support.tiny import tiny_picture
from vqa_core.model.collator import collate
from vqa_core.model.packing import Branch, pack
from vqa_core.model.stages import trained_tensors
from vqa_core.model.vlm import Vlm

IMAGES = [
    [("Is there a circle?", "yes"), ("How many?", "3"), ("What colour is the shape?", "dark blue")],
    [("Is it dark?", "no")],
    [
        (f"Which of the {number} shapes is it?", answer)
        for number, answer in enumerate(["red", "원", "none", "no", "dark"])
    ],
    [("How many?", "a rather long answer of many tokens"), ("색은?", "red")],
]


def branches_of(vlm: Vlm, pairs: Sequence[tuple[str, str]]) -> list[Branch]:
    prompt = vlm.prompt
    return [Branch(prompt.branch_ids(q)[0], [*prompt.answer_ids(a), prompt.end_id]) for q, a in pairs]


def packed_batch(vlm: Vlm, images: Sequence[Sequence[tuple[str, str]]]) -> dict[str, Tensor]:
    rows = [
        pack(vlm.prompt.prefix_ids, vlm.image_token_id, vlm.image_tokens, branches_of(vlm, pairs)) for pairs in images
    ]
    pictures = [tiny_picture(number) for number in range(len(images))]
    return {"pixel_values": vlm.pixels(pictures), **collate(rows, vlm.pad_id)}


def randomise_lora(vlm: Vlm) -> None:
    """LoRA's second matrices start at 0, where the first ones have no gradient to compare."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in trained_tensors(vlm).items():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
