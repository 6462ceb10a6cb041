"""Vlm: a vision tower, a projector and a language model as one LLaVA; built from parts, or read from a model folder.

The embedded parts are a default like any other: a Hugging Face folder or a hub id may replace either.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import GenerationConfig, LlavaConfig, LlavaForConditionalGeneration, PreTrainedModel

from vqa_core.config import ModelSettings
from vqa_core.data.pictures.resizing import check_shape
from vqa_core.data.pixels import PixelTransform
from vqa_core.files import InputError
from vqa_core.machine import processor_prefers_bf16
from vqa_core.model.capabilities import Sharing, sharing_of_parts
from vqa_core.model.feature_cache import FeatureCache, key_of_tower
from vqa_core.model.loading import LoadOptions
from vqa_core.model.packing import FLASH, Prefix, check_backend
from vqa_core.model.parts import load_language_model, load_tokenizer, load_tower, preprocessor_of
from vqa_core.model.positions import Positions, positions_of
from vqa_core.model.projectors import build_projector
from vqa_core.model.reading.fit import check_tower, check_vocabulary
from vqa_core.processes import local_rank, process_count
from vqa_core.prompts.chat_template import written_out
from vqa_core.prompts.encoder import PromptEncoder, prompt_encoder

_RARE_CHARACTERS = "\U00012000\U0001f9ff\x07"  # a tokeniser without bytes to fall back on takes them for unknown
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Vlm:
    """A model with what is needed to ask it: a prompt encoder and a pixel transform.

    N is `image_tokens`, the image tokens of one picture; `image_token_id` stands in their place in token ids and is
    never embedded. Shapes: B rows, T tokens, D hidden size, V vocabulary.
    """

    model: LlavaForConditionalGeneration
    prompt: PromptEncoder
    transform: PixelTransform
    settings: ModelSettings
    image_token_id: int
    image_tokens: int
    sharing: Sharing = Sharing.PREFIX
    """What the questions about a picture share, see vqa_core/model/capabilities.py."""
    features: FeatureCache | None = None
    """Where the features of a frozen tower are kept, if anywhere."""

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
    def positions(self) -> Positions:
        return positions_of(self.language_model.config, self.prompt.tokenizer)

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
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return frozenset({self.prompt.end_id})

    @property
    def pad_id(self) -> int:
        pad = self.prompt.tokenizer.pad_token_id
        return int(self.prompt.end_id if pad in (None, self.image_token_id) else pad)

    def with_prompt(self, settings: ModelSettings) -> "Vlm":
        """The same model with the prompt style and the instruction of `settings`."""
        prompt = prompt_encoder(self.prompt.tokenizer, settings)
        return replace(self, prompt=prompt, settings=settings)

    def with_features(self, folder: str, limit_gb: float) -> "Vlm":
        """The same model, which keeps the features of its tower below `folder`."""
        key = key_of_tower(self.vision_tower, self.settings.vision_feature_layer, self.transform.side)
        return replace(self, features=FeatureCache(Path(folder), limit_gb, key))

    def pixels(self, images: list[Image.Image]) -> Tensor:
        """RGB pictures -> (B, 3, side, side) float32 on the CPU."""
        return torch.stack([torch.from_numpy(self.transform(image)) for image in images])

    def preprocess(self, image: Image.Image) -> Tensor:
        """One RGB picture -> (3, side, side) float32 on the CPU; an InputError for a shape that shows nothing."""
        check_shape(image.size)
        return self.pixels([image])[0]

    def stacked(
        self,
        pictures: Sequence[Tensor],
        questions: Sequence[Sequence[str]] = (),  # noqa: ARG002
        choices: Sequence[Sequence[Sequence[str]]] = (),  # noqa: ARG002
    ) -> Tensor:
        """Preprocessed pictures -> what `encode_images` takes."""
        return torch.stack(list(pictures))

    def prefix_of(self, picture: Any) -> Prefix:  # noqa: ARG002
        """What stands before the questions: the same for every picture."""
        return Prefix(self.prompt.prefix_ids + [self.image_token_id] * self.image_tokens)

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
            if frozen and self.features:
                features = self.features.features(pixels, self.image_features).to(self.device)
            else:
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
        return autocast_of(self.model, self.device)


def autocast_of(model: nn.Module, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision where a model's parameters are of several formats; else nothing."""
    formats = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    if len(formats) > 1:
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def cast_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Put all parameters into `dtype`. Buffers stay: rotary frequencies in bf16 would misplace tokens.

    So do quantised weights, which are whole numbers.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.element_size() > 1:  # FP8 is a quantised number
            parameter.data = parameter.data.to(dtype)


def best_device() -> torch.device:
    """This process's CUDA device (torchrun counts a machine's processes in LOCAL_RANK), or the CPU.

    Raises InputError where torchrun has started more processes than there are devices.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank, devices = local_rank(), torch.cuda.device_count()
    if rank < devices or process_count() == 1:
        return torch.device("cuda", rank if rank < devices else 0)
    raise InputError(
        f"LOCAL_RANK is {rank}, but this machine has {devices} GPU{'' if devices == 1 else 's'}, numbered from 0. "
        f"Start as many processes on it as it has GPUs: torchrun --nproc_per_node {devices} ..."
    )


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 where that is faster (Ampere and later, AMX, AMD's AVX512-BF16), else fp32."""
    if precision != "auto":
        return DTYPES[precision]
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else processor_prefers_bf16()
    return torch.bfloat16 if fast else torch.float32


def build_vlm(
    settings: ModelSettings,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    seed: int = 0,
    options: LoadOptions | None = None,
) -> Vlm:
    """A Vlm from its parts, the projector freshly initialised from `seed` in fp32; parts are frozen and in `eval` mode.

    Raises InputError when a part can't be loaded or the parts don't fit.
    """
    if attention != FLASH:  # FlashAttention is for plain rows; packed ones refuse it later
        check_backend(attention)
    options = options or LoadOptions.of(settings)
    options.check(settings.vision_tower, settings.language_model)
    tower = load_tower(settings.vision_tower, dtype, options)
    processor = preprocessor_of(settings.vision_tower, options)
    language = load_language_model(settings.language_model, dtype, options)
    tokenizer = load_tokenizer(settings.language_model, options)
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
    settings = written_out(settings, tokenizer)
    if not (hasattr(language, "model") and hasattr(language, "lm_head")):
        raise InputError(
            f"A language model of type {language.config.model_type!r} can't be used: its parts are not named "
            "`model` and `lm_head`, as those of Llama, Mistral, Qwen and their kin are."
        )
    check_vocabulary(tokenizer, language, settings.language_model)
    check_tower(tower, settings)
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
            settings.projector,
            tower.config.hidden_size,
            language.config.hidden_size,
            settings.pixel_shuffle,
            boundaries=settings.image_boundaries,
        )
    if settings.image_boundaries:
        mean = language.get_input_embeddings().weight.detach().float().mean(0)  # (D,), where LLaVA starts them too
        projector.load_state_dict({"start": mean, "end": mean}, strict=False)
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
    try:
        with torch.device("meta"):
            model = LlavaForConditionalGeneration(config)  # the architecture only: its weights are replaced below
    except AttributeError as error:  # of a part that others have and this architecture has not, such as OPT's embedding
        raise InputError(
            f"A language model of type {language.config.model_type!r} can't be put into a LLaVA as its config.json has "
            f"it ({error}). Choose one like Llama, Mistral or Qwen."
        ) from error
    model.model.vision_tower = tower
    model.model.multi_modal_projector = projector
    model.model.language_model = language.model
    model.lm_head = language.lm_head
    model.model.language_model.config._attn_implementation = attention
    model.generation_config = GenerationConfig()  # greedy, no more: a part's own penalties would change answers
    model.requires_grad_(False)
    model.eval()
    prompt = prompt_encoder(tokenizer, settings)
    return Vlm(
        model=model.to(best_device()),
        prompt=prompt,
        transform=PixelTransform.from_preprocessor(processor, settings.image_side_px, settings.image_aspect),
        settings=settings,
        image_token_id=image_token_id,
        image_tokens=image_tokens,
        sharing=sharing_of_parts(language.config, len(prompt.prefix_ids) + image_tokens),
    )


def _has_class_token(tower: PreTrainedModel) -> bool:
    """Whether the tower puts a class token before the patches (CLIP, DINOv2, ViT) or not (SigLIP)."""
    return any("cls_token" in name or "class_embedding" in name for name, _ in tower.named_parameters())


def _image_token_id(tokenizer: Any, vocab_size: int) -> int:
    """An id that no text has: `<image>` if the vocabulary has it, else a special token that prompts don't use.

    Padding's own only where there is no other: Vicuna pads with <unk>, and Vlm.pad_id then takes another id.
    """
    taken = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    if tokenizer.unk_token_id in tokenizer(_RARE_CHARACTERS)["input_ids"]:
        taken.add(tokenizer.unk_token_id)
    special = {str(token): index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = [special[name] for name in ("<image>", "<file_sep>") if name in special]
    spare = [id for id in (*named, *reversed(tokenizer.all_special_ids)) if id not in taken and id < vocab_size]
    if not spare:
        raise InputError("The tokeniser has no spare special token to stand for the image.")
    return int(min(spare, key=lambda id: id == tokenizer.pad_token_id))  # the first that is not padding's
