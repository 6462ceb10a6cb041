"""BranchingModel: a whole model whose questions branch off from a picture's prefix, or from its encoding."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqa_core.model.capabilities import Sharing
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.inputs import OF_TOKENS, HubPicture, extend_inputs, process
from vqa_core.model.packing import Prefix
from vqa_core.prompts.chat_prompt import ChatPrompt


@dataclass(frozen=True, slots=True)
class BranchingModel(HubModel):
    """A model with a chat template. The processor gets a picture with the opening of the prompt; ids of a question
    follow the ids that it makes of that.
    """

    prompt: ChatPrompt

    def preprocess(self, image: Image.Image) -> HubPicture:
        """One RGB picture, and the prompt up to the question; an InputError for a shape that the processor refuses."""
        opening = self.prompt.opening
        inputs = process(self.processor, opening.text, image, adds_special_tokens=opening.adds_special_tokens)
        ids: Tensor = inputs.pop("input_ids")
        ids = ids[:, : ids.shape[1] - self.prompt.trailing]  # (1, P)
        of_tokens = {name: inputs.pop(name)[0, : ids.shape[1]].tolist() for name in OF_TOKENS if name in inputs}
        pixels = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
        return HubPicture(Prefix(ids[0].tolist(), self._axes(ids, pixels)), pixels, of_tokens, image)

    def question_inputs(
        self,
        picture: HubPicture,
        question: str,
        outputs: Any = None,
        *,
        choices: Sequence[str] = (),
        room: int | None = None,
    ) -> dict[str, Any]:
        """What `generate` takes for one question: the picture's inputs, or what the vision side made of them."""
        return self._row_inputs(picture, self.prompt.branch_ids(question, choices, budget=room)[0], outputs)

    def training_inputs(
        self,
        picture: HubPicture,
        question: str,
        ids: list[int],
        answer: list[int],
        outputs: Any = None,
        *,
        choices: Sequence[str] = (),
    ) -> dict[str, Any]:
        """What `forward` takes for a question's `ids`, which may have been cut, and its answer."""
        return self._row_inputs(picture, ids + answer[:-1], outputs)

    def _row_inputs(self, picture: HubPicture, branch_ids: list[int], outputs: Any) -> dict[str, Any]:
        ids = picture.prefix.ids
        rows = {"input_ids": ids, "attention_mask": [1] * len(ids)} | picture.of_tokens
        inputs: dict[str, Any] = {name: torch.tensor([values], device=self.device) for name, values in rows.items()}
        # with the vision side's outputs only the grids are needed, for the positions
        pixels = {name: value for name, value in picture.pixels.items() if outputs is None or _is_grid(name)}
        inputs |= self.place(pixels)
        if outputs is not None:
            inputs["mm_encoder_outputs"] = {"image": copy.copy(outputs)}  # `generate` writes into both
        return extend_inputs(inputs, branch_ids)

    def _axes(self, ids: Tensor, pixels: dict[str, Tensor]) -> list[list[int]] | None:
        """The three positions of each token of `ids` (1, P), for models that have three and share a prefix."""
        if not self.architecture.capability.mrope or self.sharing is not Sharing.PREFIX:
            return None
        of_image = torch.eq(ids, self.image_token_id).int()
        grids = {name: value for name, value in pixels.items() if _is_grid(name)}
        axes, _ = self.model.base_model.get_rope_index(ids, mm_token_type_ids=of_image, **grids)  # (3, 1, P)
        return axes[:, 0].tolist()  # type: ignore[no-any-return]


def _is_grid(name: str) -> bool:
    """Whether an input says how many patches a picture has along each axis."""
    return name.endswith("_grid_thw")
