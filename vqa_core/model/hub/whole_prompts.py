"""Models whose questions share nothing: each goes through the processor with the picture, as one whole prompt.

PaliGemma, BLIP-2 and their like; models with cross-attention to the picture; every architecture nobody looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.inputs import HubPicture, drop_last_token, extend_inputs, process
from vqa_core.model.packing import Prefix


@dataclass(frozen=True, slots=True)
class WholePromptModel(HubModel):
    """A model that is given all that its processor makes of a question; an answer follows the question's tokens."""

    def preprocess(self, image: Image.Image) -> HubPicture:
        """One RGB picture, for a look at its tiles; an InputError for a shape that the processor refuses."""
        inputs = self._process("", image)
        return HubPicture(Prefix([]), {name: inputs[name] for name in inputs if name == "pixel_values"}, {}, image)

    def question_inputs(
        self, picture: HubPicture, question: str, outputs: Any = None, *, choices: Sequence[str] = ()
    ) -> dict[str, Any]:
        """What `generate` takes for one question: nothing is shared, so `outputs` are not used."""
        inputs = self._process(question, picture.image, choices)
        if self.prompt.closed and not self.architecture.capability.begins:
            inputs = drop_last_token(inputs)
        return self.place(inputs)

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
        """What `forward` takes for a question and its answer: `ids` are counted only, the processor makes its own."""
        inputs = self.question_inputs(picture, question, choices=choices)
        capability = self.architecture.capability
        if capability.begins:  # what `generate` itself does to a prompt
            inputs = drop_last_token(inputs) if self.prompt.closed else inputs
            inputs["input_ids"][:, 0] = self.model.config.get_text_config().bos_token_id
        return extend_inputs(inputs, answer[:-1], capability.answer_token_type)

    def _process(self, question: str, image: Image.Image, choices: Sequence[str] = ()) -> dict[str, Any]:
        text = self.prompt.whole_text(question, choices)
        return process(self.processor, text, image, adds_special_tokens=self.prompt.adds_special_tokens)


@dataclass(frozen=True, slots=True)
class EncoderDecoder(WholePromptModel):
    """A model whose encoder reads the question; an answer is the decoder's, behind the tokens that it begins with."""

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
        """What `forward` takes for a question and its answer, which goes to the decoder."""
        inputs = self.question_inputs(picture, question, choices=choices)
        start = self._decoder_start(inputs.pop("decoder_input_ids", None))
        inputs.pop("decoder_attention_mask", None)  # 1 for each, as without one
        return inputs | {"decoder_input_ids": torch.tensor([[*start, *answer[:-1]]], device=self.device)}

    def _decoder_start(self, prompt: Tensor | None) -> list[int]:
        """What the decoder begins with: its own first tokens, or as `generate` has it a `prompt` (1, T) for it."""
        start = list(self.lead or ())
        if prompt is None:
            return start
        ids: list[int] = prompt[0].tolist()
        return ids if ids[:1] == start[:1] else start[:1] + ids
