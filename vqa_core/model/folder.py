"""The weights of a model folder: written, read, and put into a model. vqa_core/runs/model_folder.py has its layout."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, load_file, save
from torch import Tensor

from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.drives import refused, warn
from vqa_core.files import InputError, write_atomically, write_json
from vqa_core.model.build import build_any
from vqa_core.model.loading import LoadOptions, load_in_of
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.sharding import whole
from vqa_core.model.stages import load_trained, merge_lora, prepare_stage, trained_tensors
from vqa_core.model.vlm import DTYPES, Vlm, cast_weights
from vqa_core.prompts.styles import changed_prompt
from vqa_core.runs.model_folder import FORMAT, Stage, describe_model_folder
from vqa_core.settings import differences

logger = logging.getLogger("vqa")


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """The trained weights of a model folder by parameter name, as they are stored."""
    path = folder / "trained.safetensors"
    try:
        return dict(load_file(path))
    except OSError as error:
        if not refused("mmap", error):
            raise
        tensors = load(path.read_bytes())
        warn("mmap", error, path)
        return dict(tensors)


def save_model_folder(
    folder: Path,
    vlm: AnyVlm,
    stage: Stage,
    *,
    tensors: dict[str, Tensor] | None = None,
    save_dtype: str = "fp32",
    about: dict[str, Any],
) -> None:
    """Write trained weights and their description.

    Args:
        tensors: weights by name, where they are not those that `vlm` holds.
        about: free-form and kept as it is (steps, scores, data).
    """
    tensors = trained_tensors(vlm) if tensors is None else tensors
    tensors = {name: whole(value).to(DTYPES[save_dtype]) for name, value in tensors.items()}
    write_model_folder(folder, vlm.settings, stage, tensors, about={"image_tokens": vlm.image_tokens, **about})


def write_model_folder(
    folder: Path, settings: ModelSettings, stage: Stage, tensors: dict[str, Tensor], *, about: dict[str, Any]
) -> None:
    """Write a model folder from its contents, tensors as they are; `about` is free-form.

    A whole model's weights are identified by its name, so the name is in the metadata of the file whose hash stands for
    them. It is the only entry: safetensors writes several in any order.
    """
    whole = "@".join([settings.base_model, *settings.revision])
    metadata = {"base_model": whole} if settings.base_model else {"format": "pt"}
    write_atomically(folder / "trained.safetensors", save(tensors, metadata=metadata))
    described = {"format": FORMAT, "model": settings.to_dict(), "stage": asdict(stage)}
    write_json(folder / "vqa.json", described | about)


def start_from(vlm: AnyVlm, folder: Path) -> None:
    """Load a model folder's weights into the parameters that `prepare_stage` made trainable.

    A folder of stage `align` has a projector alone, one of stage `base` nothing; other trainable weights then start as
    they are in the base.
    """
    given = describe_model_folder(folder)
    if said := changed_prompt(given.settings, vlm.settings):
        logger.warning("%s", said)
    of_prompt = dict.fromkeys(("prompt_style", "instruction", "choice_instruction", "choice_scoring"), "")
    theirs, ours = (model.to_dict() | of_prompt for model in (given.settings, vlm.settings))
    if said := differences(theirs, ours):
        logger.warning("%s was trained with %s. Leave these settings out to keep its own.", folder, said)
    alone = given.stage.name in ("align", "base")
    base = {name: t for name, t in trained_tensors(vlm).items() if alone and ".multi_modal_projector." not in name}
    load_trained(vlm, base | tensors_of(folder), folder / "trained.safetensors")


def load_model_folder(
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    merge: bool = True,
    how: PredictSettings | None = None,
) -> AnyVlm:
    """Read what `save_model_folder` wrote. LoRA is merged into the language model unless `merge` is false.

    Merging computes in fp32 and rounds once to `dtype`; the model comes back frozen and wholly in `dtype`. `how` says
    in how many bits the parts are loaded and whose code may run; LoRA stays beside a language model in 4 or 8 bits.
    """
    given = describe_model_folder(folder)
    vlm = build_any(given.settings, dtype=dtype, attention=attention, options=LoadOptions.of(given.settings, how))
    prepare_stage(vlm, given.stage)
    load_trained(vlm, tensors_of(folder), folder / "trained.safetensors")
    if merge:
        if load_in_of(vlm.language_model) == "full":
            merge_lora(vlm.language_model)
        vlm.model.requires_grad_(False)
        cast_weights(vlm.model, dtype)
    vlm.model.eval()
    return vlm


def load_llava_folder(folder: Path, *, dtype: torch.dtype = torch.float32) -> Vlm:
    """As `load_model_folder`; an InputError for a folder whose model is no LLaVA of parts."""
    given = describe_model_folder(folder)
    vlm = None if given.settings.base_model else load_model_folder(folder, dtype=dtype)
    if not isinstance(vlm, Vlm):
        raise InputError(
            f"{folder} belongs to the whole model {given.settings.base_model!r}; this needs a model of a vision tower, "
            "a projector and a language model."
        )
    return vlm
