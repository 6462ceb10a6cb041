"""A trained model folder without a training, and the flags to predict with it quickly."""

from pathlib import Path

import torch

from tests.support.tiny import TINY_MODEL
from vqa_core.config import ModelSettings
from vqa_core.model.folder import save_model_folder
from vqa_core.model.stages import prepare_stage, trained_tensors
from vqa_core.model.vlm import build_vlm
from vqa_core.runs.model_folder import Stage

FLAGS = ["--batch-questions", "7", "--max-new-tokens", "5", "--precision", "fp32"]


def write_model(folder: Path, parts: Path, seed: int = 0) -> None:
    """A model folder with random weights."""
    tower, language_model = parts / "tower", parts / "language-model"
    vlm = build_vlm(ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language_model)))
    stage = Stage("lora", lora_rank=2, lora_alpha=4.0)
    prepare_stage(vlm, stage)
    generator = torch.Generator().manual_seed(seed)
    for parameter in trained_tensors(vlm).values():
        parameter.data += torch.randn(parameter.shape, generator=generator) * 0.1
    save_model_folder(folder, vlm, stage, about={})
