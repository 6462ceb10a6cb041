"""Models whose questions share nothing: each goes through the processor with the picture, as one whole prompt.

PaliGemma, BLIP-2 and their like; models with cross-attention to the picture; every architecture nobody looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqa_core.files import InputError
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.inputs import HubPicture, drop_last_token, extend_inputs, process
from vqa_core.model.packing import Prefix
from vqa_core.settings import shown

_TEXTS = ("input_ids", "decoder_input_ids", "qformer_input_ids")


@dataclass(frozen=True, slots=True)
class WholePromptModel(HubModel):
    """A model that is given all that its processor makes of a question; an answer follows the question's tokens."""

    def preprocess(self, image: Image.Image) -> HubPicture:
        """One RGB picture, for a look at its tiles; an InputError for a shape that the processor refuses."""
        inputs = self._process("", image)
        pixels = {name: inputs[name] for name in inputs if name == "pixel_values"}
        tokens = {name: inputs[name].shape[1] for name in _TEXTS if name in inputs}
        return HubPicture(Prefix([]), pixels, {}, image, tokens=tokens)

    def room(self, answer: int) -> dict[str, int]:
        """The most tokens of each of the processor's texts, where an answer takes up to `answer`; {} for any number."""
        positions = self.positions
        behind = 0 if self.architecture.decoder_start is not None else answer - 1
        most = {
            "input_ids": positions.row and positions.row - behind,
            "decoder_input_ids": positions.decoder and positions.decoder - (answer - 1),
            "qformer_input_ids": positions.reader,
        }
        return {name: number for name, number in most.items() if number is not None}

    def tokens_over(self, picture: HubPicture, question: str, choices: Sequence[str], answer: int) -> int:
        """How many tokens of a question and its options are too many; 0 or less where they fit."""
        inputs = self._process(question, picture.image, choices)
        return max(
            (inputs[name].shape[1] - most for name, most in self.room(answer).items() if name in inputs), default=0
        )

    def question_inputs(
        self,
        picture: HubPicture,
        question: str,
        outputs: Any = None,
        *,
        choices: Sequence[str] = (),
        room: int | None = None,
    ) -> dict[str, Any]:
        """What `generate` takes for one question: nothing is shared, so `outputs` are not used."""
        inputs = self._process(question, picture.image, choices)
        if self.prompt.is_broken_up(question, choices):
            self._refuse_marks(inputs, question, picture)
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
        return self._process_text(self.prompt.whole_text(question, choices), image)

    def _process_text(self, text: str, image: Image.Image) -> dict[str, Any]:
        return process(self.processor, text, image, adds_special_tokens=self.prompt.adds_special_tokens)

    def _refuse_marks(self, inputs: dict[str, Any], question: str, picture: HubPicture) -> None:
        """Raise InputError if text of a question became tokens that only the processor may write."""
        bare = self._process_text(self.prompt.bare_text(), picture.image)
        counts = [
            self.prompt.count_controls(each["input_ids"][0].tolist()) for each in (inputs, bare) if "input_ids" in each
        ]
        if len(set(counts)) > 1:
            raise InputError(
                f"The question {shown(question)} has text in it that this model's processor takes for its own tokens. "
                "Write it otherwise, such as without brackets."
            )


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
