"""Configs of tiny image-text models, from a tokeniser: three layers, D 32, pictures in patches of 8 px."""

from collections.abc import Callable
from typing import Any

from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3TextConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaNextConfig,
    LlavaOnevisionConfig,
    MistralConfig,
    MllamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.models.internvl import InternVLConfig

SIDE, PATCH, WIDE = 32, 8, 32
GRID = [[32, 64], [64, 32], [64, 64]]


def text_shape(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer), "hidden_size": WIDE, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
        "tie_word_embeddings": False, "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }  # fmt: skip


SEEN = {
    "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": SIDE,
    "patch_size": PATCH,
}  # fmt: skip


def id_of(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))


def llava(tokenizer: PreTrainedTokenizerFast) -> Any:
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**SEEN), text_config=LlamaConfig(**text_shape(tokenizer)),
        image_token_index=id_of(tokenizer, "<image>"), image_seq_length=16,
    )  # fmt: skip


def llava_next(tokenizer: PreTrainedTokenizerFast) -> Any:
    return LlavaNextConfig(
        vision_config=CLIPVisionConfig(**SEEN), text_config=MistralConfig(**text_shape(tokenizer), sliding_window=None),
        image_token_index=id_of(tokenizer, "<image>"), image_grid_pinpoints=GRID,
    )  # fmt: skip


def llava_onevision(tokenizer: PreTrainedTokenizerFast) -> Any:
    return LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**SEEN, vision_use_head=False),
        text_config=Qwen2Config(**text_shape(tokenizer)),
        image_token_index=id_of(tokenizer, "<image>"), video_token_index=id_of(tokenizer, "<video>"),
        image_grid_pinpoints=GRID, tie_word_embeddings=False,
    )  # fmt: skip


def idefics3(kind: Any) -> Callable[[PreTrainedTokenizerFast], Any]:
    def make(tokenizer: PreTrainedTokenizerFast) -> Any:
        return kind(
            vision_config=SEEN, text_config=LlamaConfig(**text_shape(tokenizer)), scale_factor=2,
            image_token_id=id_of(tokenizer, "<image>"), tie_word_embeddings=False,
        )  # fmt: skip

    return make


def internvl(tokenizer: PreTrainedTokenizerFast) -> Any:
    seen = SEEN | {"image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]}
    return InternVLConfig(
        vision_config=seen, text_config=Qwen2Config(**text_shape(tokenizer)),
        image_token_id=id_of(tokenizer, "<IMG_CONTEXT>"), image_seq_length=4, tie_word_embeddings=False,
    )  # fmt: skip


_ROPE = {"rope_type": "default", "rope_theta": 1000.0, "mrope_section": [2, 1, 1]}


def qwen(kind: Any, seen: dict[str, Any]) -> Callable[[PreTrainedTokenizerFast], Any]:
    def make(tokenizer: PreTrainedTokenizerFast) -> Any:
        return kind(
            vision_config={"depth": 2, "num_heads": 2, "patch_size": PATCH, **seen},
            text_config={**text_shape(tokenizer), "head_dim": 8, "rope_parameters": _ROPE}, tie_word_embeddings=False,
            image_token_id=id_of(tokenizer, "<|image_pad|>"), video_token_id=id_of(tokenizer, "<|video_pad|>"),
            vision_start_token_id=id_of(tokenizer, "<|vision_start|>"),
            vision_end_token_id=id_of(tokenizer, "<|vision_end|>"),
        )  # fmt: skip

    return make


def mllama(tokenizer: PreTrainedTokenizerFast) -> Any:
    return MllamaConfig(
        vision_config={
            "hidden_size": 16, "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 2,
            "intermediate_size": 32, "vision_output_dim": WIDE, "image_size": SIDE, "patch_size": PATCH,
            "max_num_tiles": 2, "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
        },
        text_config={**text_shape(tokenizer), "bos_token_id": tokenizer.bos_token_id, "cross_attention_layers": [1]},
        image_token_index=id_of(tokenizer, "<|image|>"),
    )  # fmt: skip


def gemma3(tokenizer: PreTrainedTokenizerFast) -> Any:
    text = Gemma3TextConfig(
        **text_shape(tokenizer), head_dim=8, query_pre_attn_scalar=8, sliding_window=16,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    )  # fmt: skip
    return Gemma3Config(
        text_config=text, vision_config=SiglipVisionConfig(**SEEN, vision_use_head=False), mm_tokens_per_image=4,
        boi_token_index=id_of(tokenizer, "<start_of_image>"), eoi_token_index=id_of(tokenizer, "<end_of_image>"),
        image_token_index=id_of(tokenizer, "<image_soft_token>"), tie_word_embeddings=False,
    )  # fmt: skip
