"""Import an original LLaVA checkpoint: it becomes a model folder, which all commands can use.

A projector or LoRA goes into the model folder. Other parts that LLaVA trained become Hugging Face folders beside it. No
tensor is changed or rounded on the way.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vqa_core.config import ModelSettings
from vqa_core.convert.llava_checkpoint import LlavaCheckpoint, config_number, lora_targets, read_llava
from vqa_core.convert.llava_parts import with_own_parts
from vqa_core.files import InputError, named
from vqa_core.model.folder import write_model_folder
from vqa_core.model.loading import LoadOptions
from vqa_core.model.parts import language_config, load_tokenizer, preprocessor_of, tower_config
from vqa_core.prompts.chat_template import written_out
from vqa_core.prompts.styles import OWN_TEMPLATE
from vqa_core.runs.model_folder import Stage
from vqa_core.settings import resolve

# The PEFT settings that change what LoRA computes, each with the values that this import supports.
_PLAIN_LORA: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",), "bias": ("none",), "fan_in_fan_out": (False,), "use_rslora": (False,), "use_dora": (False,),
    "modules_to_save": (None, []), "rank_pattern": (None, {}), "alpha_pattern": (None, {}),
}  # fmt: skip


def import_llava(source: Path, out: Path, overrides: Mapping[str, Any]) -> None:
    """Write the model folder `out`, and beside it `out-language-model` and `out-vision-tower` if needed.

    Args:
        source: a LLaVA folder, see llava_checkpoint.py.
        overrides: model settings that override those of LLaVA's config.json. `language_model` is the base that LLaVA
            trained; without `prompt_style`, which no checkpoint records, the style is the `v1` of its time.

    vqa.json is written last. Raises InputError if the checkpoint needs something that is not supported here, or if a
    folder beside `out` exists already.
    """
    checkpoint = read_llava(source)
    _refuse_what_is_not_supported(checkpoint)
    stage, trained = _lora(checkpoint) if checkpoint.lora else (Stage("align"), {})
    settings = _settings(checkpoint, overrides)
    settings = with_own_parts(checkpoint, settings, overrides.get("language_model"), out)
    kept = {"", settings.vision_tower, settings.language_model}  # the folders beside it have no revision
    settings = replace(settings, revision=tuple(r for r in settings.revision if r.rpartition("@")[0] in kept))
    if settings.prompt_style == OWN_TEMPLATE:
        settings = written_out(settings, load_tokenizer(settings.language_model, LoadOptions.of(settings)))
    about = {"converted": {"from": str(source.resolve()), "kind": checkpoint.kind}}
    write_model_folder(out, settings, stage, projector_tensors(checkpoint) | trained, about=about)


def projector_tensors(checkpoint: LlavaCheckpoint) -> dict[str, Tensor]:
    """The projector under the names of our parameters, with its boundary vectors."""
    prefix = "model.multi_modal_projector."
    if checkpoint.boundaries is None:
        return {prefix + name: tensor for name, tensor in checkpoint.projector.items()}
    ours = {f"{prefix}patches.{name}": tensor for name, tensor in checkpoint.projector.items()}
    start, end = (vector.clone() for vector in checkpoint.boundaries)
    return ours | {f"{prefix}start": start, f"{prefix}end": end}


def _refuse_what_is_not_supported(checkpoint: LlavaCheckpoint) -> None:
    for key, allowed in (
        ("mm_vision_select_feature", (None, "patch")),
        ("image_aspect_ratio", (None, "square", "pad")),
        ("mm_patch_merge_type", (None, "flat")),
        ("mm_resampler_type", (None,)),
    ):
        if (value := checkpoint.config.get(key)) not in allowed:
            known = " or ".join(str(one) for one in allowed if one) or "no such key"
            raise InputError(f"{checkpoint.folder / 'config.json'}: {key} {value!r} is not supported, only {known} is.")


def _settings(checkpoint: LlavaCheckpoint, overrides: Mapping[str, Any]) -> ModelSettings:
    """The settings of the checkpoint; its vision tower and language model must have the sizes in its config.json."""
    folder, config = checkpoint.folder, checkpoint.config
    tower = overrides.get("vision_tower") or config.get("mm_vision_tower")
    if not tower or not isinstance(tower, str):
        raise InputError(f"{folder}: config.json has no mm_vision_tower. Name the tower with --vision-tower.")
    options = LoadOptions(revision=tuple(overrides.get("revision", ())))
    with _named_in(checkpoint, overrides, "mm_vision_tower", "vision_tower"):
        tower_size, preprocessor = tower_config(tower, options), preprocessor_of(tower, options)
    _check_size(checkpoint, "mm_hidden_size", tower, getattr(tower_size, "hidden_size", None))
    _check_layer(checkpoint, tower, getattr(tower_size, "num_hidden_layers", 0))
    base = overrides.get("language_model") or config.get("_name_or_path")
    if checkpoint.kind != "full":
        if not base or not isinstance(base, str):
            raise InputError(f"{folder} does not say which language model it was trained on. Name it with --base.")
        with _named_in(checkpoint, overrides, "_name_or_path", "language_model"):
            base_size = language_config(base, options)
        for key in ("hidden_size", "num_hidden_layers"):
            _check_size(checkpoint, key, base, getattr(base_size, key, None))
    of_checkpoint = {
        "vision_tower": tower,
        "language_model": base or "",
        "projector": checkpoint.projector_kind,
        "vision_feature_layer": config_number(folder, config, "mm_vision_select_layer"),
        "image_side_px": _side_px(preprocessor, tower_size),
        "image_aspect": config.get("image_aspect_ratio") or "square",
        "image_boundaries": checkpoint.boundaries is not None,
        "prompt_style": "vicuna_v1_start_end" if _stripped_blanks(checkpoint) else "vicuna_v1",
    }
    return resolve(ModelSettings, of_checkpoint, overrides)


def _stripped_blanks(checkpoint: LlavaCheckpoint) -> bool:
    """Whether its tokeniser stripped the blanks around `<im_start>` and `<im_end>`, as before transformers 4.34."""
    found = re.match(r"(\d+)\.(\d+)", str(checkpoint.config.get("transformers_version", "")))
    return checkpoint.boundaries is not None and found is not None and (int(found[1]), int(found[2])) < (4, 34)


def _side_px(preprocessor: Mapping[str, Any], tower: Any) -> int:
    """The side of the square that the tower's preprocessor cuts, else of the one that the tower was made for."""
    crop = preprocessor.get("crop_size", tower.image_size)
    return int(crop.get("height") or crop.get("shortest_edge") or tower.image_size if isinstance(crop, dict) else crop)


@contextmanager
def _named_in(checkpoint: LlavaCheckpoint, overrides: Mapping[str, Any], key: str, setting: str) -> Iterator[None]:
    """Where a part that config.json names can't be had, as its path is one of another machine: which flag names it."""
    try:
        yield
    except InputError as error:
        if overrides.get(setting):
            raise
        flag = "--base" if setting == "language_model" else "--vision-tower"
        raise InputError(
            f"{checkpoint.folder / 'config.json'} names {checkpoint.config.get(key)!r} as {key}, and that can't be "
            f"read: {error} Say with {flag} where it lies, or which hub id it has."
        ) from error


def _check_layer(checkpoint: LlavaCheckpoint, tower: str, layers: int) -> None:
    layer = config_number(checkpoint.folder, checkpoint.config, "mm_vision_select_layer")
    if not -layers - 1 <= layer <= layers:
        raise InputError(
            f"{checkpoint.folder / 'config.json'} has mm_vision_select_layer {layer}, and the vision tower {tower!r} "
            f"has {layers} layers. Name the tower that it was trained with by --vision-tower."
        )


def _check_size(checkpoint: LlavaCheckpoint, key: str, part: str, found: Any) -> None:
    expected = config_number(checkpoint.folder, checkpoint.config, key)
    if found != expected:
        raise InputError(
            f"{checkpoint.folder} was trained with another model than {part!r}: its {key} is {expected}, that one's is "
            f"{found}. Name the right one with --base or --vision-tower."
        )


def _lora(checkpoint: LlavaCheckpoint) -> tuple[Stage, dict[str, Tensor]]:
    """The stage that LoRA's config describes, and LoRA's matrices under the names of our parameters."""
    folder, config = checkpoint.folder, checkpoint.lora_config
    for key, allowed in _PLAIN_LORA.items():
        if config.get(key, allowed[0]) not in allowed:
            raise InputError(f"{folder / 'adapter_config.json'}: {key} {config[key]!r} is not supported.")
    strange = [name for name in checkpoint.lora if not (name.startswith("model.layers.") and ".lora_" in name)]
    if strange:
        raise InputError(f"{folder}: expected LoRA matrices of model.layers, found {named(sorted(strange))} as well.")
    rank, alpha, dropout = config.get("r"), config.get("lora_alpha"), config.get("lora_dropout") or 0.0
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or not isinstance(dropout, int | float):
        raise InputError(
            f"{folder / 'adapter_config.json'}: r, lora_alpha and lora_dropout have to be numbers, "
            f"found {rank!r}, {alpha!r} and {dropout!r}. "
            "Copy the folder of that training anew, whole."
        )
    stage = Stage("lora", rank, float(alpha), float(dropout), lora_targets(checkpoint.lora))
    trained = {
        f"model.language_model.{name.removeprefix('model.')}".replace(".weight", ".default.weight"): tensor
        for name, tensor in checkpoint.lora.items()
    }
    return stage, trained
