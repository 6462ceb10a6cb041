"""Making a HubModel: a loaded model, its processor, and the prompt that it is asked with."""

import logging
from dataclasses import fields, replace
from typing import Any

import torch
from transformers import PreTrainedModel

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.model.capabilities import Sharing
from vqa_core.model.hub.architecture import Architecture, architecture_of
from vqa_core.model.hub.branching import BranchingModel
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.loading import load_image_text_model
from vqa_core.model.hub.prompt_search import find_prompt, no_image_token
from vqa_core.model.hub.whole_prompts import EncoderDecoder, WholePromptModel
from vqa_core.model.loading import LoadOptions, load_in_of
from vqa_core.model.reading.fit import check_config, check_vocabulary
from vqa_core.model.vlm import best_device
from vqa_core.prompts.chat_template import has_template, with_own_prompt
from vqa_core.prompts.styles import OWN_STYLES, refuse_named_style
from vqa_core.prompts.text_prompt import BARE
from vqa_core.settings import flag_of

logger = logging.getLogger("vqa")


def build_hub_model(
    settings: ModelSettings,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    options: LoadOptions | None = None,
) -> HubModel:
    """The model that `settings.base_model` names, frozen and in `eval` mode.

    Its prompt is the text that `settings` hold, else what its template writes now; the settings of the HubModel hold
    the text. Raises InputError when the model can't be loaded, is no image-text model, has no processor or can't be
    asked, and for settings that are those of parts.
    """
    check_settings(settings)
    options = options or LoadOptions.of(settings)
    model, processor = load_image_text_model(settings.base_model, dtype=dtype, attention=attention, options=options)
    if load_in_of(model) == "full":  # in few bits it is on its device already
        model = model.to(best_device())
    return assemble_hub_model(model, processor, settings)


def assemble_hub_model(model: PreTrainedModel, processor: Any, settings: ModelSettings) -> HubModel:
    """Put a loaded model and its processor together."""
    architecture = architecture_of(model, processor)
    check_vocabulary(processor.tokenizer, model, settings.base_model)
    shares = architecture.capability.sharing is Sharing.PREFIX
    check_config(processor, model, settings.base_model, one_token=shares)
    templated = has_template(processor)
    _check_template(processor, architecture, templated)
    if templated:
        settings = with_own_prompt(settings, processor)
    elif settings.prompt_style in OWN_STYLES:
        settings = replace(settings, prompt_style=BARE)
    prompt = find_prompt(processor, settings, architecture)
    hub = _class_for(architecture)(
        model=model,
        processor=processor,
        architecture=architecture,
        prompt=prompt,
        settings=settings,
        stop_ids=architecture.end_ids | {prompt.end_id},
    ).checked()
    if not templated:
        logger.warning(
            "%s has no chat template: it is asked %r. Where its makers ask otherwise, spell that out with "
            "--prompt-style.", settings.base_model, settings.prompt_style,
        )  # fmt: skip
    return hub


def check_settings(settings: ModelSettings) -> None:
    """An InputError for a prompt style, or another setting that only a LLaVA of parts has, beside a whole model."""
    model = settings.base_model
    if settings.prompt_style not in OWN_STYLES:
        refuse_named_style(model, settings.prompt_style)
    of_both = ("base_model", "revision", "prompt_style", "instruction", "choice_instruction", "choice_scoring")
    for item in fields(settings):
        if item.name not in of_both and getattr(settings, item.name) != item.default:
            raise InputError(
                f"{flag_of(item.name)} is not for --base-model {model}, a whole model, which has parts of its own and "
                "sees pictures as its own processor makes them. Leave it out."
            )


def _class_for(architecture: Architecture) -> type[HubModel]:
    """The way to ask: whatever may share a picture has a chat template, and no encoder beside its decoder."""
    if architecture.decoder_start is not None:
        return EncoderDecoder
    return WholePromptModel if architecture.capability.sharing is Sharing.NOTHING else BranchingModel


def _check_template(processor: Any, architecture: Architecture, templated: bool) -> None:
    if architecture.capability.chats and not templated:
        raise InputError(
            "The model has no chat template, which says how a picture and a question become its prompt. Copy "
            "chat_template.jinja from the model that it was made from into its folder."
        )
    if templated and (architecture.image_token_id is None or not getattr(processor, "image_token", None)):
        raise no_image_token(architecture.model_type)
