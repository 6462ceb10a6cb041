"""A model from its settings: a LLaVA of parts, or a whole image-text model."""

import torch

from vqa_core.config import ModelSettings
from vqa_core.model.hub.assembly import build_hub_model
from vqa_core.model.loading import LoadOptions
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.vlm import build_vlm


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
