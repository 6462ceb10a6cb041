"""Tiny image-text models that the table of capabilities does not have, each odd in a way of its own."""

from typing import Any

from transformers import CLIPVisionConfig, LlamaConfig, MistralConfig, PreTrainedTokenizerFast
from transformers.models.chameleon import ChameleonConfig, ChameleonProcessor
from transformers.models.chameleon.image_processing_pil_chameleon import ChameleonImageProcessorPil
from transformers.models.gemma4 import Gemma4Config
from transformers.models.gemma4.feature_extraction_gemma4 import Gemma4AudioFeatureExtractor
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.gemma4.processing_gemma4 import Gemma4Processor
from transformers.models.idefics2 import Idefics2Config, Idefics2Processor
from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil
from transformers.models.janus import JanusConfig, JanusProcessor
from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next_video import LlavaNextVideoConfig
from transformers.models.llava_next_video.processing_llava_next_video import LlavaNextVideoProcessor

from tests.support.hub_configs import GRID, PATCH, SEEN, SIDE, WIDE, id_of, text_shape
from tests.support.plain_hubs import SQUARE, Kind
from tests.support.tiny_hub import CHATML, SMOL, VICUNA
from vqa_core.model.hub.loading import of_pictures


def idefics2(tokenizer: PreTrainedTokenizerFast) -> Any:
    reads = {
        "hidden_size": WIDE, "resampler_n_latents": 4, "resampler_depth": 2, "resampler_n_heads": 2,
        "resampler_head_dim": 8, "num_key_value_heads": 1,
    }  # fmt: skip
    return Idefics2Config(
        vision_config=SEEN, text_config=MistralConfig(**text_shape(tokenizer), sliding_window=None),
        perceiver_config=reads, image_token_id=id_of(tokenizer, "<image>"),
    )  # fmt: skip


def llava_next_video(tokenizer: PreTrainedTokenizerFast) -> Any:
    return LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**SEEN), text_config=LlamaConfig(**text_shape(tokenizer)),
        image_token_index=id_of(tokenizer, "<image>"), video_token_index=id_of(tokenizer, "<video>"),
        image_grid_pinpoints=GRID,
    )  # fmt: skip


def gemma4(tokenizer: PreTrainedTokenizerFast) -> Any:
    text = {
        **text_shape(tokenizer), "head_dim": 8, "global_head_dim": 8, "sliding_window": 16, "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2, "num_kv_shared_layers": 2,
        "vocab_size_per_layer_input": len(tokenizer), "hidden_size_per_layer_input": 8,
        "use_bidirectional_attention": "vision",
    }  # fmt: skip
    seen = {
        "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 12, "patch_size": PATCH, "pooling_kernel_size": 2,
        "position_embedding_size": 64,
    }  # fmt: skip
    return Gemma4Config(
        text_config=text, vision_config=seen, image_token_id=id_of(tokenizer, "<|image|>"), tie_word_embeddings=False,
        boi_token_id=id_of(tokenizer, "<|image>"), eoi_token_id=id_of(tokenizer, "<image|>"),
        video_token_id=None, audio_token_id=None,
    )  # fmt: skip


def janus(tokenizer: PreTrainedTokenizerFast) -> Any:
    seen = {
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH,
        "mlp_ratio": 2.0, "projection_dim": WIDE, "depth": 2, "num_image_tokens": 16,
    }  # fmt: skip
    paints = {
        "embed_dim": 4, "num_embeddings": 16, "latent_channels": 32, "base_channels": 32, "channel_multiplier": [1, 1],
        "num_res_blocks": 1, "num_patches": 4, "projection_dim": WIDE, "image_token_embed_dim": WIDE,
    }  # fmt: skip
    return JanusConfig(
        vision_config=seen, vq_config=paints, text_config=LlamaConfig(**text_shape(tokenizer)),
        image_token_id=id_of(tokenizer, "<image>"), tie_word_embeddings=False,
    )  # fmt: skip


_CODES = tuple(f"IMGIMG{letter}Z" for letter in "ABCDEFGHIJ")  # tokens of what a picture is coded in


def chameleon(tokenizer: PreTrainedTokenizerFast) -> Any:
    codes = {
        "embed_dim": 8, "num_embeddings": len(_CODES), "latent_channels": 32, "resolution": SIDE, "base_channels": 32,
        "channel_multiplier": [1, 1, 1], "num_res_blocks": 1,
    }  # fmt: skip
    return ChameleonConfig(
        **text_shape(tokenizer) | {"bos_token_id": tokenizer.bos_token_id}, vq_config=codes,
        vocabulary_map=tokenizer.get_vocab(),
    )  # fmt: skip


def chameleon_processor(tokenizer: PreTrainedTokenizerFast, _: str) -> Any:
    tokenizer.sep_token = "<reserved08706>"
    pictures = ChameleonImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE)
    return ChameleonProcessor(pictures, tokenizer, image_seq_length=64)


UNKNOWN_KINDS: dict[str, Kind] = {
    # its processor puts a blank behind a picture that a letter follows
    "idefics2": Kind(
        {},
        SMOL,
        idefics2,
        lambda tokenizer, template: Idefics2Processor(
            Idefics2ImageProcessorPil(size={"shortest_edge": 24, "longest_edge": SIDE}),
            tokenizer,
            image_seq_len=4,
            chat_template=template,
        ),
        unnamed=("<fake_token_around_image>", "<image>", "<end_of_utterance>"),
    ),
    # a video processor is the first that its processor is given
    "llava_next_video": Kind(
        {"image_token": "<image>", "video_token": "<video>"},
        VICUNA,
        llava_next_video,
        lambda tokenizer, template: of_pictures(LlavaNextVideoProcessor)(
            image_processor=LlavaNextImageProcessorPil(
                size={"shortest_edge": SIDE}, crop_size=SQUARE, image_grid_pinpoints=GRID
            ),
            tokenizer=tokenizer,
            chat_template=template,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
        adds_bos=True,
    ),
    # its processor can't be made without one, and takes sound
    "gemma4": Kind(
        {
            "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>",
            "boa_token": "<|audio>", "eoa_token": "<audio|>",
        },
        CHATML.replace("IMAGE", "<|image|>"),
        gemma4,
        lambda tokenizer, template: of_pictures(Gemma4Processor)(
            Gemma4AudioFeatureExtractor(),
            Gemma4ImageProcessorPil(patch_size=PATCH, max_soft_tokens=70, pooling_kernel_size=2),
            tokenizer,
            video_processor=None,
            chat_template=template,
            image_seq_length=70,
        ),
        unnamed=("<|video|>",),
    ),
    # its `generate` hands on no logits processor
    "janus": Kind(
        {"image_token": "<image>", "boi_token": "<begin_of_image>", "eoi_token": "<end_of_image>"},
        VICUNA,
        janus,
        lambda tokenizer, template: JanusProcessor(
            JanusImageProcessorPil(size=SQUARE), tokenizer, chat_template=template, num_image_tokens=16
        ),
        adds_bos=True,
    ),
    # its processor counts the pictures in the text, and puts a token behind that after which an answer is due
    "chameleon": Kind(
        {"image_token": "<image>", "boi_token": "<racm3:break>", "eoi_token": "<eoss>"},
        "",
        chameleon,
        chameleon_processor,
        adds_bos=True,
        unnamed=("<reserved08706>", *_CODES),
    ),
}  # fmt: skip
