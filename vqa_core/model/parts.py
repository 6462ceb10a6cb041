"""The parts of a model, by name: `embedded`, the folder of a Hugging Face model, or a hub id.

Every function raises InputError when the part can't be loaded; `options` are its revision, its bits and trust in its
code.
"""

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
from vqa_core.model.loading import AS_IT_IS, LoadOptions, pretrained_keywords
from vqa_core.model.reading.guard import all_there, load_guarded
from vqa_core.runs.hub_folder import CONFIG, PICTURES, TOKENIZER, WEIGHTS

_SPARE = r"\b(pooler|head)\.|\bmask_token$"  # of a vision tower, whose patches alone are used, and without a mask


def preprocessor_of(tower: str, options: LoadOptions = AS_IT_IS) -> dict[str, Any]:
    """Content of a vision tower's preprocessor_config.json."""
    load = ImageProcessingMixin.get_image_processor_dict
    path = resolve_vision_tower(tower)
    how = pretrained_keywords(path, options)
    settings, _ = load_guarded("vision tower's preprocessor", path, load, PICTURES, **how)
    return dict(settings)


def tower_config(tower: str, options: LoadOptions = AS_IT_IS) -> PreTrainedConfig:
    """Config of a vision tower; of a two-sided model such as CLIP that of its vision side."""
    path = resolve_vision_tower(tower)
    load = AutoConfig.from_pretrained
    config = load_guarded("vision tower", path, load, CONFIG, **pretrained_keywords(path, options))
    return getattr(config, "vision_config", config)


def language_config(language_model: str, options: LoadOptions = AS_IT_IS) -> PreTrainedConfig:
    """Config of a language model."""
    path = resolve_language_model(language_model)
    load = AutoConfig.from_pretrained
    return load_guarded("language model", path, load, CONFIG, **pretrained_keywords(path, options))


def load_tokenizer(language_model: str, options: LoadOptions = AS_IT_IS, **how: Any) -> Any:
    """The tokeniser of a language model; `how` goes to AutoTokenizer."""
    path = resolve_language_model(language_model)
    load = AutoTokenizer.from_pretrained
    how |= pretrained_keywords(path, options)
    return load_guarded("language model's tokeniser", path, load, TOKENIZER, **how)


def load_language_model(
    language_model: str, dtype: torch.dtype | Literal["auto"], options: LoadOptions = AS_IT_IS
) -> PreTrainedModel:
    """A language model with its head, "auto" in the format of its files; in 4 or 8 bits where `options` say so."""
    path = resolve_language_model(language_model)
    how = pretrained_keywords(path, options, dtype=dtype, quantise=True)
    load = AutoModelForCausalLM.from_pretrained
    loaded = load_guarded("language model", path, load, WEIGHTS, output_loading_info=True, **how)
    return all_there("language model", path, loaded)


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
    loaded = load_guarded("vision tower", path, load, WEIGHTS, config=config, output_loading_info=True, **how)
    return all_there("vision tower", path, loaded, _SPARE)
