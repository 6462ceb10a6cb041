"""A model from its settings, and the same model with another prompt: of parts, or whole."""

import torch

from vqa_core.config import ModelSettings
from vqa_core.model.hub import assembly
from vqa_core.model.hub.hub_model import HubModel
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
        return assembly.build_hub_model(settings, dtype=dtype, attention=attention, options=options)
    return build_vlm(settings, dtype=dtype, attention=attention, seed=seed, options=options)


def with_prompt(vlm: AnyVlm, settings: ModelSettings) -> AnyVlm:
    """The same model with the prompt style and the instruction of `settings`.

    Raises InputError where a whole model can't be asked so.
    """
    if isinstance(vlm, HubModel):
        return assembly.with_prompt(vlm, settings)
    assert isinstance(vlm, Vlm)
    return vlm.with_prompt(settings)
