"""Folders with the files of an original LLaVA."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqa_core.files import write_json

VISION, HIDDEN, VOCABULARY = 24, 32, 323
CONFIG = {
    "model_type": "llava_llama", "mm_projector_type": "linear", "mm_hidden_size": VISION, "hidden_size": HIDDEN,
    "mm_vision_select_layer": -2, "vocab_size": VOCABULARY, "num_hidden_layers": 3,
}  # fmt: skip


def llava_projector(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """A projector by LLaVA's names, without what stands before `mm_projector`."""
    generator = torch.Generator().manual_seed(seed)
    depth = 1 if kind == "linear" else int(kind[3])
    tensors = {}
    for layer in range(depth):
        place = "" if kind == "linear" else f"{2 * layer}."
        size = (HIDDEN, HIDDEN if layer else VISION)
        tensors[f"mm_projector.{place}weight"] = torch.randn(size, generator=generator)
        tensors[f"mm_projector.{place}bias"] = torch.randn(HIDDEN, generator=generator)
    return tensors


def write_llava(
    folder: Path, tensors: dict[str, Tensor], file: str = "mm_projector.bin", prefix: str = "model.", **config: Any
) -> Path:
    """A folder with config.json and one file of tensors; a key of `config` that is None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {key: value for key, value in (CONFIG | config).items() if value is not None}
    write_json(folder / "config.json", keys)
    torch.save({prefix + name: tensor for name, tensor in tensors.items()}, folder / file)
    return folder
