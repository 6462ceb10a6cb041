"""Export a model folder as a Hugging Face folder, for plain transformers and for engines that read its format.

LlavaForConditionalGeneration and AutoProcessor load it; its chat template writes the prompt of training.
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
# Content may be a text or a list of parts; the picture goes where training had it, wherever the list has it.
_CHAT_TEMPLATE = """{%% if messages | length != 1 or messages[0]['role'] != 'user' %%}\
{{ raise_exception('This model was trained on one question at a time.') }}{%% endif %%}\
{%% set content = messages[0]['content'] %%}{{ %s + '<image>' + %s }}{%% if %s %%}\
{%% if content is string %%}{{ content }}{%% else %%}\
{%% for part in content if part['type'] == 'text' %%}{{ part['text'] }}{%% endfor %%}{%% endif %%}\
{%% endif %%}{{ %s }}"""


def export_hf(folder: Path, out: Path, *, dtype: torch.dtype = torch.float32) -> str:
    """Write the model with LoRA merged, and its processor; return a warning for the user, or "".

    Raises InputError, and writes nothing, if LlavaForConditionalGeneration would compute something else.
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
        except ValueError:  # for pictures of another size than the tower's
            theirs = torch.empty(0)
    if theirs.shape != ours.shape or not torch.allclose(theirs.float(), ours.float(), atol=1e-3, rtol=1e-3):
        raise InputError(
            f"transformers' Llava would make other image tokens with the vision tower {settings.vision_tower!r} at "
            f"--image-side-px {settings.image_side_px}: it takes a picture of the tower's own size and drops the class "
            "token alone. The model can't be written for it."
        )


def _processor(vlm: Vlm) -> tuple[LlavaProcessor, int]:
    """A processor that makes our ids and pixels, and its id of `<image>`, which is added if the vocabulary lacks it."""
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
    # without legacy=True, Llama's tokeniser puts no blank before text after a special token, as training did
    tokenizer = load_tokenizer(vlm.settings.language_model, LoadOptions.of(vlm.settings), legacy=True)
    tokenizer.add_tokens([IMAGE], special_tokens=True)
    strategy = vlm.model.config.vision_feature_select_strategy
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=vlm.vision_tower.config.patch_size,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=1 if strategy == "default" else 0,  # `default` drops one again
        chat_template=_chat_template(vlm),
    )
    return processor, int(tokenizer.convert_tokens_to_ids(IMAGE))


def _chat_template(vlm: Vlm) -> str:
    """The chat template that writes `vlm.prompt.text(question)`."""
    mark = "\x00"
    before_image, rest = vlm.prompt.text(mark).split(IMAGE)
    before_question, shown, after_question = rest.partition(mark)
    literals = [json.dumps(text, ensure_ascii=False) for text in (before_image, before_question, after_question)]
    return _CHAT_TEMPLATE % (literals[0], literals[1], "true" if shown else "false", literals[2])


def _add_image_token(vlm: Vlm, image_id: int) -> None:
    """Give `<image>` the row of the token that marked the picture in training, so that the model never generates it."""
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
    """A warning if the processor, read back, makes other ids than training did."""
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _QUESTION}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    made = processor(images=Image.new("RGB", (8, 8)), text=text)["input_ids"][0]
    image = [processor.image_token_id] * vlm.image_tokens
    if list(made) == [*vlm.prompt.prefix_ids, *image, *vlm.prompt.branch_ids(_QUESTION)[0]]:
        return ""
    return "Its processor makes other token ids than training had, so its answers may differ from those here."
