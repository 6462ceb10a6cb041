"""A model from its settings: a LLaVA of parts, or a whole image-text model."""

import torch

from vqa_core.config import ModelSettings, PredictSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.model.hub.assembly import build_hub_model
from vqa_core.model.loading import LoadOptions
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.vlm import Vlm, build_vlm


def build_any(
    settings: ModelSettings,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    seed: int = 0,
    options: LoadOptions | None = None,
) -> AnyVlm:
    """A whole image-text model where the settings name one, else a LLaVA of their parts."""
    if settings.base_model:
        return build_hub_model(settings, dtype=dtype, attention=attention, options=options)
    return build_vlm(settings, dtype=dtype, attention=attention, seed=seed, options=options)


def keep_features(vlm: AnyVlm, settings: TrainSettings | PredictSettings) -> AnyVlm:
    """The model with the feature cache of the settings, if they name one. Raises InputError for a whole model."""
    if not settings.feature_cache:
        return vlm
    if not isinstance(vlm, Vlm):
        raise InputError(
            f"--feature-cache {settings.feature_cache} keeps what a vision tower makes of pictures, and --base-model "
            f"{vlm.settings.base_model} has its tower within. Leave the flag out."
        )
    return vlm.with_features(settings.feature_cache, settings.feature_cache_gb)
