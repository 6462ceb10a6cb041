"""Tiny image-text models without a chat template: their configs and processors, for tests/support/tiny_hub.py."""

import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from transformers import (
    BartConfig,
    Blip2Config,
    Blip2Processor,
    BlipConfig,
    BlipProcessor,
    Florence2Config,
    FuyuConfig,
    FuyuProcessor,
    GemmaConfig,
    GitConfig,
    GitProcessor,
    InstructBlipConfig,
    InstructBlipProcessor,
    Kosmos2Config,
    Kosmos2Processor,
    OPTConfig,
    PaliGemmaConfig,
    PaliGemmaProcessor,
    PersimmonConfig,
    Pix2StructConfig,
    Pix2StructProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    T5Config,
    UdopConfig,
    UdopProcessor,
    UdopTokenizer,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.florence2 import Florence2Processor
from transformers.models.fuyu.image_processing_pil_fuyu import FuyuImageProcessorPil
from transformers.models.layoutlmv3.image_processing_pil_layoutlmv3 import LayoutLMv3ImageProcessorPil
from transformers.models.pix2struct.image_processing_pil_pix2struct import Pix2StructImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from tests.support import stand_ins as stand_ins  # a font and a reader of words
from tests.support.hub_configs import PATCH, SEEN, SIDE, WIDE, id_of, text_shape
from tests.support.tiny import tiny_tokenizer

SQUARE = {"height": SIDE, "width": SIDE}


@dataclass(frozen=True)
class Kind:
    """How to make one: the tokens it adds, its template, and its config and processor from a tokeniser.

    `unnamed` are tokens that it adds without a name of their own; `names_bos` is whether it has a beginning that is not
    added by itself, `forces_bos` whether answers begin with it, `wraps` whether texts are put between it and an end.
    `unknown` is the token of its tokeniser for what that does not know; `tokenizer` makes one that is its own.
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
    unknown: str | None = None
    tokenizer: Callable[[], PreTrainedTokenizerFast] | None = None
    ending: float = 1.5  # how much likelier an end is made: answers of a random model would hardly ever end


def paligemma(tokenizer: PreTrainedTokenizerFast) -> Any:
    rows = len(tokenizer) + 1152  # its processor adds tokens for 1,024 places and 128 segments
    shape = text_shape(tokenizer) | {"bos_token_id": tokenizer.bos_token_id, "vocab_size": rows}
    text = GemmaConfig(**shape, head_dim=8)
    return PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**SEEN, vision_use_head=False), text_config=text, projection_dim=WIDE,
        image_token_index=id_of(tokenizer, "<image>"), vocab_size=rows, hidden_size=WIDE,
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


def kosmos2(tokenizer: PreTrainedTokenizerFast) -> Any:
    special = _special(tokenizer) | {"vocab_size": len(tokenizer) + 11 + KOSMOS_PATCHES}  # of its processor's tokens
    text = {"embed_dim": WIDE, "layers": 3, "ffn_dim": 48, "attention_heads": 4, "max_position_embeddings": 256}
    return Kosmos2Config(
        text_config={**text, **special, "tie_word_embeddings": False}, vision_config=SEEN, latent_query_num=64,
        tie_word_embeddings=False,
    )  # fmt: skip


KOSMOS_PATCHES = 4  # names of places in a picture


def fuyu(tokenizer: PreTrainedTokenizerFast) -> Any:
    text = PersimmonConfig(**{name: value for name, value in text_shape(tokenizer).items() if "key_value" not in name})
    return FuyuConfig(
        text_config=text, patch_size=PATCH, image_size=2 * SIDE, image_token_id=id_of(tokenizer, "|SPEAKER|"),
        tie_word_embeddings=False,
    )  # fmt: skip


def fuyu_tokenizer() -> PreTrainedTokenizerFast:
    """One that puts a blank before every text, and has the picture's tokens as plain ones, as Fuyu's does."""
    backend = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    vocabulary = backend["model"]["vocab"]
    tokens = ("|SPEAKER|", "|NEWLINE|", "<s>", "<0x04>")
    vocabulary |= {token: len(vocabulary) + number for number, token in enumerate(tokens)}
    backend["model"]["ignore_merges"] = True
    backend["normalizer"] = {"type": "Prepend", "prepend": " "}
    alone = {"type": "Split", "behavior": "Isolated", "invert": False}
    words = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithNext", "invert": False}
    split = [*({**alone, "pattern": {"String": token}} for token in tokens), words]
    letters = {**backend["pre_tokenizer"], "use_regex": False}
    backend["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*split, letters]}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)), eos_token="<|im_end|>", pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def pix2struct(tokenizer: PreTrainedTokenizerFast) -> Any:
    shape = {"hidden_size": WIDE, "d_ff": 48}
    text = {
        **shape, "vocab_size": len(tokenizer), "d_kv": 8, "num_layers": 2, "num_heads": 4,
        "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    seen = {
        **shape, "patch_embed_hidden_size": 3 * PATCH * PATCH, "d_kv": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }  # fmt: skip
    return Pix2StructConfig(text_config=text, vision_config=seen, is_vqa=True)


def pix2struct_processor(tokenizer: PreTrainedTokenizerFast, *, asks: bool = True) -> Any:
    """The question is drawn on the picture where it `asks`, else it is the beginning of a caption."""
    size = {"height": PATCH, "width": PATCH}
    return Pix2StructProcessor(Pix2StructImageProcessorPil(patch_size=size, max_patches=256, is_vqa=asks), tokenizer)


def udop(tokenizer: PreTrainedTokenizerFast) -> Any:
    return UdopConfig(
        vocab_size=len(tokenizer), d_model=WIDE, d_kv=8, d_ff=48, num_layers=2, num_heads=4, image_size=SIDE,
        patch_size=PATCH, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def udop_tokenizer() -> UdopTokenizer:
    """Single letters, and the words of some answers."""
    words = ["▁red", "▁dark", "▁blue", *string.ascii_letters, *string.digits, *string.punctuation]
    special = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
    return UdopTokenizer(vocab=[*special, ("▁", -3.0), *((word, -4.0) for word in words)])


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
    "kosmos-2": Kind(
        {},
        "",
        kosmos2,
        lambda tokenizer, _: Kosmos2Processor(
            CLIPImageProcessorPil(size=SQUARE, do_center_crop=False), tokenizer, num_patch_index_tokens=KOSMOS_PATCHES
        ),
        names_bos=True,
        unknown="<file_sep>",
    ),
    "fuyu": Kind(
        {},
        "",
        fuyu,
        lambda tokenizer, _: FuyuProcessor(
            FuyuImageProcessorPil(size={"height": 64, "width": 64}, patch_size={"height": PATCH, "width": PATCH}),
            tokenizer,
        ),
        tokenizer=fuyu_tokenizer,
    ),
    "pix2struct": Kind({}, "", pix2struct, lambda tokenizer, _: pix2struct_processor(tokenizer)),
    "udop": Kind(
        {},
        "",
        udop,
        lambda tokenizer, _: UdopProcessor(LayoutLMv3ImageProcessorPil(size=SQUARE), tokenizer),
        tokenizer=udop_tokenizer,
    ),
}
