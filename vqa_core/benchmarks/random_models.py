"""Models with random weights, created on the device they run on: as fast as any model of their shape.

The tokeniser's vocabulary is the words of the texts that it will see: one token per word.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoModelForCausalLM, CLIPVisionConfig, LlamaConfig, PreTrainedTokenizerFast

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.model.vlm import Vlm, assemble, cast_weights
from vqa_core.prompts.styles import prompt_style


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a CLIP vision tower and a Llama language model."""

    tower: dict[str, int]
    language: dict[str, int]


def _sizes(width: int, inner: int, layers: int, heads: int, **more: int) -> dict[str, int]:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    return dict(zip(names, (width, inner, layers, heads), strict=True)) | more


SHAPES = {
    # CLIP ViT-L/14 at 224 px and Vicuna-7B, the original team's parts
    "7b": Shape(
        _sizes(1024, 4096, 24, 16, image_size=224, patch_size=14),
        _sizes(4096, 11008, 32, 32, vocab_size=32000, max_position_embeddings=4096),
    ),
    # the same number of image tokens, and layers large enough that arithmetic dominates
    "small": Shape(
        _sizes(192, 768, 4, 3, image_size=224, patch_size=14),
        _sizes(256, 768, 6, 4, num_key_value_heads=2, vocab_size=8192),
    ),
    "tiny": Shape(
        _sizes(32, 64, 3, 2, image_size=28, patch_size=7),
        _sizes(32, 64, 2, 4, num_key_value_heads=2, vocab_size=512),
    ),
}
PIXELS = {"image_mean": [0.481, 0.458, 0.408], "image_std": [0.269, 0.261, 0.276]}
STYLE = "vicuna_v1"


def random_vlm(shape: str, texts: Iterable[str], *, device: torch.device, dtype: torch.dtype, seed: int = 0) -> Vlm:
    """A model of one of SHAPES with a two-layer projector, with random weights on `device` in `dtype`.

    `texts` are the questions and answers that it will see. The same arguments give the same weights.
    """
    if shape not in SHAPES:
        raise InputError(f"--model {shape!r} is not known; choose from {', '.join(SHAPES)}.")
    sizes = SHAPES[shape]
    tokenizer = word_tokenizer(texts)
    vocabulary = max(sizes.language["vocab_size"], len(tokenizer))
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    used = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=used), torch.device(device):
        torch.manual_seed(seed)
        tower = AutoModel.from_config(CLIPVisionConfig(**sizes.tower), dtype=dtype)
        config = LlamaConfig(**sizes.language | ends | {"vocab_size": vocabulary})
        config.initializer_range = 1.6 / config.hidden_size**0.5  # answers then depend on picture and question
        language = AutoModelForCausalLM.from_config(config, dtype=dtype)
    settings = ModelSettings(projector="mlp2x_gelu", prompt_style=STYLE, image_side_px=sizes.tower["image_size"])
    vlm = assemble(tower, language, tokenizer, PIXELS, settings, seed=seed)
    cast_weights(vlm.model, dtype)
    return vlm


def word_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokeniser that knows the words of `texts` and of the prompt, and starts with <s>, like Llama's."""
    style = prompt_style(STYLE)
    split = pre_tokenizers.Whitespace()
    words = {
        word for text in (*texts, style.before_image, style.after_question) for word, _ in split.pre_tokenize_str(text)
    }
    specials = ("<unk>", "<s>", "</s>", "<image>")
    vocabulary = {word: number for number, word in enumerate((*specials, *sorted(words - set(specials))))}
    backend: Any = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = split
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
        clean_up_tokenization_spaces=False,
    )
