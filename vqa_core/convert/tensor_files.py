"""Read tensors from safetensors files, and from pickles without running anything in them."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vqa_core.files import InputError, named, read_json

_WHOLE = ("model.safetensors", "pytorch_model.bin")


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a `torch.save`d dict, by name, on the CPU; else an InputError."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        # zip files, which torch writes since 2020, need not be copied into memory
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        raise InputError(
            f"{path} is damaged, or not a file of tensors alone: {str(error).splitlines()[0]} Nothing in it was run. "
            "Copy it anew, or have it saved again as tensors by name."
        ) from None
    tensors = loaded if isinstance(loaded, dict) else {}
    strange = [str(name) for name, value in tensors.items() if not isinstance(value, Tensor)]
    if strange or not tensors:
        raise InputError(f"{path} has to hold tensors by name, found {named(strange) or type(loaded).__name__}.")
    return tensors


def load_whole(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model folder, sharded or not, from safetensors rather than pickles; {} if it has no model."""
    for single in _WHOLE:
        index = folder / f"{single}.index.json"
        if index.is_file():
            shards = sorted(set(read_json(index)["weight_map"].values()))
            if missing := [name for name in shards if not (folder / name).is_file()]:
                raise InputError(f"{index} names {named(missing)}, which is not there. Copy the whole folder.")
            return {name: tensor for shard in shards for name, tensor in load_tensors(folder / shard).items()}
        if (folder / single).is_file():
            return load_tensors(folder / single)
    return {}
