"""A LLaVA of some 60,000 parameters, made in code in a moment: what the tests of the model modules run on.

vlm = tiny_vlm(projector="linear")               in memory
tower, language_model = tiny_parts(folder)       the same parts as Hugging Face folders, for commands
run = tiny_run(folder)                           a prepared run with pictures and questions
"""

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from vqa_core.config import DataSettings, ModelSettings
from vqa_core.data.prepare import prepare
from vqa_core.files import read_json_lines, write_json
from vqa_core.model.vlm import Vlm, assemble
from vqa_core.runs.examples import Example
from vqa_core.runs.run_dir import RunDir

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<file_sep>")
QUESTIONS = (
    "Is there a circle?",
    "What colour is the shape?",
    "How many?",
    "Which of the two shapes is further to the left, the red one or the dark blue one?",
    "Is it dark?",
    "색은 무엇인가요?",
    "Does the image contain a triangle that is not green?",
)
ANSWERS = ("yes", "no", "red", "dark", "dark blue", "none", "3", "원")
PROCESSOR = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
TINY_MODEL = {"image_side_px": 32, "projector": "mlp2x_gelu", "pixel_shuffle": 2}
"""Settings that differ from the defaults: 4 x 4 patches of 8 px."""
# dropout, so that the random state counts; log lines and checkpoints that don't fall on the same steps
TINY_TRAIN = {
    "stage": "lora", "lora_rank": 4, "lora_dropout": 0.1, "batch_questions": 5, "save_every": 3,
    "log_every": 1, "eval_every": 8, "learning_rate": 1e-2, "precision": "fp32",
}  # fmt: skip


def tiny_tokenizer(*, adds_bos: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 320 tokens; `adds_bos` puts <|endoftext|> before a text as Llama's tokenizer puts <s>."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([*QUESTIONS, *ANSWERS, "user assistant"] * 3, trainer)
    first, start, end, _ = SPECIAL_TOKENS
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=[(first, backend.token_to_id(first))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=first if adds_bos else start,
        eos_token=first if adds_bos else end,
        pad_token=first if not adds_bos else end,
        clean_up_tokenization_spaces=False,
    )


def tiny_tower(kind: str = "dinov2", seed: int = 0) -> nn.Module:
    """A vision tower of three layers and 4 x 4 patches, D_v 24: `dinov2` or `clip`."""
    shape = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    if kind == "clip":
        tower: nn.Module = CLIPVisionModel(CLIPVisionConfig(**shape, intermediate_size=48))
    else:
        tower = Dinov2Model(Dinov2Config(**shape, mlp_ratio=2))
    return randomised(tower, seed)


def tiny_language_model(tokenizer: PreTrainedTokenizerFast, *, tied: bool = False, seed: int = 0) -> LlamaForCausalLM:
    """A Llama of three layers with grouped-query attention, D 32."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    language = randomised(LlamaForCausalLM(config), seed + 1)
    with torch.no_grad():  # answers of a random model would hardly ever end
        for token in ("<|endoftext|>", "<|im_end|>"):
            language.lm_head.weight[tokenizer.convert_tokens_to_ids(token)] *= 5
    return language


def randomised(module: nn.Module, seed: int) -> Any:
    """Weights so large that attention is sharp and logits lie well apart: a slip anywhere changes an answer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                deviation = 1.0 if "embed" in name or name == "shared.weight" else 1.6 / fan_in**0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
            elif name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return module.eval()


def tiny_vlm(
    *, tower: str = "dinov2", attention: str = "sdpa", adds_bos: bool = False, tied: bool = False, **model_settings: Any
) -> Vlm:
    """The tiny LLaVA in fp32, the same one every time; `model_settings` are those of ModelSettings."""
    tokenizer = tiny_tokenizer(adds_bos=adds_bos)
    settings = ModelSettings(**TINY_MODEL | model_settings)
    language = tiny_language_model(tokenizer, tied=tied)
    vlm = assemble(tiny_tower(tower), language, tokenizer, PROCESSOR, settings, attention=attention)
    randomised(vlm.projector, 2)
    vlm.model.eval()
    return vlm


def tiny_parts(folder: Path, *, tower: str = "dinov2") -> tuple[Path, Path]:
    """The tower and the language model of `tiny_vlm` as Hugging Face folders below `folder`."""
    tokenizer = tiny_tokenizer()
    tower_folder, language_folder = folder / "tower", folder / "language-model"
    tiny_tower(tower).save_pretrained(tower_folder)  # type: ignore[operator]
    write_json(tower_folder / "preprocessor_config.json", {"image_processor_type": "BitImageProcessor", **PROCESSOR})
    tiny_language_model(tokenizer).save_pretrained(language_folder)
    tokenizer.save_pretrained(language_folder)
    return tower_folder, language_folder


def tiny_picture(seed: int) -> Image.Image:
    """A picture of 5 x 4 coloured blocks, wider than high."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((50, 40), Image.Resampling.NEAREST)


def tiny_examples(images: int, *, prefix: str = "train", seed: int = 0) -> list[Example]:
    """One to seven questions an image, with answers, about pictures that `write_pictures` writes."""
    rng = random.Random(seed)
    examples = []
    for image in range(images):
        for question in rng.sample(QUESTIONS, k=1 + image % len(QUESTIONS)):
            image_id = f"{prefix}_{image:04}"
            examples.append(
                Example(
                    question_id=f"{prefix.upper()}_{len(examples):05}",
                    image_id=image_id,
                    image=f"image/{prefix}/{image_id}.png",
                    question=question,
                    answer=rng.choice(ANSWERS),
                )
            )
    return examples


def write_pictures(folder: Path, examples: Sequence[Example]) -> None:
    """Write the picture of every example below `folder`; each is like no other."""
    for number, image in enumerate(dict.fromkeys(example.image for example in examples)):
        path = folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        tiny_picture(number).save(path)


def tiny_competition(folder: Path, *, train_images: int = 14, test_images: int = 9) -> Path:
    """A competition folder: train.csv, test.csv, sample_submission.csv, image/train and image/test."""
    train = tiny_examples(train_images)
    test = tiny_examples(test_images, prefix="test", seed=1)
    write_pictures(folder, train + test)
    columns = ["ID", "image_id", "question", "answer"]
    _write_csv(folder / "train.csv", columns, [[e.question_id, e.image_id, e.question, str(e.answer)] for e in train])
    _write_csv(folder / "test.csv", columns[:3], [[e.question_id, e.image_id, e.question] for e in test])
    _write_csv(folder / "sample_submission.csv", ["ID", "answer"], [[e.question_id, "0"] for e in test])
    return folder


def tiny_run(folder: Path, *, train_images: int = 14, test_images: int = 9, val_fraction: float = 0.2) -> RunDir:
    """A run prepared from a `tiny_competition`, at `folder/run`, its data at `folder/data`."""
    data = tiny_competition(folder / "data", train_images=train_images, test_images=test_images)
    run = RunDir(folder / "run")
    prepare(run, str(data), DataSettings(val_fraction=val_fraction))
    return run


def losses(run: RunDir) -> dict[int, float]:
    """Loss by step, as the metrics of a run have it."""
    return {row["step"]: row["loss"] for row in read_json_lines(run.metrics) if "loss" in row}


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
