"""A model folder -> a Hugging Face folder, for plain transformers and for engines that read its format.

LlavaForConditionalGeneration and AutoProcessor load it, and its chat template writes the prompt of training.
"""

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, GenerationConfig, LlavaImageProcessorPil, LlavaProcessor

from vqa_core.files import InputError
from vqa_core.model.folder import load_llava_folder
from vqa_core.model.loading import LoadOptions
from vqa_core.model.parts import load_tokenizer
from vqa_core.model.projectors import MlpProjector
from vqa_core.model.vlm import Vlm

IMAGE = "<image>"
_QUESTION = "What is shown?"
# Content may be a text or a list of parts; the picture stands where training had it, whatever its place in the list.
_CHAT_TEMPLATE = """{%% if messages | length != 1 or messages[0]['role'] != 'user' %%}\
{{ raise_exception('This model was trained on one question at a time.') }}{%% endif %%}\
{%% set content = messages[0]['content'] %%}{{ %s + '<image>' + %s }}{%% if %s %%}\
{%% if content is string %%}{{ content }}{%% else %%}\
{%% for part in content if part['type'] == 'text' %%}{{ part['text'] }}{%% endfor %%}{%% endif %%}\
{%% endif %%}{{ %s }}"""


def export_hf(folder: Path, out: Path, *, dtype: torch.dtype = torch.float32) -> str:
    """Write the model, LoRA merged, and its processor; return what a reader has to know, a sentence or nothing.

    Raises InputError, and writes nothing, where LlavaForConditionalGeneration would compute something else.
    """
    vlm = load_llava_folder(folder, dtype=dtype)
    _refuse_what_transformers_lacks(vlm)
    processor, image_id = _processor(vlm)
    _add_image_token(vlm, image_id)
    model = vlm.model.to("cpu")
    model.generation_config = GenerationConfig(eos_token_id=vlm.prompt.end_id, pad_token_id=vlm.pad_id)
    model.save_pretrained(out)
    processor.save_pretrained(out)
    return _advice(vlm, AutoProcessor.from_pretrained(out))


def _refuse_what_transformers_lacks(vlm: Vlm) -> None:
    settings = vlm.settings
    projector = vlm.projector
    if not (isinstance(projector, MlpProjector) and projector.layers == 2):
        kind = settings.projector + (" with boundary vectors" if settings.image_boundaries else "")
        raise InputError(
            f"transformers' Llava has one projector, mlp2x_gelu, and this model's is {kind}: a Hugging Face folder of "
            "it would answer differently. Use the model folder here; LLaVA has linear and mlpNx_gelu (--to-llava)."
        )
    with torch.no_grad():
        pixels = vlm.pixels([Image.new("RGB", (64, 48), (200, 30, 90))])
        ours = vlm.encode_images(pixels)
        try:
            theirs = torch.stack(vlm.model.get_image_features(pixels.to(vlm.device, vlm.dtype)).pooler_output)
        except ValueError:  # such as pictures of another size than the tower's
            theirs = torch.empty(0)
    if theirs.shape != ours.shape or not torch.allclose(theirs.float(), ours.float(), atol=1e-3, rtol=1e-3):
        raise InputError(
            f"transformers' Llava would make other image tokens with the vision tower {settings.vision_tower!r} at "
            f"--image-side-px {settings.image_side_px}: it takes a picture of the tower's own size and drops the class "
            "token alone. The model can't be written for it."
        )


def _processor(vlm: Vlm) -> tuple[LlavaProcessor, int]:
    """The processor that makes our ids and pixels, and the id of `<image>`, added where the vocabulary lacks it."""
    side, transform = vlm.transform.side, vlm.transform
    stretch = transform.aspect == "stretch"
    pictures = LlavaImageProcessorPil(
        do_pad=transform.aspect == "pad",
        size={"height": side, "width": side} if stretch else {"shortest_edge": side},
        do_center_crop=not stretch,
        crop_size={"height": side, "width": side},
        image_mean=list(transform.mean),
        image_std=list(transform.std),
    )
    # Llama's tokeniser puts a blank before the text after a special token, as in training, only when so told
    tokenizer = load_tokenizer(vlm.settings.language_model, LoadOptions.of(vlm.settings), legacy=True)
    tokenizer.add_tokens([IMAGE], special_tokens=True)
    strategy = vlm.model.config.vision_feature_select_strategy
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=vlm.vision_tower.config.patch_size,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=1 if strategy == "default" else 0,  # `default` takes one off again
        chat_template=_chat_template(vlm),
    )
    return processor, int(tokenizer.convert_tokens_to_ids(IMAGE))


def _chat_template(vlm: Vlm) -> str:
    """The template that gives `vlm.prompt.text(question)`."""
    mark = "\x00"
    before_image, rest = vlm.prompt.text(mark).split(IMAGE)
    before_question, shown, after_question = rest.partition(mark)
    literals = [json.dumps(text, ensure_ascii=False) for text in (before_image, before_question, after_question)]
    return _CHAT_TEMPLATE % (literals[0], literals[1], "true" if shown else "false", literals[2])


def _add_image_token(vlm: Vlm, image_id: int) -> None:
    """Give `<image>` the row of the token that stood for the picture until now: one that the model never says."""
    model = vlm.model
    if image_id >= model.config.text_config.vocab_size:
        model.resize_token_embeddings(image_id + 1, mean_resizing=False)
    weights: dict[int, Tensor] = {
        id(part.weight): part.weight for part in (model.get_input_embeddings(), model.lm_head)
    }
    with torch.no_grad():
        for weight in weights.values():
            weight[image_id] = weight[vlm.image_token_id]
    model.config.image_token_id = image_id


def _advice(vlm: Vlm, processor: Any) -> str:
    """Whether the processor, read back, makes the ids of training."""
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _QUESTION}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    made = processor(images=Image.new("RGB", (8, 8)), text=text)["input_ids"][0]
    image = [processor.image_token_id] * vlm.image_tokens
    if list(made) == [*vlm.prompt.prefix_ids, *image, *vlm.prompt.branch_ids(_QUESTION)[0]]:
        return ""
    return "Its processor makes other token ids than training had, so its answers may differ from those here."
