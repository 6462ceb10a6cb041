"""Whether what is put together fits: tokeniser and embedding, tower and settings, projector and parts.

What does not fit would end in an error of torch's, perhaps at the thousandth question.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from vqa_core.config import ModelSettings
from vqa_core.files import InputError, named
from vqa_core.runs.damaged_files import read_header, read_object
from vqa_core.runs.hub_folder import weight_files
from vqa_core.runs.quantised import method_of

_MOST = 200_000_000  # numbers: so many more than there are, drawn at random, may take all memory
_MODELS = {
    "language model": MODEL_FOR_CAUSAL_LM_MAPPING,
    "model": MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    "vision tower": MODEL_MAPPING,
}


def check_size(what: str, folder: Path) -> None:
    """An InputError where config.json tells of a far larger model than the files hold, before memory is taken for it.

    Such is a config without its `text_config`, which then stands for the sizes of a 7B model.
    """
    config = read_object(folder / "config.json")
    kind = config.get("model_type")
    if config.get("auto_map") or method_of(config) or kind not in CONFIG_MAPPING:
        return
    try:
        described = CONFIG_MAPPING[kind].from_dict(config)
        with torch.device("meta"):
            expected = sum(part.numel() for part in _MODELS[what][type(described)](described).parameters())
    except Exception:  # loading says why
        return
    found = sum(map(_numbers_in, weight_files(folder)))
    if expected > found + _MOST:
        raise InputError(
            f"The {what} '{folder}' has {found:,} numbers in its files, and its config.json tells of {expected:,}: it "
            "is that of another model, or a part of it is missing (text_config, vision_config). Fetch both anew, from "
            "one version of the model."
        )


def _numbers_in(path: Path) -> int:
    """How many numbers a file of weights holds; of a pickle, how many it can hold at most."""
    if path.suffix != ".safetensors":
        return path.stat().st_size
    return sum(prod(tensor.shape) for tensor in read_header(path).values())


def check_vocabulary(tokenizer: Any, model: PreTrainedModel, name: str) -> None:
    """An InputError where the tokeniser has tokens that the embedding has no row for. The reverse is common, and fine.

    `name` is the folder or hub id of the language model, or of the whole model.
    """
    rows = rows_of(model)
    beyond = sorted((index, token) for token, index in tokenizer.get_vocab().items() if index >= rows)
    if beyond:
        raise InputError(
            f"The tokeniser of {name!r} has {len(beyond)} tokens that its embedding of {rows:,} rows has none for: "
            f"{named([token for _, token in beyond])} (ids from {beyond[0][0]}). Fetch the tokeniser and the weights "
            "from one version of the model, or take tokens that were added later out of tokenizer.json and "
            "added_tokens.json."
        )


def check_config(processor: Any, model: PreTrainedModel, name: str, *, one_token: bool) -> None:
    """An InputError where a whole model's config names a layer or a token that the model does not have.

    `one_token` is whether the token that its processor writes for a picture has to be the one in its config.
    """
    seen = getattr(getattr(model.config, "vision_config", None), "num_hidden_layers", None)
    layer = getattr(model.config, "vision_feature_layer", None)
    if isinstance(seen, int) and isinstance(layer, int) and not -seen - 1 <= layer <= seen:
        raise InputError(
            f"{name!r}: config.json has vision_feature_layer {layer}, and its vision side has {seen} layers. Fetch "
            "config.json anew, from the version of the weights."
        )
    expected, rows = getattr(model.config, "image_token_id", None), rows_of(model)
    if not isinstance(expected, int):
        return
    if not 0 <= expected < rows:
        raise InputError(
            f"{name!r}: config.json has {expected} as the token of the picture (image_token_index or image_token_id), "
            f"and the embedding has {rows:,} rows. Fetch config.json and the weights from one version of the model."
        )
    written = getattr(processor, "image_token_id", None)
    if one_token and isinstance(written, int) and written != expected:
        raise InputError(
            f"{name!r}: its processor writes token {written} for the picture, config.json says {expected} "
            "(image_token_index or image_token_id). Fetch the folder anew, from one version of the model."
        )


def rows_of(model: PreTrainedModel) -> int:
    """The rows of a model's embedding: the number of tokens that it knows."""
    embedding: Any = model.get_input_embeddings()
    return int(getattr(embedding, "num_embeddings", None) or embedding.weight.shape[0])


def check_tower(tower: PreTrainedModel, settings: ModelSettings) -> None:
    """An InputError for a tower that has no square patches, or not the layer that the settings name."""
    config = tower.config
    sizes = [getattr(config, name, None) for name in ("hidden_size", "patch_size", "image_size")]
    if not all(isinstance(size, int) and not isinstance(size, bool) for size in sizes):
        raise InputError(
            f"The vision tower {settings.vision_tower!r} is of type {config.model_type!r}, whose config.json has no "
            "hidden_size, patch_size and image_size as whole numbers. Choose a tower of one size and square patches, "
            "such as CLIP, SigLIP or DINOv2."
        )
    layers, layer = config.num_hidden_layers, settings.vision_feature_layer
    if not -layers - 1 <= layer <= layers:
        raise InputError(
            f"--vision-feature-layer {layer}: the vision tower {settings.vision_tower!r} has {layers} layers. Choose "
            f"from {-layers - 1} to {layers}; -2 is the last but one."
        )


def check_projector(projector: nn.Module, settings: ModelSettings, tensors: Mapping[str, Tensor], source: Path) -> None:
    """An InputError for a trained projector between other sizes than those of the parts that `settings` name.

    Args:
        tensors: trained weights by their names in the model, as `source` has them.
    """
    prefix = "model.multi_modal_projector."
    given = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    own = {prefix + name: parameter for name, parameter in projector.named_parameters()}
    if given.keys() != own.keys() or all(given[name].shape == own[name].shape for name in own):
        return
    theirs, ours = (_ends([each[name] for name in own]) for each in (given, own))
    raise InputError(
        f"{source}: its projector leads from {theirs[0]} numbers to {theirs[1]}, and between the vision tower "
        f"{settings.vision_tower!r} and the language model {settings.language_model!r} it has to lead from {ours[0]} "
        f"to {ours[1]}. Name the parts that it was trained with, or train a new projector without --init-from."
    )


def _ends(tensors: list[Tensor]) -> tuple[int, int]:
    """The size that a projector takes, and the one that it gives."""
    matrices = [tensor for tensor in tensors if tensor.ndim == 2]
    return int(matrices[0].shape[1]), int(matrices[-1].shape[0])
