"""The settings of every stage, each declared once. `configs/*.json` hold sections named like the keys of SECTIONS."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa_core.files import InputError, read_json
from vqa_core.settings import Settings, SettingsT, resolve, setting

ATTENTION = ("auto", "sdpa", "flash_attention_2", "eager")
_ATTENTION = "attention backend; `auto` is FlashAttention where it is installed and rows hold one question, else SDPA"
LOAD_IN = ("full", "8bit", "4bit")
_LOAD_IN = "bits that the frozen language model is kept in: `8bit` and `4bit` (QLoRA) take a GPU and bitsandbytes"
_TRUST = "models whose own Python code may run; none unless named here"


@dataclass(frozen=True)
class DataSettings(Settings):
    """Data: how a competition folder is read and split."""

    val_fraction: float = setting(
        0.05, "share of the training images held out for validation", minimum=0.0, maximum=0.9
    )
    split_seed: int = setting(0, "seed of the split by image", minimum=0)
    question_id_column: str = setting("ID", "CSV column with the question's id")
    image_id_column: str = setting("image_id", "CSV column with the image's id or file name")
    question_column: str = setting("question", "CSV column with the question")
    answer_column: str = setting("answer", "CSV column with the answer")
    image_column: str = setting(
        "image", "column with the picture of a dataset, or its path in CSV; without it the image's id names the file"
    )
    verify_images: str = setting(
        "header",
        "how far images are checked: not at all, header and file end, or every pixel decoded",
        choices=("none", "header", "full"),
    )


@dataclass(frozen=True)
class ModelSettings(Settings):
    """Model: the parts and how a picture and a question become tokens."""

    base_model: str = setting(
        "",
        "a whole image-text model, a Hugging Face folder or a hub id, in place of the parts below; prompt and pictures "
        "are then as its own processor makes them",
    )
    vision_tower: str = setting("embedded", "vision tower: `embedded`, a Hugging Face folder or a hub id")
    language_model: str = setting("embedded", "language model: `embedded`, a Hugging Face folder or a hub id")
    projector: str = setting("mlp2x_gelu", "kind of projector between tower and language model")
    pixel_shuffle: int = setting(
        2, "patches merged along each side by `pixel_shuffle_mlp`", unit="patches", minimum=1, maximum=16
    )
    revision: tuple[str, ...] = setting(
        (), "branch, tag or commit of the hub ids: REVISION for all of them, ID@REVISION for one"
    )
    image_boundaries: bool = setting(
        False, "two learned vectors round the image's tokens, LLaVA's <im_start> and <im_end>"
    )
    vision_feature_layer: int = setting(-2, "hidden state of the tower that is projected; -1 is the last")
    image_side_px: int = setting(
        224, "side of the square image the tower sees", unit="pixels", minimum=14, maximum=2048
    )
    image_aspect: str = setting(
        "square",
        "`square` crops the centre, `pad` fills up to a square, `stretch` ignores the aspect ratio",
        choices=("square", "pad", "stretch"),
    )
    prompt_style: str = setting(
        "chatml",
        "prompt style: a name in vqa_core/prompts/styles.py, `template` for the model's own, or the text of one",
    )
    instruction: str = setting("", "sentence appended to every question, such as LLaVA-1.5's short-answer instruction")


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Training: what is trained, on which batches, for how long."""

    stage: str = setting(
        "align",
        "`align` trains the projector only, `lora` the projector and LoRA on the language model, `full` both wholly; a "
        "--base-model is trained by `lora` alone, its projector as it is",
        choices=("align", "lora", "full"),
    )
    init_from: str = setting(
        "", "model folder, or checkpoint of a run, whose trained weights are started from; empty: a fresh projector"
    )
    lora_rank: int = setting(16, "rank of the LoRA matrices", minimum=1)
    lora_alpha: float = setting(32.0, "LoRA scale; the update is multiplied by alpha / rank", minimum=0)
    lora_targets: tuple[str, ...] = setting((), "linear layers that get LoRA; none named means all of them")
    lora_dropout: float = setting(0.0, "dropout on LoRA's input", minimum=0, maximum=0.9)
    epochs: float = setting(1.0, "passes over the training images", unit="epochs", minimum=0)
    max_steps: int = setting(0, "stop after this many optimiser steps; 0 means: as `epochs` says", minimum=0)
    batch_questions: int = setting(
        64, "questions a process puts through the model at once", unit="questions", minimum=1
    )
    accumulate: int = setting(1, "batches added up before an optimiser step", minimum=1)
    questions_per_image: int = setting(
        0, "questions drawn anew from each image and epoch; 0 takes all", unit="questions", minimum=0
    )
    text_token_budget: int = setting(
        128,
        "longest prompt plus answer, the image counted as one token; longer questions are cut",
        unit="tokens",
        minimum=8,
    )
    learning_rate: float = setting(2e-3, "peak learning rate of the projector", minimum=0)
    language_learning_rate: float = setting(
        0.0, "peak learning rate of LoRA or of the language model; 0 means: as the projector's", minimum=0
    )
    warmup_ratio: float = setting(0.03, "share of the steps over which the rate rises from 0", minimum=0, maximum=1)
    scheduler: str = setting(
        "cosine", "course of the learning rate after warm-up", choices=("cosine", "linear", "constant_with_warmup")
    )
    weight_decay: float = setting(0.0, "AdamW's weight decay", minimum=0)
    max_grad_norm: float = setting(1.0, "gradients are scaled down to this norm; 0 turns it off", minimum=0)
    precision: str = setting(
        "auto",
        "`auto` is bf16 where the processor is faster in it, else fp32",
        choices=("auto", "fp32", "bf16"),
    )
    tf32: bool = setting(
        False, "fp32 matrices are multiplied in TF32 on GPUs that have it; with bf16 hardly any are left"
    )
    attention: str = setting("auto", _ATTENTION, choices=ATTENTION)
    load_in: str = setting("full", _LOAD_IN, choices=LOAD_IN)
    trust_remote_code: tuple[str, ...] = setting((), _TRUST)
    gradient_checkpointing: bool = setting(False, "recompute activations instead of keeping them")
    seed: int = setting(0, "seed of initial weights, order and sampled questions", minimum=0)
    eval_every: int = setting(0, "validate every so many steps; 0 validates at the end only", unit="steps", minimum=0)
    eval_questions: int = setting(
        500, "validation questions answered each time; 0 takes all", unit="questions", minimum=0
    )
    save_every: int = setting(100, "write a checkpoint every so many steps", unit="steps", minimum=1)
    log_every: int = setting(10, "write a line of metrics every so many steps", unit="steps", minimum=1)
    workers: int = setting(0, "processes that read and decode images ahead", minimum=0)
    max_minutes: float = setting(
        0.0, "stop and keep what is trained after this time; 0 means no limit", unit="minutes", minimum=0
    )
    parallel: str = setting("ddp", "how several processes share the work", choices=("ddp", "fsdp2"))
    report_to: str = setting("none", "tracker", choices=("none", "wandb", "trackio"))
    save_dtype: str = setting("fp32", "number format of the trained weights in model/", choices=("fp32", "bf16"))


@dataclass(frozen=True)
class PredictSettings(Settings):
    """Prediction: how answers are generated."""

    engine: str = setting(
        "shared",
        "`shared` encodes an image once for all its questions; `naive` and `hf_batch` are there to compare",
        choices=("shared", "naive", "hf_batch"),
    )
    answers: str = setting(
        "open", "`open` generates freely, `train` allows only answers seen in training", choices=("open", "train")
    )
    batch_questions: int = setting(128, "questions answered at once", unit="questions", minimum=1)
    prompt_style: str | None = setting(None, "another prompt style than that of training")
    instruction: str | None = setting(None, "another instruction than that of training; empty takes it away")
    max_new_tokens: int = setting(16, "longest answer of `--answers open`", unit="tokens", minimum=1)
    precision: str = setting(
        "auto",
        "`auto` is bf16 where the processor is faster in it, else fp32",
        choices=("auto", "fp32", "bf16"),
    )
    attention: str = setting("auto", _ATTENTION, choices=ATTENTION)
    load_in: str = setting("full", _LOAD_IN, choices=LOAD_IN)
    trust_remote_code: tuple[str, ...] = setting((), _TRUST)
    ray_workers: int = setting(
        0, "engines that share the work through Ray (the extra `ray`); 0 answers in this process", minimum=0
    )


SECTIONS: dict[str, type[Settings]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "train": TrainSettings,
    "predict": PredictSettings,
}


RECORDS = ("dataset",)  # sections of a run's config.json that are findings, not settings


def read_config(path: Path | None) -> dict[str, dict[str, Any]]:
    """The sections of a JSON config; an unknown section or a section that is no object is an InputError."""
    if path is None:
        return {}
    config = read_json(path)
    for name, section in config.items() if isinstance(config, dict) else [(str(path), config)]:
        if name.startswith("_") or name in RECORDS:
            continue  # a comment, which JSON has none of its own; or what a run noted about itself
        if name not in SECTIONS or not isinstance(section, dict):
            raise InputError(f"{path}: {name!r} is not a section. Sections are {', '.join(SECTIONS)}, each an object.")
    return {name: section for name, section in config.items() if name in SECTIONS}


def settings_of(kind: type[SettingsT], config: dict[str, dict[str, Any]], given: Any) -> SettingsT:
    """One stage's settings from its section of `config` and the flags given."""
    name = next(name for name, known in SECTIONS.items() if known is kind)
    return resolve(kind, config.get(name, {}), given)
