"""The parts of a model, by name: `embedded`, the folder of a Hugging Face model, or a hub id.

Every function raises InputError when the part can't be loaded; `options` are its revision, its bits and trust in its
code.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.image_processing_base import ImageProcessingMixin

from vqa_core.files import InputError
from vqa_core.model.embedded import resolve_language_model, resolve_vision_tower
from vqa_core.model.loading import AS_IT_IS, LoadOptions, all_there, explain, pretrained_keywords, refuse_llava

_SPARE = r"\b(pooler|head)\.|\bmask_token$"  # of a vision tower, whose patches alone are used, and without a mask


def preprocessor_of(tower: str, options: LoadOptions = AS_IT_IS) -> dict[str, Any]:
    """Content of a vision tower's preprocessor_config.json."""
    load = ImageProcessingMixin.get_image_processor_dict
    path = resolve_vision_tower(tower)
    settings, _ = _load("vision tower's preprocessor", load, path, **pretrained_keywords(path, options))
    return dict(settings)


def tower_config(tower: str, options: LoadOptions = AS_IT_IS) -> PreTrainedConfig:
    """Config of a vision tower; of a two-sided model such as CLIP that of its vision side."""
    path = resolve_vision_tower(tower)
    config = _load("vision tower", AutoConfig.from_pretrained, path, **pretrained_keywords(path, options))
    return getattr(config, "vision_config", config)


def language_config(language_model: str, options: LoadOptions = AS_IT_IS) -> PreTrainedConfig:
    """Config of a language model."""
    path = resolve_language_model(language_model)
    return _load("language model", AutoConfig.from_pretrained, path, **pretrained_keywords(path, options))


def load_tokenizer(language_model: str, options: LoadOptions = AS_IT_IS, **how: Any) -> Any:
    """The tokeniser of a language model; `how` goes to AutoTokenizer."""
    path = resolve_language_model(language_model)
    load = AutoTokenizer.from_pretrained
    return _load("language model's tokeniser", load, path, **pretrained_keywords(path, options), **how)


def load_language_model(
    language_model: str, dtype: torch.dtype | Literal["auto"], options: LoadOptions = AS_IT_IS
) -> PreTrainedModel:
    """A language model with its head, "auto" in the format of its files; in 4 or 8 bits where `options` say so."""
    path = resolve_language_model(language_model)
    how = pretrained_keywords(path, options, dtype=dtype, quantise=True)
    load = AutoModelForCausalLM.from_pretrained
    return all_there("language model", path, _load("language model", load, path, output_loading_info=True, **how))


def load_tower(tower: str, dtype: torch.dtype, options: LoadOptions = AS_IT_IS) -> PreTrainedModel:
    """A vision tower; of a two-sided model such as CLIP only the vision side."""
    config, path = tower_config(tower, options), resolve_vision_tower(tower)
    how = pretrained_keywords(path, options, dtype=dtype)
    if type(config) in MODEL_MAPPING:
        load = MODEL_MAPPING[type(config)].from_pretrained
    elif path in options.trust_remote_code:
        load = AutoModel.from_pretrained
    else:
        raise InputError(
            f"The vision tower {path!r} is of type {config.model_type!r}, which transformers has no model for."
        )
    loaded = _load("vision tower", load, path, config=config, output_loading_info=True, **how)
    return all_there("vision tower", path, loaded, _SPARE)


def _load(what: str, load: Callable[..., Any], path: str, **how: Any) -> Any:
    refuse_llava(what, path, how.get("revision"))
    try:
        return load(path, **how)
    except (OSError, ValueError) as error:
        raise explain(what, path, error) from error
