"""AnyVlm: what engine, decoding and training ask of a model; Vlm and HubModel both are one."""

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from vqa_core.config import ModelSettings
from vqa_core.model.capabilities import Sharing
from vqa_core.model.packing import Prefix


class Prompt(Protocol):
    """Token ids of a prompt: PromptEncoder, ChatPrompt and TextPrompt. `cuts` is whether questions may be shortened."""

    cuts: bool
    tokenizer: Any
    end_id: int
    prefix_ids: list[int]

    def text(self, question: str) -> str: ...

    def branch_ids(self, question: str, budget: int | None = None) -> tuple[list[int], int]: ...

    def answer_ids(self, answer: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


class AnyVlm(Protocol):
    """A vision-language model that can be asked and trained. Shapes: B rows, T tokens, D hidden size.

    `model` has the head as `lm_head`; `language_model` takes inputs_embeds, attention_mask, position_ids and a cache.
    `sharing` is what the questions about a picture share.
    """

    @property
    def model(self) -> Any: ...

    @property
    def language_model(self) -> Any: ...

    @property
    def vision_tower(self) -> Any: ...

    @property
    def prompt(self) -> Any: ...

    @property
    def settings(self) -> ModelSettings: ...

    @property
    def sharing(self) -> Sharing: ...

    @property
    def stop_ids(self) -> frozenset[int]: ...

    @property
    def pad_id(self) -> int: ...

    @property
    def image_tokens(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def attention(self) -> str: ...

    def preprocess(self, image: Image.Image) -> Any:
        """A picture as the model takes it, on the CPU."""

    def stacked(self, pictures: Sequence[Any], questions: Sequence[Sequence[str]] = ()) -> Any:
        """Pictures that were seen -> what `encode_images` takes, and a training batch holds as `pixel_values`.

        `questions` are those trained with each picture, for models whose processor takes them together.
        """

    def prefix_of(self, picture: Any) -> Prefix:
        """What stands before the questions about a picture that was seen."""

    def encode_images(self, pixels: Any) -> Tensor:
        """All pictures' image tokens in order: (B, N, D), or (sum of N, D) where N differs."""

    def embed(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Embeddings (B, T, D) of `input_ids` (B, T), image positions filled from `image_tokens` in order."""

    def autocast(self) -> contextlib.AbstractContextManager[Any]: ...
