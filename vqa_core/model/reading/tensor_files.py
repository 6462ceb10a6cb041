"""Read tensors from safetensors files, and from pickles without running anything in them."""

import zipfile
from pathlib import Path

import torch
from safetensors.torch import load, load_file
from torch import Tensor

from vqa_core.files import InputError, named
from vqa_core.runs.damaged_files import is_safetensors
from vqa_core.runs.hub_folder import weight_files


def load_tensors(path: Path, *, may_be_empty: bool = False) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a `torch.save`d dict, by name, on the CPU; else an InputError.

    What a file is says its content, not its ending.
    """
    try:
        if is_safetensors(path):
            try:
                tensors = dict(load_file(path))
            except OSError:  # a drive whose files can't be mapped into memory
                tensors = dict(load(path.read_bytes()))
        else:
            # zip files, which torch writes since 2020, need not be copied into memory
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except InputError:
        raise
    except Exception as error:  # of torch, pickle, zipfile and safetensors, a dozen kinds
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} is damaged, or not a file of tensors alone: {first} Nothing in it was run. "
            "Copy it anew, or have it saved again as tensors by name."
        ) from None
    found = tensors if isinstance(tensors, dict) else {}
    strange = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    if strange or not (found or may_be_empty):
        raise InputError(f"{path} has to hold tensors by name, found {named(strange) or type(tensors).__name__}.")
    return found


def load_whole(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model folder, sharded or not, from safetensors rather than pickles; {} if it has no model."""
    return {name: tensor for path in weight_files(folder) for name, tensor in load_tensors(path).items()}
