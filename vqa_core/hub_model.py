"""HubModel: any model of transformers' AutoModelForImageTextToText, by folder or hub id, with its own processor.

Pictures go through its processor (tiles, any number of image tokens), prompts through its chat template. Its questions
share what vqa_core/capabilities.py says; answers are those of its own `generate`, greedy and without penalties.
"""

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from vqa_core.any_vlm import AnyVlm
from vqa_core.capabilities import Capability, capability_of
from vqa_core.chat_prompt import ChatPrompt, check_own_ways, with_own_prompt
from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.hub_loading import load_image_text_model
from vqa_core.loading import LoadOptions, load_in_of
from vqa_core.packing import FLASH, Prefix, check_backend
from vqa_core.vlm import autocast_of, best_device, build_vlm

_OF_TOKENS = ("attention_mask", "mm_token_type_ids", "token_type_ids")  # inputs with a value for each token


@dataclass(frozen=True, slots=True)
class HubPicture:
    """A picture as its processor gives it, on the CPU.

    `prefix` is the prompt up to the question; `pixels` the model's inputs but for tokens, batch of one; `of_tokens`
    further inputs with a value for each token of the prefix. `image` is the picture itself.
    """

    prefix: Prefix
    pixels: dict[str, Tensor]
    of_tokens: dict[str, list[int]]
    image: Image.Image


@dataclass(frozen=True, slots=True)
class HubModel:
    """An image-text model with all that is needed to ask it; an AnyVlm. Shapes: B rows, T tokens, D hidden size."""

    model: PreTrainedModel
    processor: Any
    prompt: ChatPrompt
    capability: Capability
    settings: ModelSettings
    stop_ids: frozenset[int]
    image_token_id: int

    @property
    def language_model(self) -> Any:
        return self.model.get_decoder()

    @property
    def vision_tower(self) -> Any:
        names = ("vision_tower", "vision_model", "visual")
        base = self.model.base_model
        return next((getattr(base, name) for name in names if hasattr(base, name)), base)

    @property
    def sharing(self) -> str:
        return self.capability.share

    @property
    def image_tokens(self) -> int:
        """0: their number depends on the picture."""
        return 0

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

    def asking(self, settings: ModelSettings) -> "HubModel":
        """The same model with the instruction of `settings`; its prompt style is its own chat template."""
        return _following(replace(self, prompt=_prompt_of(self.processor, settings), settings=settings))

    def see(self, image: Image.Image) -> HubPicture:
        """One RGB picture, and the prompt up to the question; an InputError for a shape that the processor refuses."""
        inputs = self._processed(self.prompt.before_text, image)
        ids: Tensor = inputs.pop("input_ids")
        ids = ids[:, : ids.shape[1] - self.prompt.trailing]  # (1, P)
        of_tokens = {name: inputs.pop(name)[0, : ids.shape[1]].tolist() for name in _OF_TOKENS if name in inputs}
        pixels = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
        return HubPicture(Prefix(ids[0].tolist(), self._axes(ids, pixels)), pixels, of_tokens, image)

    def tiles(self, picture: HubPicture) -> list[Image.Image]:
        """What the processor made of a picture, as pictures again; [] where it gives no (..., 3, height, width)."""
        pixels = picture.pixels.get("pixel_values")
        if pixels is None or pixels.ndim < 4 or pixels.shape[-3] != 3:
            return []
        how = self.processor.image_processor
        tiles = pixels.float().reshape(-1, *pixels.shape[-3:]).permute(0, 2, 3, 1)  # (tiles, height, width, 3)
        tiles = tiles[tiles.flatten(1).any(1)]  # what only fills up their number is 0
        if getattr(how, "do_normalize", True):
            tiles = tiles * torch.tensor(how.image_std) + torch.tensor(how.image_mean)
        if getattr(how, "do_rescale", True):
            tiles = tiles * 255
        return [Image.fromarray(tile.round().clip(0, 255).byte().numpy()) for tile in tiles]

    def _processed(self, text: str, image: Image.Image) -> dict[str, Any]:
        """What the processor makes of a text with one picture, a batch of one on the CPU.

        Loader threads call it at once: the tokeniser, set up by the first call, is changed by no later one.
        """
        how = {} if self.prompt.adds_special_tokens else {"add_special_tokens": False}
        try:
            return dict(self.processor(text=[text], images=[image], return_tensors="pt", **how))
        except (ValueError, ZeroDivisionError) as error:
            raise InputError(
                f"The model's processor takes no picture of {image.width} x {image.height}: {error}"
            ) from error

    def _axes(self, ids: Tensor, pixels: dict[str, Tensor]) -> list[list[int]] | None:
        """The three positions of each token of `ids` (1, P), for models that have three and share a prefix."""
        if self.capability.positions != "mrope" or self.sharing != "kv":
            return None
        of_image = (ids == self.image_token_id).int()
        given = {name: value for name, value in pixels.items() if name.endswith("_grid_thw")}
        axes, _ = self.model.base_model.get_rope_index(ids, mm_token_type_ids=of_image, **given)  # (3, 1, P)
        return axes[:, 0].tolist()  # type: ignore[no-any-return]

    def stacked(self, pictures: Sequence[HubPicture]) -> list[Any]:
        """The pictures' inputs, which may differ in size; the whole pictures where questions are rows of their own."""
        return [picture.pixels if self.sharing == "kv" else picture for picture in pictures]

    def prefix_of(self, picture: HubPicture) -> Prefix:
        """The picture's own prefix: its length depends on the picture."""
        return picture.prefix

    def image_outputs(self, pixels: dict[str, Tensor]) -> Any:
        """What the model's vision side makes of pictures; `pooler_output` are their image tokens."""
        given = {name: self._placed(value) for name, value in pixels.items()}
        with torch.no_grad():
            return self.model.base_model.get_image_features(**given, return_dict=True)

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
        at_image = input_ids == self.image_token_id
        if int(at_image.sum()) != len(image_tokens):
            raise ValueError(f"{int(at_image.sum())} image positions for {len(image_tokens)} image tokens")
        embeds = self.model.get_input_embeddings()(input_ids.masked_fill(at_image, self.pad_id))
        return embeds.masked_scatter(at_image[..., None], image_tokens.to(embeds.dtype))  # type: ignore[no-any-return]

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision where trained weights are kept in fp32 beside bf16 ones; else nothing."""
        return autocast_of(self.model, self.device)

    def row_inputs(self, picture: HubPicture, branch_ids: list[int], outputs: Any = None) -> dict[str, Any]:
        """What `generate` takes for one question: the picture's inputs, or what the vision side made of them."""
        ids = picture.prefix.ids + branch_ids
        rows: dict[str, Any] = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        rows |= {name: values + [0] * len(branch_ids) for name, values in picture.of_tokens.items() if name not in rows}
        inputs: dict[str, Any] = {name: torch.tensor([values], device=self.device) for name, values in rows.items()}
        for name, value in picture.pixels.items():
            if name == "cross_attention_mask":  # (1, P, images, tiles): what follows sees the picture as the last does
                value = torch.cat([value, value[:, -1:].expand(-1, len(branch_ids), -1, -1)], dim=1)
            if outputs is None or name.endswith("_grid_thw"):  # grids are for the positions, too
                inputs[name] = self._placed(value)
        if outputs is not None:
            inputs["mm_encoder_outputs"] = {"image": copy.copy(outputs)}  # `generate` writes into both
        return inputs

    def question_inputs(self, picture: HubPicture, question: str, outputs: Any = None) -> dict[str, Any]:
        """What `generate` takes for one question; of a model nobody looked at, all that its processor makes of it."""
        if self.sharing != "nothing":
            return self.row_inputs(picture, self.prompt.branch_ids(question)[0], outputs)
        inputs = self._processed(self.prompt.whole_text(question), picture.image)
        return {name: self._placed(value) if isinstance(value, Tensor) else value for name, value in inputs.items()}

    def _placed(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)


def build_hub_model(
    settings: ModelSettings,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    options: LoadOptions | None = None,
) -> HubModel:
    """The model that `settings.base_model` names, frozen and in `eval` mode.

    Its prompt is that of `settings` where they have the text of one, else what its template writes now; the settings of
    what comes back have the text. Raises InputError when it can't be loaded, is no image-text model or has no processor
    or chat template, and for settings that are those of parts.
    """
    check_own_ways(settings)
    options = options or LoadOptions.of(settings)
    model, processor = load_image_text_model(settings.base_model, dtype=dtype, attention=attention, options=options)
    if load_in_of(model) == "full":  # in few bits it is on its device already
        model = model.to(best_device())
    return assemble_hub_model(model, processor, settings)


def assemble_hub_model(model: PreTrainedModel, processor: Any, settings: ModelSettings) -> HubModel:
    """Put a loaded model and its processor together. Its generation settings go: only its end tokens are kept."""
    image_token_id = getattr(model.config, "image_token_id", getattr(processor, "image_token_id", None))
    if image_token_id is None or not getattr(processor, "image_token", None):
        raise InputError(
            f"A model of type {model.config.model_type!r} can't be asked: its prompts have no token for the picture."
        )
    settings = with_own_prompt(settings, processor)
    prompt = _prompt_of(processor, settings)
    ends = model.generation_config.eos_token_id if model.generation_config else None
    capability = capability_of(model.config)
    attention = str(model.get_decoder().config._attn_implementation)
    if capability.share == "kv" and attention == FLASH:  # exact for plain rows alone
        capability = replace(capability, share="vision", mask="own")
    if capability.share == "kv":
        check_backend(attention)
    model.generation_config = GenerationConfig()  # greedy, no more: penalties and sampling would change answers
    hub = HubModel(
        model=model,
        processor=processor,
        prompt=prompt,
        capability=capability,
        settings=settings,
        stop_ids=frozenset({prompt.end_id, *(ends if isinstance(ends, list) else [ends])} - {None}),
        image_token_id=int(image_token_id),
    )
    return _following(hub)


def _prompt_of(processor: Any, settings: ModelSettings) -> ChatPrompt:
    return ChatPrompt(processor, settings.instruction, settings.prompt_style)


def _following(hub: HubModel) -> HubModel:
    hub.prompt.follow(hub.see(Image.new("RGB", (64, 64), "grey")).prefix.ids)
    return hub


def build_any(
    settings: ModelSettings,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    seed: int = 0,
    options: LoadOptions | None = None,
) -> AnyVlm:
    """A whole image-text model where the settings name one, else a LLaVA of their parts."""
    if settings.base_model:
        return build_hub_model(settings, dtype=dtype, attention=attention, options=options)
    return build_vlm(settings, dtype=dtype, attention=attention, seed=seed, options=options)
