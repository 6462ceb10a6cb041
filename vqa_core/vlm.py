"""Vlm: a vision tower, a projector and a language model as one LLaVA; built from parts, or read from a model folder.

The embedded parts are a default like any other: a Hugging Face folder or a hub id may stand in for either.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
)
from transformers.image_processing_base import ImageProcessingMixin

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.pixels import PixelTransform
from vqa_core.pretrained import resolve_language_model, resolve_vision_tower
from vqa_core.projectors import build_projector
from vqa_core.prompts import PromptEncoder

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Vlm:
    """A model with all that is needed to ask it: prompt encoder and pixel transform.

    N is `image_tokens`, the image tokens of one picture; `image_token_id` stands in their place in token ids and is
    never embedded. Shapes: B rows, T tokens, D hidden size, V vocabulary.
    """

    model: LlavaForConditionalGeneration
    prompt: PromptEncoder
    transform: PixelTransform
    settings: ModelSettings
    image_token_id: int
    image_tokens: int

    @property
    def vision_tower(self) -> PreTrainedModel:
        return self.model.model.vision_tower

    @property
    def projector(self) -> nn.Module:
        return self.model.model.multi_modal_projector  # type: ignore[no-any-return]

    @property
    def language_model(self) -> PreTrainedModel:
        return self.model.model.language_model

    @property
    def device(self) -> torch.device:
        return self.model.lm_head.weight.device  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the language model's hidden states."""
        return self.model.lm_head.weight.dtype  # type: ignore[no-any-return]

    @property
    def attention(self) -> str:
        return str(self.model.model.language_model.config._attn_implementation)

    @property
    def pad_id(self) -> int:
        pad = self.prompt.tokenizer.pad_token_id
        return int(self.prompt.end_id if pad is None else pad)

    def pixels(self, images: list[Image.Image]) -> Tensor:
        """RGB pictures -> (B, 3, side, side) float32 on the CPU."""
        return torch.stack([torch.from_numpy(self.transform(image)) for image in images])

    def image_features(self, pixels: Tensor) -> Tensor:
        """(B, 3, side, side) -> the tower's patch features (B, S, D_v), class and register tokens dropped."""
        tower = self.vision_tower
        side = self.transform.side // tower.config.patch_size
        extra: dict[str, Any] = {}
        if self.transform.side != tower.config.image_size and tower.config.model_type != "dinov2":
            extra["interpolate_pos_encoding"] = True  # DINOv2 always does, the others on request
        dtype = next(tower.parameters()).dtype
        states = tower(pixels.to(self.device, dtype), output_hidden_states=True, **extra).hidden_states
        features: Tensor = states[self.settings.vision_feature_layer]
        return features[:, features.shape[1] - side * side :]

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, side, side) -> image tokens (B, N, D)."""
        frozen = not any(parameter.requires_grad for parameter in self.vision_tower.parameters())
        with torch.no_grad() if frozen else contextlib.nullcontext():
            features = self.image_features(pixels)
        projector_dtype = next(self.projector.parameters()).dtype
        return self.projector(features.to(projector_dtype)).to(self.dtype)  # type: ignore[no-any-return]

    def embed(self, input_ids: Tensor, image_tokens: Tensor) -> Tensor:
        """Embeddings (B, T, D) of `input_ids` (B, T), image positions filled from `image_tokens` (B, N, D) in order."""
        at_image = input_ids == self.image_token_id
        embeds = self.model.get_input_embeddings()(input_ids.masked_fill(at_image, self.pad_id))
        return embeds.masked_scatter(at_image[..., None], image_tokens.to(embeds.dtype))  # type: ignore[no-any-return]

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision where trained weights are kept in fp32 beside bf16 ones; else nothing."""
        formats = {parameter.dtype for parameter in self.model.parameters()}
        if len(formats) > 1:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()


def best_device() -> torch.device:
    """The first CUDA device, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where the processor multiplies in it (Ampere and later, AVX512-BF16, AMX), else fp32."""
    if precision != "auto":
        return DTYPES[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    fast = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if fast else torch.float32


def build_vlm(
    settings: ModelSettings, *, dtype: torch.dtype = torch.float32, attention: str = "sdpa", seed: int = 0
) -> Vlm:
    """A Vlm from its parts, the projector freshly initialised from `seed` in fp32; parts are frozen and in `eval` mode.

    Raises InputError when a part can't be loaded or the parts don't fit.
    """
    tower, tower_path = _load_tower(settings.vision_tower, dtype)
    language = _load_part(
        AutoModelForCausalLM, "language model", resolve_language_model(settings.language_model), dtype
    )
    language.config._attn_implementation = attention
    tokenizer = AutoTokenizer.from_pretrained(resolve_language_model(settings.language_model))
    processor, _ = ImageProcessingMixin.get_image_processor_dict(tower_path)
    return assemble(tower, language, tokenizer, processor, settings, attention=attention, seed=seed)


def assemble(
    tower: PreTrainedModel,
    language: PreTrainedModel,
    tokenizer: Any,
    processor: dict[str, Any],
    settings: ModelSettings,
    *,
    attention: str = "sdpa",
    seed: int = 0,
) -> Vlm:
    """Put loaded parts together. `processor` is the content of a preprocessor_config.json (image_mean, image_std)."""
    patch = tower.config.patch_size
    if settings.image_side_px % patch:
        below = settings.image_side_px // patch * patch
        raise InputError(
            f"--image-side-px {settings.image_side_px} is not a multiple of the tower's {patch} px patches; "
            f"try {below or patch} or {below + patch}."
        )
    side = settings.image_side_px // patch
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projector = build_projector(
            settings.projector, tower.config.hidden_size, language.config.hidden_size, settings.pixel_shuffle
        )
    image_tokens: int = projector.num_tokens(side)  # type: ignore[operator]
    image_token_id = _image_token_id(tokenizer, language.config.vocab_size)
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=language.config,
        image_token_index=image_token_id,
        image_seq_length=image_tokens,
        vision_feature_layer=settings.vision_feature_layer,
        vision_feature_select_strategy="default" if _has_class_token(tower) else "full",
        tie_word_embeddings=bool(language.config.tie_word_embeddings),
    )
    config._attn_implementation = attention
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)  # the architecture only: its weights are replaced below
    model.model.vision_tower = tower
    model.model.multi_modal_projector = projector
    model.model.language_model = language.model
    model.lm_head = language.lm_head
    model.model.language_model.config._attn_implementation = attention
    model.generation_config = language.generation_config
    model.requires_grad_(False)
    model.eval()
    return Vlm(
        model=model.to(best_device()),
        prompt=PromptEncoder(tokenizer, settings.prompt_style, settings.instruction),
        transform=PixelTransform.from_preprocessor(processor, settings.image_side_px, settings.image_aspect),
        settings=settings,
        image_token_id=image_token_id,
        image_tokens=image_tokens,
    )


def _load_tower(name: str, dtype: torch.dtype) -> tuple[PreTrainedModel, str]:
    """A vision tower; of a two-sided model such as CLIP only the vision side."""
    path = resolve_vision_tower(name)
    config = _load_part(AutoConfig, "vision tower", path, None)
    config = getattr(config, "vision_config", config)
    if type(config) not in MODEL_MAPPING:
        raise InputError(
            f"The vision tower {path!r} is of type {config.model_type!r}, which transformers has no model for."
        )
    return _load_part(MODEL_MAPPING[type(config)], "vision tower", path, dtype, config=config), path


def _load_part(loader: Any, what: str, path: str, dtype: torch.dtype | None, **extra: Any) -> Any:
    try:
        return loader.from_pretrained(path, **extra, **({} if dtype is None else {"dtype": dtype}))
    except (OSError, ValueError) as error:
        raise InputError(
            f"The {what} {path!r} can't be loaded: {str(error).splitlines()[0]} "
            "Give `embedded`, the folder of a Hugging Face model, or a hub id that this machine can reach."
        ) from error


def _has_class_token(tower: PreTrainedModel) -> bool:
    """Whether the tower puts a class token before the patches (CLIP, DINOv2, ViT) or not (SigLIP)."""
    return any("cls_token" in name or "class_embedding" in name for name, _ in tower.named_parameters())


def _image_token_id(tokenizer: Any, vocab_size: int) -> int:
    """An id that text never becomes: `<image>` if the vocabulary has it, else a special token prompts don't use."""
    taken = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    special = [tokenizer.convert_tokens_to_ids(token) for token in ("<image>", "<file_sep>")]
    reserved = [*special, *reversed(tokenizer.all_special_ids), tokenizer.unk_token_id]
    for candidate in reserved:
        unknown = candidate == tokenizer.unk_token_id and candidate in special
        if candidate is not None and not unknown and candidate not in taken and candidate < vocab_size:
            return int(candidate)
    raise InputError("The tokeniser has no spare special token to stand for the image.")
