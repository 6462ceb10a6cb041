"""The parts of a model, by name: `embedded`, the folder of a Hugging Face model, or a hub id.

Every function raises InputError when the part can't be loaded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.image_processing_base import ImageProcessingMixin

from vqa_core.files import InputError
from vqa_core.llava_checkpoint import is_llava_folder
from vqa_core.pretrained import resolve_language_model, resolve_vision_tower


def preprocessor_of(tower: str) -> dict[str, Any]:
    """Content of a vision tower's preprocessor_config.json."""
    load = ImageProcessingMixin.get_image_processor_dict
    settings, _ = _load("vision tower's preprocessor", load, resolve_vision_tower(tower))
    return dict(settings)


def tower_config(tower: str) -> PreTrainedConfig:
    """Config of a vision tower; of a two-sided model such as CLIP that of its vision side."""
    config = _load("vision tower", AutoConfig.from_pretrained, resolve_vision_tower(tower))
    return getattr(config, "vision_config", config)


def language_config(language_model: str) -> PreTrainedConfig:
    """Config of a language model."""
    return _load("language model", AutoConfig.from_pretrained, resolve_language_model(language_model))


def load_tokenizer(language_model: str, **how: Any) -> Any:
    """The tokeniser of a language model; `how` goes to AutoTokenizer."""
    path = resolve_language_model(language_model)
    return _load("language model's tokeniser", AutoTokenizer.from_pretrained, path, **how)


def load_language_model(language_model: str, dtype: torch.dtype) -> PreTrainedModel:
    """A language model with its head."""
    path = resolve_language_model(language_model)
    return _load("language model", AutoModelForCausalLM.from_pretrained, path, dtype=dtype)


def load_tower(tower: str, dtype: torch.dtype) -> PreTrainedModel:
    """A vision tower; of a two-sided model such as CLIP only the vision side."""
    config, path = tower_config(tower), resolve_vision_tower(tower)
    if type(config) not in MODEL_MAPPING:
        raise InputError(
            f"The vision tower {path!r} is of type {config.model_type!r}, which transformers has no model for."
        )
    return _load("vision tower", MODEL_MAPPING[type(config)].from_pretrained, path, config=config, dtype=dtype)


def _load(what: str, load: Callable[..., Any], path: str, **how: Any) -> Any:
    if is_llava_folder(Path(path)):  # transformers would take it for another model, with default sizes
        raise InputError(
            f"The {what} {path!r} is an original LLaVA checkpoint. Convert it first: "
            f"python -m train.convert --from {path} --to DIR"
        )
    try:
        return load(path, **how)
    except (OSError, ValueError) as error:
        raise InputError(
            f"The {what} {path!r} can't be loaded: {str(error).splitlines()[0]} "
            "Give `embedded`, the folder of a Hugging Face model, or a hub id that this machine can reach."
        ) from error
