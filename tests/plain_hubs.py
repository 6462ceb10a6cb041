"""Tiny image-text models without a chat template: their configs and processors, for tests/tiny_hub.py."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import (
    BartConfig,
    Blip2Config,
    Blip2Processor,
    BlipConfig,
    BlipProcessor,
    Florence2Config,
    GemmaConfig,
    GitConfig,
    GitProcessor,
    InstructBlipConfig,
    InstructBlipProcessor,
    OPTConfig,
    PaliGemmaConfig,
    PaliGemmaProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    T5Config,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.florence2 import Florence2Processor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from tests.hub_configs import SEEN, SIDE, WIDE, id_of, text_shape
from tests.tiny import tiny_tokenizer

SQUARE = {"height": SIDE, "width": SIDE}


@dataclass(frozen=True)
class Kind:
    """How to make one: the tokens it adds, its template, and its config and processor from a tokeniser.

    `unnamed` are tokens that it adds without a name of their own; `names_bos` is whether it has a beginning that is not
    added by itself, `forces_bos` whether answers begin with it, `wraps` whether texts are put between it and an end.
    """

    added: dict[str, str]
    template: str
    config: Callable[[PreTrainedTokenizerFast], Any]
    processor: Callable[[PreTrainedTokenizerFast, str], Any]
    adds_bos: bool = False
    names_bos: bool = False
    unnamed: tuple[str, ...] = ()
    forces_bos: bool = False
    wraps: bool = False
    ending: float = 1.5  # how much likelier an end is made: answers of a random model would hardly ever end


def paligemma(tokenizer: PreTrainedTokenizerFast) -> Any:
    text = GemmaConfig(**text_shape(tokenizer) | {"bos_token_id": tokenizer.bos_token_id}, head_dim=8)
    return PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**SEEN, vision_use_head=False), text_config=text, projection_dim=WIDE,
        image_token_index=id_of(tokenizer, "<image>"), vocab_size=len(tokenizer), hidden_size=WIDE,
        tie_word_embeddings=False,
    )  # fmt: skip


_QFORMER = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 400,
}  # fmt: skip


def blip2(tokenizer: PreTrainedTokenizerFast) -> Any:
    text = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=WIDE, ffn_dim=48, num_hidden_layers=3, num_attention_heads=4,
        word_embed_proj_dim=WIDE, max_position_embeddings=256, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    return Blip2Config(
        vision_config=SEEN, qformer_config=_QFORMER, text_config=text, num_query_tokens=4,
        image_token_index=id_of(tokenizer, "<image>"),
    )  # fmt: skip


def instructblip(tokenizer: PreTrainedTokenizerFast) -> Any:
    text = T5Config(
        vocab_size=len(tokenizer), d_model=WIDE, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id, tie_word_embeddings=False, feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return InstructBlipConfig(
        vision_config=SEEN, qformer_config=_QFORMER, text_config=text, num_query_tokens=4,
        image_token_index=id_of(tokenizer, "<image>"),
    )  # fmt: skip


def florence2(tokenizer: PreTrainedTokenizerFast) -> Any:
    text = BartConfig(
        vocab_size=len(tokenizer), d_model=WIDE, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id, forced_bos_token_id=tokenizer.bos_token_id,
        forced_eos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    seen = {
        "depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
        "patch_prenorm": [False, True], "embed_dim": [16, 24], "num_heads": [2, 2], "num_groups": [2, 2],
        "window_size": 4, "projection_dim": WIDE, "drop_path_rate": 0.0,
    }  # fmt: skip
    return Florence2Config(
        vision_config=seen, text_config=text, image_token_id=id_of(tokenizer, "<image>"), tie_word_embeddings=False
    )


def git(tokenizer: PreTrainedTokenizerFast) -> Any:
    return GitConfig(vision_config=SEEN, **_BERT, **_special(tokenizer), tie_word_embeddings=False)


def blip(tokenizer: PreTrainedTokenizerFast) -> Any:
    special = _special(tokenizer)
    text = {**_BERT, **special, "sep_token_id": special["eos_token_id"], "encoder_hidden_size": SEEN["hidden_size"]}
    return BlipConfig(vision_config=SEEN, text_config=text, tie_word_embeddings=False)


_BERT = {"hidden_size": WIDE, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}


def _special(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return {"vocab_size": len(tokenizer), **{f"{name}_token_id": value for name, value in ids.items()}}


def counted(image_processor: Any, tokens: int) -> Any:
    """An image processor that says how many tokens a picture takes."""
    image_processor.image_seq_length = tokens
    return image_processor


PLAIN_KINDS: dict[str, Kind] = {
    "paligemma": Kind(
        {"image_token": "<image>"},
        "",
        paligemma,
        lambda tokenizer, _: PaliGemmaProcessor(counted(SiglipImageProcessorPil(size=SQUARE), 16), tokenizer),
        names_bos=True,
    ),
    "blip-2": Kind(
        {},
        "",
        blip2,
        lambda tokenizer, _: Blip2Processor(BlipImageProcessorPil(size=SQUARE), tokenizer, num_query_tokens=4),
        adds_bos=True,
        unnamed=("<image>",),
    ),
    "instructblip": Kind(
        {},
        "",
        instructblip,
        lambda tokenizer, _: InstructBlipProcessor(
            BlipImageProcessorPil(size=SQUARE), tokenizer, tiny_tokenizer(), num_query_tokens=4
        ),
        unnamed=("<image>",),
        ending=1.0,
    ),
    "florence2": Kind(
        {"image_token": "<image>"},
        "",
        florence2,
        lambda tokenizer, _: Florence2Processor(
            counted(CLIPImageProcessorPil(size=SQUARE, do_center_crop=False), 17), tokenizer
        ),
        names_bos=True,
        forces_bos=True,
    ),
    "git": Kind(
        {},
        "",
        git,
        lambda tokenizer, _: GitProcessor(
            CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE), tokenizer
        ),
        names_bos=True,
        wraps=True,
        ending=4.0,
    ),
    "blip": Kind(
        {},
        "",
        blip,
        lambda tokenizer, _: BlipProcessor(BlipImageProcessorPil(size=SQUARE), tokenizer),
        names_bos=True,
        wraps=True,
    ),
}
