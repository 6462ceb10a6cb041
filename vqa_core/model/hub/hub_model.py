"""HubModel: any model of transformers' AutoModelForImageTextToText, by folder or hub id, with its own processor.

Pictures go through its processor (tiles, any number of image tokens), prompts through its chat template where it has
one. Its questions share what vqa_core/model/capabilities.py says; answers are those of its own `generate`, greedy and
without penalties. Each way to ask is a class of its own; vqa_core/model/hub/assembly.py builds one.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.model.capabilities import Sharing
from vqa_core.model.hub.architecture import Architecture, set_ends
from vqa_core.model.hub.inputs import HubPicture
from vqa_core.model.hub.prompt_search import TRIED, find_prompt, own_errors, tried_picture
from vqa_core.model.packing import Prefix
from vqa_core.model.positions import Positions, positions_of
from vqa_core.model.vlm import autocast_of
from vqa_core.prompts.chat_prompt import ChatPrompt
from vqa_core.prompts.text_prompt import TextPrompt


@dataclass(frozen=True, slots=True)
class HubModel(ABC):
    """An image-text model with all that is needed to ask it; an AnyVlm. Shapes: B rows, T tokens, D hidden size.

    `stop_ids` are the tokens that end an answer.
    """

    model: PreTrainedModel
    processor: Any
    architecture: Architecture
    prompt: ChatPrompt | TextPrompt
    settings: ModelSettings
    stop_ids: frozenset[int]

    @abstractmethod
    def preprocess(self, image: Image.Image) -> HubPicture:
        """One RGB picture, and the prompt up to the question; an InputError for a shape that the processor refuses."""

    @abstractmethod
    def question_inputs(
        self,
        picture: HubPicture,
        question: str,
        outputs: Any = None,
        *,
        choices: Sequence[str] = (),
        room: int | None = None,
    ) -> dict[str, Any]:
        """What `generate` takes for one question; `outputs` are those of the vision side, where it has run already.

        Where a question's ids are made here, it is cut to `room` tokens.
        """

    @abstractmethod
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
        """What `forward` takes so that its last logits are those of an answer's tokens, the end included.

        `ids` are the question's; the last token of an answer is learnt, never fed.
        """

    @property
    def language_model(self) -> Any:
        return self.model.get_decoder()

    @property
    def vision_tower(self) -> Any:
        names = ("vision_tower", "vision_model", "visual")
        base = self.model.base_model
        return next((getattr(base, name) for name in names if hasattr(base, name)), base)

    @property
    def sharing(self) -> Sharing:
        return self.architecture.capability.sharing

    @property
    def lead(self) -> tuple[int, ...] | None:
        """The tokens that a decoder with an encoder beside it begins with; None where there is no encoder."""
        return self.architecture.decoder_start

    @property
    def image_token_id(self) -> int:
        """The token that stands for the picture; -1 where there is none."""
        return -1 if self.architecture.image_token_id is None else self.architecture.image_token_id

    @property
    def image_tokens(self) -> int:
        """0: their number depends on the picture."""
        return 0

    @property
    def positions(self) -> Positions:
        return positions_of(self.model.config, self.prompt.tokenizer)

    @property
    def device(self) -> torch.device:
        return self.model.get_input_embeddings().weight.device  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the language model's hidden states."""
        return self.model.get_input_embeddings().weight.dtype  # type: ignore[no-any-return]

    @property
    def attention(self) -> str:
        return str(self.language_model.config._attn_implementation)

    @property
    def pad_id(self) -> int:
        pad = self.prompt.tokenizer.pad_token_id
        return int(self.prompt.end_id if pad in (None, self.image_token_id) else pad)

    def with_prompt(self, settings: ModelSettings) -> Self:
        """The same model with the prompt of `settings`; an InputError where it can't be asked so."""
        prompt = find_prompt(self.processor, settings, self.architecture)
        return replace(self, prompt=prompt, settings=settings, stop_ids=self.stop_ids | {prompt.end_id}).checked()

    def checked(self) -> Self:
        """The model, set to stop at its ends; asked for one token where no table or template says how it is asked.

        Raises InputError, with what went wrong, where it can't be asked.
        """
        set_ends(self.model, self.stop_ids, self.pad_id)
        if isinstance(self.prompt, TextPrompt) or not self.architecture.is_known:
            with own_errors(self.architecture.model_type):
                picture = self.preprocess(tried_picture())
            self._refuse_long_prompt(picture)
            with own_errors(self.architecture.model_type), torch.inference_mode(), self.autocast():
                inputs = self.question_inputs(picture, TRIED[0])
                self.model.generate(**inputs, do_sample=False, max_new_tokens=1)
        return self

    def _refuse_long_prompt(self, picture: HubPicture) -> None:
        taken, most = picture.tokens.get("input_ids", 0), self.positions.row
        if most is not None and taken >= most:
            raise InputError(
                f"The prompt with a small picture takes {taken} tokens, and the model has {most} positions. Shorten the"
                " --instruction, or take a model with more."
            )

    def tiles(self, picture: HubPicture) -> list[Image.Image]:
        """What the processor made of a picture, as pictures again; [] where it gives no (..., 3, height, width)."""
        pixels = picture.pixels.get("pixel_values")
        if pixels is None or pixels.ndim < 4 or pixels.shape[-3] != 3:
            return []
        how = self.processor.image_processor
        tiles = pixels.float().reshape(-1, *pixels.shape[-3:]).permute(0, 2, 3, 1)  # (tiles, height, width, 3)
        tiles = tiles[tiles.flatten(1).any(1)]  # a tile of zeros only fills up their number
        if getattr(how, "do_normalize", True):
            tiles = tiles * torch.tensor(how.image_std) + torch.tensor(how.image_mean)
        if getattr(how, "do_rescale", True):
            tiles = tiles * 255
        return [Image.fromarray(tile.round().clip(0, 255).byte().numpy()) for tile in tiles]

    def stacked(
        self,
        pictures: Sequence[HubPicture],
        questions: Sequence[Sequence[str]] = (),
        choices: Sequence[Sequence[Sequence[str]]] = (),
    ) -> list[Any]:
        """The pictures' inputs, which may differ in size; the whole pictures where questions are rows of their own."""
        if self.sharing is Sharing.PREFIX:
            return [picture.pixels for picture in pictures]
        none: list[Any] = [()] * len(pictures)
        return [
            replace(picture, questions=tuple(asked), choices=tuple(map(tuple, options)))
            for picture, asked, options in zip(pictures, questions or none, choices or none, strict=True)
        ]

    def prefix_of(self, picture: HubPicture) -> Prefix:
        """The picture's own prefix: its length depends on the picture."""
        return picture.prefix

    def image_outputs(self, pixels: dict[str, Tensor]) -> Any:
        """What the model's vision side makes of pictures; `pooler_output` are their image tokens."""
        placed = self.place(pixels)
        with torch.no_grad():
            return self.model.base_model.get_image_features(**placed, return_dict=True)

    def encode_images(self, pixels: Sequence[dict[str, Tensor]]) -> Tensor:
        """Image tokens of all pictures in order, (sum of N, D); pictures whose inputs have one shape go together."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        for index, inputs in enumerate(pixels):
            alike.setdefault(tuple((name, tuple(value.shape)) for name, value in inputs.items()), []).append(index)
        found: dict[int, Tensor] = {}
        for indices in alike.values():
            together = {name: torch.cat([pixels[index][name] for index in indices]) for name in pixels[indices[0]]}
            tokens = self.image_outputs(together).pooler_output
            parts = list(tokens) if isinstance(tokens, list | tuple) else list(tokens.chunk(len(indices)))
            for index, part in zip(indices, parts, strict=True):
                found[index] = part.reshape(-1, part.shape[-1])
        return torch.cat([found[index] for index in range(len(pixels))]).to(self.dtype)

    def embed(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Embeddings (B, T, D) of `input_ids` (B, T), image positions filled from `image_tokens` (sum of N, D)."""
        at_image = torch.eq(input_ids, self.image_token_id)
        if int(at_image.sum()) != len(image_tokens):
            raise ValueError(f"{int(at_image.sum())} image positions for {len(image_tokens)} image tokens")
        embeds = self.model.get_input_embeddings()(input_ids.masked_fill(at_image, self.pad_id))
        return embeds.masked_scatter(at_image[..., None], image_tokens.to(embeds.dtype))  # type: ignore[no-any-return]

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision where trained weights are kept in fp32 beside bf16 ones; else nothing."""
        return autocast_of(self.model, self.device)

    def place(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs on the model's device, fractions in its number format."""
        return {
            name: value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)
            if isinstance(value, Tensor)
            else value
            for name, value in inputs.items()
        }
