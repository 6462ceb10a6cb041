"""Export a model folder as a folder of original LLaVA, for `llava-torch` 1.2. Tensors keep their number format.

stage `align`    config.json, mm_projector.bin
stage `lora`     config.json, adapter_config.json, adapter_model.bin, non_lora_trainables.bin
stage `full`     config.json, model.safetensors, the tokeniser: the whole model
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedConfig

from vqa_core.commands import shell_word
from vqa_core.config import ModelSettings
from vqa_core.convert.llava_checkpoint import (
    BOUNDARY_TOKENS,
    EMBEDDINGS,
    HEAD,
    LANGUAGE_TYPES,
    NON_LORA,
    PROJECTOR,
    lora_targets,
)
from vqa_core.convert.llava_parts import copy_tokenizer
from vqa_core.files import InputError, write_json
from vqa_core.model.embedded import resolve_language_model, resolve_vision_tower
from vqa_core.model.folder import tensors_of
from vqa_core.model.loading import LoadOptions
from vqa_core.model.parts import language_config, load_language_model, load_tokenizer, preprocessor_of, tower_config
from vqa_core.model.projectors import is_mlp
from vqa_core.prompts.styles import PROMPT_STYLES, prompt_style
from vqa_core.runs.model_folder import ModelFolder, Stage
from vqa_core.settings import shown

_OURS = "model.multi_modal_projector."
_MATRICES = EMBEDDINGS, HEAD

CONV_MODES = {
    "vicuna_v1": "vicuna_v1", "llava_v1": "llava_v1", "llava_v0": "llava_v0", "llama_2": "llama_2",
    "llava_llama_2": "llava_llama_2", "mistral": "mistral_instruct",
}  # fmt: skip
"""Our prompt style -> the `--conv-mode` with which LLaVA writes the same prompt. For other styles LLaVA has none."""


def export_llava(model: ModelFolder, out: Path) -> str:
    """Write the folder `out`; return advice for its user, in sentences.

    Raises InputError for what LLaVA does not have: another projector, tower, or way to make a picture square.
    """
    settings, stage = model.settings, model.stage
    _refuse_what_llava_lacks(settings)
    tensors = tensors_of(model.folder)
    projector, boundaries = _projector(tensors, settings)
    config = _config(settings)
    out.mkdir(parents=True, exist_ok=True)
    added: dict[str, Tensor] = {}
    grows = False
    if boundaries is not None:
        tokenizer = load_tokenizer(settings.language_model, LoadOptions.of(settings))
        language = _language(tensors) if stage.name == "full" else _matrices(settings, boundaries.dtype)
        wanted = (EMBEDDINGS,) if stage.name == "align" else _MATRICES
        matrices = {name: language[name] for name in wanted if name in language}
        added = _with_boundaries(matrices, boundaries, tokenizer)
        config["mm_use_im_start_end"] = True
        if grows := _token_ids(tokenizer) is None:
            config["vocab_size"] = len(tokenizer) + 2
    if stage.name == "full":
        save_file(projector | _language(tensors) | added, out / "model.safetensors", metadata={"format": "pt"})
        copy_tokenizer(resolve_language_model(settings.language_model), out, LoadOptions.of(settings))
    elif stage.name == "lora":
        lora = _lora(tensors)
        write_json(out / "adapter_config.json", _adapter_config(stage, settings, lora_targets(lora)))
        torch.save(lora, out / "adapter_model.bin")
        # the head too: if both have to grow, LLaVA's loader leaves both empty and fills them from this file
        torch.save({f"base_model.model.{name}": tensor for name, tensor in (projector | added).items()}, out / NON_LORA)
    else:
        torch.save(projector | added, out / PROJECTOR)
    write_json(out / "config.json", config)
    return _advice(out, stage, settings, grows=grows)


def _refuse_what_llava_lacks(settings: ModelSettings) -> None:
    tower = tower_config(settings.vision_tower, LoadOptions.of(settings))
    crop = preprocessor_of(settings.vision_tower, LoadOptions.of(settings)).get("crop_size", tower.image_size)
    side = crop["height"] if isinstance(crop, dict) else crop
    lacks = {
        f"a projector {settings.projector!r}": settings.projector != "linear" and not is_mlp(settings.projector),
        f"a vision tower of type {tower.model_type!r}, only CLIP's": tower.model_type != "clip_vision_model",
        f"pictures of {settings.image_side_px} px, only the tower's own {side}": settings.image_side_px != side,
        f"--image-aspect {settings.image_aspect}": settings.image_aspect not in ("square", "pad"),
    }
    if what := [reason for reason, true in lacks.items() if true]:
        raise InputError(f"LLaVA does not have {'; nor '.join(what)}. The model can't be written for it.")


def _projector(tensors: dict[str, Tensor], settings: ModelSettings) -> tuple[dict[str, Tensor], Tensor | None]:
    """The projector under LLaVA's names, and the boundary vectors (2, D)."""
    found = {name.removeprefix(_OURS): tensor for name, tensor in tensors.items() if name.startswith(_OURS)}
    boundaries = torch.stack([found.pop("start"), found.pop("end")]) if settings.image_boundaries else None
    theirs = {}
    for name, tensor in found.items():
        layer, _, kind = name.removeprefix("patches.").rpartition(".")
        place = f"{2 * (int(layer.removeprefix('linear_')) - 1)}." if layer else ""  # nn.Sequential with GELUs between
        theirs[f"model.mm_projector.{place}{kind}"] = tensor
    return theirs, boundaries


def _language(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    ours = "model.language_model."
    return {f"model.{name.removeprefix(ours)}": t for name, t in tensors.items() if name.startswith(ours)} | {
        name: tensor for name, tensor in tensors.items() if name == HEAD
    }


def _lora(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    ours = "model.language_model."
    return {
        f"base_model.model.model.{name.removeprefix(ours)}".replace(".default.", "."): tensor
        for name, tensor in tensors.items()
        if name.startswith(ours)
    }


def _matrices(settings: ModelSettings, dtype: torch.dtype) -> dict[str, Tensor]:
    """Embeddings and head, (V, D) each, of the untrained language model."""
    language = load_language_model(settings.language_model, torch.float32, LoadOptions.of(settings))
    layers = language.get_input_embeddings(), language.get_output_embeddings()
    return {name: layer.weight.detach().to(dtype) for name, layer in zip(_MATRICES, layers, strict=True)}


def _token_ids(tokenizer: Any) -> list[int] | None:
    """The ids of `<im_start>` and `<im_end>`; None if the tokeniser does not have them."""
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[token] for token in BOUNDARY_TOKENS] if vocabulary.keys() >= set(BOUNDARY_TOKENS) else None


def _with_boundaries(matrices: dict[str, Tensor], vectors: Tensor, tokenizer: Any) -> dict[str, Tensor]:
    """The matrices (V, D) of the language model that change when `vectors` (2, D) become rows of the embeddings.

    A tokeniser that has the two tokens, such as that of a whole LLaVA, has rows for them. To any other LLaVA appends
    them, so they get its next two ids; the head then gets the mean of its rows for each, as in LLaVA.
    """
    if ids := _token_ids(tokenizer):
        return {EMBEDDINGS: matrices[EMBEDDINGS].index_copy(0, torch.tensor(ids), vectors.to(matrices[EMBEDDINGS]))}
    grown = {}
    for name, matrix in matrices.items():
        kept = matrix[: len(tokenizer)]
        added = vectors if name == EMBEDDINGS else kept.float().mean(0, keepdim=True).expand(2, -1)
        grown[name] = torch.cat([kept, added.to(kept)])
    return grown


def _adapter_config(stage: Stage, settings: ModelSettings, targets: tuple[str, ...]) -> dict[str, Any]:
    return {
        "base_model_name_or_path": settings.language_model,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": stage.lora_alpha,
        "lora_dropout": stage.lora_dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": stage.lora_rank,
        "target_modules": list(targets),  # the stage's own may be none, which means all
        "task_type": "CAUSAL_LM",
    }


def _config(settings: ModelSettings) -> dict[str, Any]:
    """config.json: the keys of the language model in the spelling of transformers 4, and LLaVA's own."""
    language = language_config(settings.language_model, LoadOptions.of(settings))
    kinds = {language_type: name for name, language_type in LANGUAGE_TYPES.items()}  # the later name of two
    if language.model_type not in kinds:
        raise InputError(
            f"llava-torch has no language model of type {language.model_type!r}, only {' and '.join(kinds)}. "
            "The model can't be written for it."
        )
    tower = Path(resolve_vision_tower(settings.vision_tower))
    return _of_transformers_4(language) | {
        "_name_or_path": settings.language_model,
        "model_type": kinds[language.model_type],
        "architectures": ["LlavaMistralForCausalLM" if language.model_type == "mistral" else "LlavaLlamaForCausalLM"],
        "mm_vision_tower": str(tower.resolve()) if tower.is_dir() else settings.vision_tower,
        "mm_hidden_size": tower_config(settings.vision_tower, LoadOptions.of(settings)).hidden_size,
        "mm_projector_type": settings.projector,
        "mm_vision_select_layer": settings.vision_feature_layer,
        "mm_vision_select_feature": "patch",
        "mm_patch_merge_type": "flat",
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "use_mm_proj": True,
        "image_aspect_ratio": settings.image_aspect,
        "tokenizer_padding_side": "right",
    }


def _of_transformers_4(config: PreTrainedConfig) -> dict[str, Any]:
    """A language model's config with `rope_theta`, `rope_scaling`, `torch_dtype`: 4.x ignores 5.x's names for them."""
    values = config.to_dict()
    rope = dict(values.pop("rope_parameters", None) or {})
    values["rope_theta"] = rope.pop("rope_theta", 10000.0)
    kind = rope.pop("rope_type", "default")
    values["rope_scaling"] = None if kind == "default" else {"type": kind, "rope_type": kind, **rope}
    values["torch_dtype"] = str(values.pop("dtype", None) or "float32").removeprefix("torch.")
    return {key: value for key, value in values.items() if key not in ("transformers_version", "layer_types")}


def _advice(out: Path, stage: Stage, settings: ModelSettings, *, grows: bool) -> str:
    """How to load the folder in llava-torch, which decides by the folder's name."""
    words = ("llava", "lora") if stage.name == "lora" else ("llava",)
    missing = [word for word in words if word not in out.name.lower()]
    said = f"llava-torch goes by a folder's name: it has to contain {' and '.join(words)}. " if missing else ""
    if stage.name != "full":
        said += (
            f"Load it there with --model-path {shell_word(out)} "
            f"--model-base {shell_word(resolve_language_model(settings.language_model))}. "
        )
    if grows and stage.name == "align":
        said += (
            "Its loader can't read im_start and im_end beside a projector (a size mismatch of embed_tokens); "
            "--pretrain_mm_mlp_adapter with --mm_use_im_patch_token False can, and so can this workbench."
        )
    return said + _conversation_mode(settings)


def _conversation_mode(settings: ModelSettings) -> str:
    """The `--conv-mode` with which LLaVA writes the prompt of training."""
    style = prompt_style(settings.prompt_style)
    mode = next((theirs for ours, theirs in CONV_MODES.items() if PROMPT_STYLES[ours] == style), None)
    if mode is None:
        return (
            f"LLaVA has no --conv-mode for the prompt of training, {shown(settings.prompt_style)}: "
            "its answers may be worse there."
        )
    behind = f", and {shown(settings.instruction)} on a line of its own after each question"
    return f"Ask it there with --conv-mode {mode}{behind if settings.instruction else ''}."
