"""Whole image-text models by folder or hub id: the one place where they and their processors are loaded."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    Idefics3Processor,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.image_processing_backends import PilBackend
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from vqa_core.files import InputError
from vqa_core.model.loading import AS_IT_IS, LoadOptions, pretrained_keywords
from vqa_core.model.reading.guard import all_there, load_guarded
from vqa_core.runs.hub_folder import CONFIG, PROCESSOR, WEIGHTS

logger = logging.getLogger("vqa")

_SPARE = r"vis\w+\..*\b(pooler|head)\."  # of a vision side, whose patches alone are used


def check_image_text_model(name: str, options: LoadOptions = AS_IT_IS) -> Any:
    """The config of an image-text model, a folder or hub id; an InputError where `name` is none, or can't be read."""
    options.check(name)
    how = pretrained_keywords(name, options)
    config = load_guarded("model", name, AutoConfig.from_pretrained, CONFIG, **how)
    remote = getattr(config, "auto_map", None) or {}
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and "AutoModelForImageTextToText" not in remote:
        raise InputError(
            f"{name!r} is a {config.model_type!r}, which answers no questions about pictures (transformers has no "
            "image-text-to-text model for it). As a part of a model it is named by --language-model or --vision-tower."
        )
    return config


def load_image_text_model(
    name: str, *, dtype: torch.dtype, attention: str, options: LoadOptions = AS_IT_IS
) -> tuple[PreTrainedModel, Any]:
    """An image-text model, frozen and in `eval` mode, and its processor.

    Raises InputError for what is no image-text model, has no processor, or can't be read.
    """
    config = check_image_text_model(name, options)
    how = pretrained_keywords(name, options)
    processor = load_guarded("processor", name, _processor_loader(config), PROCESSOR, **how)
    if not (hasattr(processor, "image_processor") and hasattr(processor, "tokenizer")):
        raise InputError(
            f"{name!r} has no processor for pictures and text (processor_config.json, preprocessor_config.json, "
            "tokenizer.json). Copy them from the model that it was made from."
        )
    _cut_tensors(processor.image_processor)
    whole = None if options.load_in == "full" else beside_language_model(config)
    how = pretrained_keywords(name, options, dtype=dtype, quantise=True, whole=whole)
    loaded = load_guarded("model", name, _loader(attention), WEIGHTS, config=config, output_loading_info=True, **how)
    model = all_there("model", name, loaded, _SPARE)
    model.requires_grad_(False)
    return model.eval(), processor


def _loader(attention: str) -> Callable[..., Any]:
    """How to load the model: with that attention backend, or with `eager` where the architecture has no SDPA."""
    load = AutoModelForImageTextToText.from_pretrained

    def loaded(name: str, **how: Any) -> Any:
        try:
            return load(name, attn_implementation=attention, **how)
        except ValueError as error:
            if attention != "sdpa" or "does not support an attention implementation" not in str(error):
                raise
            logger.warning("The architecture of %s has no SDPA: its attention is computed by `eager`.", name)
            return load(name, attn_implementation="eager", **how)

    return loaded


def beside_language_model(config: Any) -> list[str]:
    """The names of a model's largest modules that are no part of its language model: vision side, projector, head."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    language, names, within = model.get_decoder(), [], [("", model)]
    while within:
        prefix, module = within.pop()
        for name, child in module.named_children():
            if any(part is language for part in child.modules()):
                within += [] if child is language else [(f"{prefix}{name}.", child)]
            else:
                names.append(prefix + name)
    return sorted(names)


def _processor_loader(config: Any) -> Callable[..., Any]:
    """How to load the processor: without its video side, which needs torchvision and is never asked for here."""
    return lambda name, **how: _processor_class(config).from_pretrained(name, **how)  # it may not even be imported


def _processor_class(config: Any) -> Any:
    kind = PROCESSOR_MAPPING.get(type(config), None)
    if kind is None or "video_processor" not in kind.get_attributes():
        return AutoProcessor
    if config.model_type == "smolvlm":  # the same pictures and text, without the package that spells out numbers
        return Idefics3Processor
    return of_pictures(kind)


def _cut_tensors(how: Any) -> None:
    """Mend an image processor that cuts patches of arrays, where its processor gives and wants tensors.

    Fuyu's does so without torchvision, in transformers 5.23.
    """
    kind = type(how)
    if not (issubclass(kind, PilBackend) and hasattr(kind, "patchify_image")):
        return

    class OfTensors(kind):  # type: ignore[misc, valid-type]
        def patchify_image(self, image: Any, patch_size: Any = None) -> torch.Tensor:
            patches = torch.as_tensor(super().patchify_image(np.asarray(image), patch_size))
            return patches if patches.ndim == 3 else patches[None]  # (1, patches, values), as with torchvision

    OfTensors.__name__ = kind.__name__
    how.__class__ = OfTensors


def of_pictures(kind: Any) -> Any:
    """A processor class without its video processor, wherever among its arguments that stands."""
    places = kind.get_attributes()

    class WithoutVideo(ProcessorMixin):  # type: ignore[misc]  # `kind` hands it all, a video processor too
        def __init__(self, *args: Any, **how: Any) -> None:
            how |= dict(zip(places, args))
            how.pop("video_processor", None)
            super().__init__(**how)

    class OfPictures(kind, WithoutVideo):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != "video_processor"]

        @classmethod
        def _get_arguments_from_pretrained(cls, *args: Any, **how: Any) -> list[Any]:
            found = list(super()._get_arguments_from_pretrained(*args, **how))
            found.insert(places.index("video_processor"), None)  # they are given to `kind` by their places
            return found

    OfPictures.__name__ = kind.__name__
    return OfPictures
