"""The peer's parts and checkpoints, made once."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.parity.world import ANSWERS, QUESTIONS, peer_python, run_peer, write_llama_tokenizer
from tests.support.tiny import tiny_picture
from vqa_core.benchmarks.peer import write_old_spelling
from vqa_core.files import write_json
from vqa_core.model.embedded import embedded_language_model

# name -> kind, image_aspect_ratio, start and end, <im_patch>
PROJECTORS = {
    "linear-square": ("linear", "square", False, True),
    "linear-pad": ("linear", "pad", False, False),
    "mlp2x-square": ("mlp2x_gelu", "square", False, False),
    "mlp2x-pad": ("mlp2x_gelu", "pad", False, True),
    "mlp3x-pad": ("mlp3x_gelu", "pad", False, False),
    "boundaries": ("linear", "square", True, True),
    "boundaries-no-patch-token": ("mlp2x_gelu", "square", True, False),
}
TRAINED = {
    "trained-projector": ["--tune_mm_mlp_adapter", "True", "--mm_projector_type", "mlp2x_gelu"],
    "trained-lora": ["--lora_enable", "True", "--lora_r", "4", "--mm_use_im_patch_token", "False"],
    "trained-lora-2023": ["--lora_enable", "True", "--lora_r", "4", "--mm_use_im_start_end", "True"],
    "trained-whole": ["--mm_use_im_start_end", "True", "--mm_projector_type", "mlp2x_gelu"],
}


@dataclass(frozen=True)
class World:
    """Folders of LLaVA's: `tokenizer`, `language_model`, `tower`, and a checkpoint for every name above."""

    root: Path
    pictures: list[Image.Image]
    files: list[Path]

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer"

    @property
    def language_model(self) -> Path:
        return self.root / "vicuna"

    @property
    def tower(self) -> Path:
        return self.root / "clip"

    @property
    def embedded(self) -> Path:
        """The embedded language model, its tokeniser in the spelling of tokenizers 0.15 and transformers 4."""
        folder = self.root / "smollm2"
        if not folder.is_dir():
            write_old_spelling(embedded_language_model(), folder)
        return folder

    def checkpoint(self, name: str) -> Path:
        return self.root / "checkpoints" / name


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    peer_python()
    root = tmp_path_factory.mktemp("peer")
    pictures = [tiny_picture(seed) for seed in range(len(QUESTIONS))]  # wider than high
    files = [root / f"{number}.png" for number in range(len(pictures))]
    for picture, path in zip(pictures, files, strict=True):
        picture.save(path)
    made = World(root, pictures, files)
    write_llama_tokenizer(made.tokenizer)
    turns = [("human", "<image>\n" + question) for question in QUESTIONS]
    data = [
        {
            "id": str(number),
            "image": path.name,
            "conversations": [{"from": who, "value": said} for who, said in (turn, ("gpt", answer))],
        }
        for number, (path, turn, answer) in enumerate(zip(files, turns, ANSWERS, strict=True))
    ]
    write_json(root / "train.json", data)
    common = [
        "--model_name_or_path", made.language_model, "--vision_tower", made.tower, "--version", "v1",
        "--mm_vision_select_layer", "-2", "--data_path", root / "train.json", "--image_folder", root,
        "--lazy_preprocess", "True", "--max_steps", "2", "--per_device_train_batch_size", "2",
        "--learning_rate", "2e-2", "--save_strategy", "no", "--report_to", "none", "--use_cpu", "True",
        "--bf16", "False", "--model_max_length", "256", "--weight_decay", "0",
    ]  # fmt: skip
    run_peer(
        root,
        {"do": "parts", "tokenizer": made.tokenizer, "language_model": made.language_model, "tower": made.tower},
        *(
            {
                "do": "projector", "language_model": made.language_model, "tower": made.tower,
                "out": made.checkpoint(name), "kind": kind, "aspect": aspect, "start_end": start_end,
                "patch_token": patch_token,
            }
            for name, (kind, aspect, start_end, patch_token) in PROJECTORS.items()
        ),
        *(
            {
                "do": "train", "grown_matrices_are_trained": name == "trained-lora-2023",
                "arguments": [*map(str, common), *more, "--output_dir", str(made.checkpoint(name))],
            }
            for name, more in TRAINED.items()
        ),
    )  # fmt: skip
    return made
