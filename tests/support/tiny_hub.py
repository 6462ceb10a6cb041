"""Tiny image-text models of every architecture in the table, with processors, as Hugging Face folders made in code.

folder = tiny_hub("qwen2_vl", folder)     # model and processor, as from_pretrained reads them
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import AddedToken, processors
from transformers import (
    AutoModelForImageTextToText,
    Gemma3Processor,
    GitProcessor,
    LlavaNextProcessor,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    MllamaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3 import Idefics3Config, Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.internvl import InternVLProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm import SmolVLMConfig
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from tests.support import hub_configs
from tests.support.hub_configs import GRID, PATCH, SIDE, WIDE
from tests.support.plain_hubs import PLAIN_KINDS, Kind
from tests.support.tiny import randomised, tiny_tokenizer
from vqa_core.model.hub.loading import of_pictures

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "IMAGE{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VICUNA = (
    "{% for m in messages %}{{ 'USER: ' if m['role'] == 'user' else 'ASSISTANT: ' }}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
SMOL = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}{{ ':' if m['content'][0]['type'] == 'image' "
    "else ': ' }}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def tiny_hub(kind: str | Kind, folder: Path, **text: Any) -> Path:
    """Write the tiny model and processor of an architecture to `folder`; `text` changes its language model's config."""
    made = KINDS[kind] if isinstance(kind, str) else kind
    tokenizer = tokenizer_of(made)
    config = made.config(tokenizer)
    for name, value in text.items():
        setattr(config.text_config, name, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = randomised(AutoModelForImageTextToText.from_config(config, dtype=torch.float32), 0)
    head = model.get_output_embeddings() or model.text_decoder.get_output_embeddings()
    with torch.no_grad():
        for token in {"<|endoftext|>", "<|im_end|>", "<end_of_utterance>", tokenizer.eos_token}:
            if token in tokenizer.get_vocab():
                head.weight[tokenizer.convert_tokens_to_ids(token)] *= made.ending
    ends = dict.fromkeys(("<|endoftext|>", "<|im_end|>", tokenizer.eos_token))
    model.generation_config.eos_token_id = [
        tokenizer.convert_tokens_to_ids(token) for token in ends if token in tokenizer.get_vocab()
    ]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if made.forces_bos:
        model.generation_config.forced_bos_token_id = tokenizer.bos_token_id
    model.save_pretrained(folder)
    made.processor(tokenizer, made.template).save_pretrained(folder)
    return folder


def tokenizer_of(kind: Kind) -> PreTrainedTokenizerFast:
    """The tests' tokeniser with the tokens that the kind adds, or the kind's own."""
    if kind.tokenizer:
        return kind.tokenizer()
    base = tiny_tokenizer(adds_bos=kind.adds_bos)
    if kind.wraps:
        first, last = ((token, base.convert_tokens_to_ids(token)) for token in (base.bos_token, base.eos_token))
        base.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first[0]} $A {last[0]}", special_tokens=[first, last]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=base.backend_tokenizer,
        bos_token=base.bos_token if kind.adds_bos or kind.names_bos else None,
        eos_token=base.eos_token,
        pad_token=base.pad_token,
        unk_token=kind.unknown,
        extra_special_tokens=dict(kind.added),
        clean_up_tokenization_spaces=False,
    )
    made.add_tokens([AddedToken(token, normalized=False, special=True) for token in kind.unnamed], special_tokens=True)
    return made


def plain_inputs(processor: Any, image: Image.Image, question: str) -> dict[str, torch.Tensor]:
    """What a processor by itself makes of a question about a picture: by its chat template, else of the text."""
    if not processor.chat_template:
        made = dict(processor(text=[question], images=[image], return_tensors="pt"))
        made.pop("labels", None)
        if isinstance(processor, GitProcessor):  # its makers ask without the token that closes a text
            made |= {name: made[name][:, :-1] for name in ("input_ids", "attention_mask")}
        return made
    content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
    return dict(
        processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    )


def _qwen_processor(kind: Any) -> Callable[[PreTrainedTokenizerFast, str], Any]:
    sizes = {"shortest_edge": 32 * 32, "longest_edge": 96 * 96}
    return lambda tokenizer, template: of_pictures(kind)(
        Qwen2VLImageProcessorPil(patch_size=PATCH, size=sizes), tokenizer, chat_template=template
    )


_SQUARE = {"height": SIDE, "width": SIDE}
_TILES = {f"tile_{row}_{column}": f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)}
_SMOL = {
    "image_token": "<image>", "fake_image_token": "<fake_token_around_image>",
    "end_of_utterance_token": "<end_of_utterance>", "global_image_token": "<global-img>", **_TILES,
}  # fmt: skip
_QWEN = {
    "vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>", "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
}  # fmt: skip
_QWEN_TEMPLATE = CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
_LLAVA_PROCESSOR = {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}

KINDS: dict[str, Kind] = {
    "llava": Kind(
        {"image_token": "<image>"},
        VICUNA,
        hub_configs.llava,
        lambda tokenizer, template: LlavaProcessor(
            CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=_SQUARE),
            tokenizer,
            chat_template=template,
            **_LLAVA_PROCESSOR,
        ),
        adds_bos=True,
    ),
    "llava_next": Kind(
        {"image_token": "<image>"},
        VICUNA,
        hub_configs.llava_next,
        lambda tokenizer, template: LlavaNextProcessor(
            LlavaNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=_SQUARE, image_grid_pinpoints=GRID),
            tokenizer,
            chat_template=template,
            **_LLAVA_PROCESSOR,
        ),
        adds_bos=True,
    ),
    "llava_onevision": Kind(
        {"image_token": "<image>", "video_token": "<video>"},
        CHATML.replace("IMAGE", "<image>\n"),
        hub_configs.llava_onevision,
        lambda tokenizer, template: of_pictures(LlavaOnevisionProcessor)(
            LlavaOnevisionImageProcessorPil(size=_SQUARE, image_grid_pinpoints=GRID),
            tokenizer,
            chat_template=template,
            num_image_tokens=16,
            vision_feature_select_strategy="full",
        ),
    ),
    "idefics3": Kind(
        _SMOL,
        SMOL,
        hub_configs.idefics3(Idefics3Config),
        lambda tokenizer, template: Idefics3Processor(
            Idefics3ImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}),
            tokenizer,
            image_seq_len=4,
            chat_template=template,
        ),
    ),
    "smolvlm": Kind(
        _SMOL,
        SMOL,
        hub_configs.idefics3(SmolVLMConfig),
        lambda tokenizer, template: Idefics3Processor(
            SmolVLMImageProcessorPil(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}),
            tokenizer,
            image_seq_len=4,
            chat_template=template,
        ),
    ),
    "internvl": Kind(
        {
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        CHATML.replace("IMAGE", "<IMG_CONTEXT>\n"),
        hub_configs.internvl,
        lambda tokenizer, template: of_pictures(InternVLProcessor)(
            GotOcr2ImageProcessorPil(size=_SQUARE, max_patches=4),
            tokenizer,
            image_seq_length=4,
            chat_template=template,
        ),
    ),
    "qwen2_vl": Kind(
        _QWEN,
        _QWEN_TEMPLATE,
        hub_configs.qwen(Qwen2VLConfig, {"embed_dim": 32, "hidden_size": WIDE, "mlp_ratio": 2}),
        _qwen_processor(Qwen2VLProcessor),
    ),
    "qwen2_5_vl": Kind(
        _QWEN,
        _QWEN_TEMPLATE,
        hub_configs.qwen(
            Qwen2_5_VLConfig,
            {
                "hidden_size": 32, "out_hidden_size": WIDE, "intermediate_size": 48, "window_size": 32,
                "fullatt_block_indexes": [1],
            },
        ),
        _qwen_processor(Qwen2_5_VLProcessor),
    ),
    "qwen3_vl": Kind(
        _QWEN,
        _QWEN_TEMPLATE,
        hub_configs.qwen(
            Qwen3VLConfig,
            {
                "hidden_size": 32, "out_hidden_size": WIDE, "intermediate_size": 48, "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0, 1],
            },
        ),
        _qwen_processor(Qwen3VLProcessor),
    ),
    "mllama": Kind(
        {"image_token": "<|image|>", "python_token": "<|python_tag|>"},
        CHATML.replace("IMAGE", "<|image|>"),
        hub_configs.mllama,
        lambda tokenizer, template: MllamaProcessor(
            MllamaImageProcessorPil(size=_SQUARE, max_image_tiles=2), tokenizer, chat_template=template
        ),
        adds_bos=True,
        ending=2.5,
    ),
    "gemma3": Kind(
        {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
        CHATML.replace("IMAGE", "<start_of_image>"),
        hub_configs.gemma3,
        lambda tokenizer, template: Gemma3Processor(
            Gemma3ImageProcessorPil(size=_SQUARE), tokenizer, chat_template=template, image_seq_length=4
        ),
    ),
    **PLAIN_KINDS,
}  # fmt: skip

TEMPLATED = sorted(kind for kind, made in KINDS.items() if made.template)
