"""HubModel: any model of transformers' AutoModelForImageTextToText, by folder or hub id, with its own processor.

Pictures go through its processor (tiles, any number of image tokens), prompts through its chat template where it has
one. Its questions share what vqa_core/model/capabilities.py says; answers are those of its own `generate`, greedy and
without penalties. vqa_core/model/hub/assembly.py makes one.
"""

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.model.capabilities import Capability, Sharing
from vqa_core.model.packing import Prefix
from vqa_core.model.vlm import autocast_of
from vqa_core.prompts.chat_prompt import ChatPrompt
from vqa_core.prompts.text_prompt import TextPrompt

# Inputs with a value for each token, and that of a token of text.
_OF_TOKENS = {
    "attention_mask": 1, "mm_token_type_ids": 0, "token_type_ids": 0, "image_embeds_position_mask": 0,
    "image_patches_indices": -1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HubPicture:
    """A picture as its processor gives it, on the CPU.

    `prefix` is the prompt up to the question; `pixels` the model's inputs but for tokens, batch of one; `of_tokens`
    further inputs with a value for each token of the prefix. `image` is the picture itself, `questions` are those that
    are trained together.
    """

    prefix: Prefix
    pixels: dict[str, Tensor]
    of_tokens: dict[str, list[int]]
    image: Image.Image
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HubModel:
    """An image-text model with all that is needed to ask it; an AnyVlm. Shapes: B rows, T tokens, D hidden size.

    `lead` are the tokens that a decoder with an encoder beside it begins with; None where there is no encoder.
    `image_token_id` is -1 where the text has no token for the picture.
    """

    model: PreTrainedModel
    processor: Any
    prompt: ChatPrompt | TextPrompt
    capability: Capability
    settings: ModelSettings
    stop_ids: frozenset[int]
    image_token_id: int
    lead: tuple[int, ...] | None = None

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
        return self.capability.sharing

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

    def preprocess(self, image: Image.Image) -> HubPicture:
        """One RGB picture, and the prompt up to the question; an InputError for a shape that the processor refuses."""
        if isinstance(self.prompt, TextPrompt):  # each question is processed with the picture
            made = self.processed(self.prompt.whole_text(""), image)
            return HubPicture(Prefix([]), {name: made[name] for name in made if name == "pixel_values"}, {}, image)
        inputs = self.processed(self.prompt.before_text, image)
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

    def processed(self, text: str, image: Image.Image) -> dict[str, Any]:
        """What the processor makes of a text with one picture, a batch of one on the CPU.

        Loader threads call it at once: the tokeniser, set up by the first call, is changed by no later one.
        """
        whole = isinstance(self.prompt, TextPrompt) or self.prompt.adds_special_tokens
        how = {} if whole else {"add_special_tokens": False}
        try:
            made = dict(self.processor(text=[text], images=[image], return_tensors="pt", **how))
            made.pop("labels", None)  # of no answer
            return made
        except (ValueError, ZeroDivisionError) as error:
            raise InputError(
                f"The model's processor takes no picture of {image.width} x {image.height}: {error}"
            ) from error

    def _axes(self, ids: Tensor, pixels: dict[str, Tensor]) -> list[list[int]] | None:
        """The three positions of each token of `ids` (1, P), for models that have three and share a prefix."""
        if not self.capability.mrope or self.sharing is not Sharing.PREFIX:
            return None
        of_image = (ids == self.image_token_id).int()
        given = {name: value for name, value in pixels.items() if name.endswith("_grid_thw")}
        axes, _ = self.model.base_model.get_rope_index(ids, mm_token_type_ids=of_image, **given)  # (3, 1, P)
        return axes[:, 0].tolist()  # type: ignore[no-any-return]

    def stacked(self, pictures: Sequence[HubPicture], questions: Sequence[Sequence[str]] = ()) -> list[Any]:
        """The pictures' inputs, which may differ in size; the whole pictures where questions are rows of their own."""
        if self.sharing is Sharing.PREFIX:
            return [picture.pixels for picture in pictures]
        asked = questions or [()] * len(pictures)
        return [replace(picture, questions=tuple(each)) for picture, each in zip(pictures, asked, strict=True)]

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
        ids = picture.prefix.ids
        rows = {"input_ids": ids, "attention_mask": [1] * len(ids)} | picture.of_tokens
        inputs: dict[str, Any] = {name: torch.tensor([values], device=self.device) for name, values in rows.items()}
        for name, value in picture.pixels.items():
            if outputs is None or name.endswith("_grid_thw"):  # grids are for the positions, too
                inputs[name] = self._placed(value)
        if outputs is not None:
            inputs["mm_encoder_outputs"] = {"image": copy.copy(outputs)}  # `generate` writes into both
        return self._extended(inputs, branch_ids)

    def question_inputs(self, picture: HubPicture, question: str, outputs: Any = None) -> dict[str, Any]:
        """What `generate` takes for one question; of a model nobody looked at, all that its processor makes of it."""
        if self.sharing is not Sharing.NOTHING:
            return self.row_inputs(picture, self.prompt.branch_ids(question)[0], outputs)
        inputs = self.processed(self.prompt.whole_text(question), picture.image)
        if not self.capability.begins:
            inputs = self._opened(inputs)
        return {name: self._placed(value) if isinstance(value, Tensor) else value for name, value in inputs.items()}

    def _opened(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs without the token that closes a prompt, where the processor puts one there."""
        if not (isinstance(self.prompt, TextPrompt) and self.prompt.closing):
            return inputs
        return {
            name: value[:, :-1] if name == "input_ids" or name in _OF_TOKENS else value
            for name, value in inputs.items()
        }

    def taught_inputs(
        self, picture: HubPicture, question: str, ids: list[int], answer: list[int], outputs: Any = None
    ) -> dict[str, Any]:
        """What `forward` takes so that its last logits are those of an answer's tokens, the end included.

        `ids` are the question's, what `generate` gets of a prompt; the last token of an answer is learnt, never fed.
        """
        if self.lead is not None:
            inputs = self.question_inputs(picture, question, outputs)
            begun = self._begun(inputs.pop("decoder_input_ids", None))
            inputs.pop("decoder_attention_mask", None)  # 1 for each, as without one
            return inputs | {"decoder_input_ids": torch.tensor([[*begun, *answer[:-1]]], device=self.device)}
        if self.sharing is Sharing.NOTHING:  # as it is asked: what stands before a question may depend on that
            inputs = self.question_inputs(picture, question)
            if self.capability.begins:
                inputs = self._opened(inputs)
                inputs["input_ids"][:, 0] = self.model.config.get_text_config().bos_token_id
            return self._extended(inputs, answer[:-1], self.capability.answer_token_type)
        return self.row_inputs(picture, ids + answer[:-1], outputs)

    def _begun(self, prompt: Tensor | None) -> list[int]:
        """What a decoder begins with: its own first tokens, or as `generate` has it a `prompt` (1, T) for it."""
        lead = list(self.lead or ())
        if prompt is None:
            return lead
        ids: list[int] = prompt[0].tolist()
        return ids if ids[:1] == lead[:1] else lead[:1] + ids

    def _extended(self, inputs: dict[str, Any], ids: list[int], kind: int = 0) -> dict[str, Any]:
        """Inputs of one row with further tokens of text; `kind` is their value in `token_type_ids`."""
        longer = dict(inputs)
        longer["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([ids], device=self.device).long()], dim=1)
        for name, value in (_OF_TOKENS | {"token_type_ids": kind}).items():
            if name in inputs:
                longer[name] = torch.cat([inputs[name], inputs[name].new_full((1, len(ids)), value)], dim=1)
        seen = inputs.get("cross_attention_mask")  # (1, T, images, tiles): all that follows sees what the last does
        if seen is not None:
            longer["cross_attention_mask"] = torch.cat([seen, seen[:, -1:].expand(-1, len(ids), -1, -1)], dim=1)
        return longer

    def _placed(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)
