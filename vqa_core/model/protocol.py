"""AnyVlm: what inference and training need of a model; Vlm and HubModel both are one."""

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from vqa_core.config import ModelSettings
from vqa_core.model.capabilities import Sharing
from vqa_core.model.packing import Prefix
from vqa_core.model.positions import Positions
from vqa_core.prompts.prompt import Prompt


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
    def prompt(self) -> Prompt: ...

    @property
    def settings(self) -> ModelSettings: ...

    @property
    def sharing(self) -> Sharing: ...

    @property
    def image_token_id(self) -> int:
        """The token that stands in the place of the picture's tokens."""

    @property
    def stop_ids(self) -> frozenset[int]: ...

    @property
    def pad_id(self) -> int: ...

    @property
    def image_tokens(self) -> int: ...

    @property
    def positions(self) -> Positions:
        """For how many tokens the model has positions."""

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def attention(self) -> str: ...

    def with_prompt(self, settings: ModelSettings) -> "AnyVlm":
        """The same model with the prompt style and the instruction of `settings`.

        Raises InputError where a whole model can't be asked so.
        """

    def preprocess(self, image: Image.Image) -> Any:
        """A picture as the model takes it, on the CPU."""

    def stacked(
        self,
        pictures: Sequence[Any],
        questions: Sequence[Sequence[str]] = (),
        choices: Sequence[Sequence[Sequence[str]]] = (),
    ) -> Any:
        """Preprocessed pictures -> what `encode_images` takes, and a training batch holds as `pixel_values`.

        `questions` and their `choices` are those trained with each picture, for models whose processor takes them
        together.
        """

    def prefix_of(self, picture: Any) -> Prefix:
        """What stands before the questions about a preprocessed picture."""

    def encode_images(self, pixels: Any) -> Tensor:
        """All pictures' image tokens in order: (B, N, D), or (sum of N, D) where N differs."""

    def embed(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Embeddings (B, T, D) of `input_ids` (B, T), image positions filled from `image_tokens` in order."""

    def autocast(self) -> contextlib.AbstractContextManager[Any]: ...
