"""The settings of every stage, each declared once. The sections of `configs/*.json` are named as in SECTIONS."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa_core.files import InputError, read_json
from vqa_core.settings import Settings, SettingsT, resolve, setting

ATTENTION = ("auto", "sdpa", "flash_attention_2", "eager")
_ATTENTION = "attention backend; `auto` is FlashAttention where it is installed and rows hold one question, else SDPA"
LOAD_IN = ("full", "8bit", "4bit")
_LOAD_IN = "quantisation of the frozen language model; `8bit` and `4bit` (QLoRA) need a GPU and bitsandbytes"
CHOICE_INSTRUCTION = "Answer with the option's letter from the given choices directly."
"""LLaVA-1.5's sentence after the options of a question."""
CHOICE_SCORING = ("letter", "text", "text_per_token")
_CHOICE_SCORING = (
    "how the options of a multiple-choice question are scored: `letter` by the letter, `text` by the whole text, "
    "`text_per_token` by the mean over the tokens of the text and its end"
)
_TRUST = "models that may run their own Python code; empty: none"


@dataclass(frozen=True)
class DataSettings(Settings):
    """Data: how a competition folder is read and split."""

    val_fraction: float = setting(
        0.05,
        "share of the training images held out for validation where the data have no validation split",
        minimum=0.0,
        maximum=0.9,
    )
    split_seed: int = setting(0, "seed of the split by image", minimum=0)
    question_id_column: str = setting("ID", "CSV column with the question's id")
    image_id_column: str = setting("image_id", "CSV column with the image's id or file name")
    question_column: str = setting("question", "CSV column with the question")
    answer_column: str = setting("answer", "CSV column with the answer")
    image_column: str = setting(
        "image",
        "column with the picture of a dataset, or with its path in CSV; without it, files are found by image id",
    )
    answer_form: str = setting(
        "auto",
        "how answers name a choice, where there are choices: `A` or `a` by letter, `1` or `0` by number from there, "
        "`text` by its text; `auto` finds out; `open` ignores the choices",
        choices=("auto", "A", "a", "1", "0", "text", "open"),
        quiet=True,
    )
    encoding: str = setting(
        "",
        "encoding of the CSV files that are not UTF-8, such as cp949, gb18030 or cp1252; empty detects it",
        quiet=True,
    )
    pixel_limit: int = setting(
        50_000_000,
        "most pixels of a picture, width times height; beyond it a JPEG is decoded at a half, a quarter or an eighth "
        "of its size, and other pictures are left out",
        unit="pixels",
        minimum=1,
        quiet=True,
    )
    verify_images: str = setting(
        "header",
        "how to check images: `none`, `header` (header and file end) or `full` (decode every pixel)",
        choices=("none", "header", "full"),
    )


@dataclass(frozen=True)
class ModelSettings(Settings):
    """Model: its parts, and how a picture and a question become tokens."""

    base_model: str = setting(
        "",
        "whole image-text model (Hugging Face folder or hub id) to use instead of the parts below; its own processor "
        "then prepares prompt and pictures",
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
        False, "put two learned vectors around the image tokens, LLaVA's <im_start> and <im_end>"
    )
    vision_feature_layer: int = setting(-2, "which hidden state of the tower to project; -1 is the last")
    image_side_px: int = setting(
        224, "side of the square image the tower sees", unit="pixels", minimum=14, maximum=2048
    )
    image_aspect: str = setting(
        "square",
        "`square` crops the centre, `pad` pads to a square, `stretch` ignores the aspect ratio",
        choices=("square", "pad", "stretch"),
    )
    prompt_style: str = setting(
        "chatml",
        "prompt style: a name in vqa_core/prompts/styles.py, `template` for the model's own chat template, or the text "
        "of a style",
    )
    instruction: str = setting("", "sentence appended to every question, such as LLaVA-1.5's short-answer instruction")
    choice_instruction: str = setting(
        CHOICE_INSTRUCTION,
        "sentence after the options of a multiple-choice question that is answered by letter, in the place of "
        "`instruction`",
        quiet=True,
    )
    choice_scoring: str = setting(
        "letter", _CHOICE_SCORING + "; training teaches the same", choices=CHOICE_SCORING, quiet=True
    )


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Training: what to train, on which batches, for how long."""

    stage: str = setting(
        "align",
        "`align` trains the projector only, `lora` the projector and LoRA on the language model, `full` the projector "
        "and the whole language model; a --base-model takes `lora` only, and its projector stays as it is",
        choices=("align", "lora", "full"),
    )
    init_from: str = setting(
        "", "start from the trained weights of this model folder or run checkpoint; empty: a new projector"
    )
    lora_rank: int = setting(16, "rank of the LoRA matrices", minimum=1)
    lora_alpha: float = setting(32.0, "LoRA scale; the update is multiplied by alpha / rank", minimum=0)
    lora_targets: tuple[str, ...] = setting((), "linear layers that get LoRA; empty: all of them")
    lora_dropout: float = setting(0.0, "dropout on LoRA's input", minimum=0, maximum=0.9)
    epochs: float = setting(1.0, "passes over the training images", unit="epochs", minimum=0)
    max_steps: int = setting(0, "stop after this many optimiser steps; 0: train for `epochs`", minimum=0)
    batch_questions: int = setting(64, "questions per batch, in each process", unit="questions", minimum=1)
    accumulate: int = setting(1, "batches accumulated per optimiser step", minimum=1)
    questions_per_image: int = setting(
        0, "questions sampled from each image in each epoch; 0 takes all", unit="questions", minimum=0
    )
    text_token_budget: int = setting(
        128,
        "most tokens of prompt plus answer, with the image as one token; longer questions are cut",
        unit="tokens",
        minimum=8,
    )
    learning_rate: float = setting(2e-3, "peak learning rate of the projector", minimum=0)
    language_learning_rate: float = setting(
        0.0, "peak learning rate of LoRA or of the language model; 0: the same as the projector's", minimum=0
    )
    warmup_ratio: float = setting(
        0.03, "share of the steps in which the learning rate rises from 0", minimum=0, maximum=1
    )
    scheduler: str = setting(
        "cosine", "learning rate schedule after warm-up", choices=("cosine", "linear", "constant_with_warmup")
    )
    weight_decay: float = setting(0.0, "AdamW's weight decay", minimum=0)
    max_grad_norm: float = setting(1.0, "clip gradients to this norm; 0 turns clipping off", minimum=0)
    max_skipped_steps: int = setting(
        5,
        "end with an error after so many steps in a row whose loss or gradient is not a finite number; none of them is "
        "applied",
        unit="steps",
        minimum=1,
    )
    precision: str = setting(
        "auto",
        "`auto` is bf16 where the GPU or processor is fast in it, else fp32",
        choices=("auto", "fp32", "bf16"),
    )
    tf32: bool = setting(
        False, "multiply fp32 matrices in TF32 on GPUs that support it; with bf16 there is little to gain"
    )
    attention: str = setting("auto", _ATTENTION, choices=ATTENTION)
    load_in: str = setting("full", _LOAD_IN, choices=LOAD_IN)
    trust_remote_code: tuple[str, ...] = setting((), _TRUST)
    shuffle_choices: bool = setting(
        True, "show the options of a multiple-choice question in another order each time it is drawn", quiet=True
    )
    gradient_checkpointing: bool = setting(False, "recompute activations instead of keeping them")
    seed: int = setting(0, "seed of initial weights, order and sampled questions", minimum=0)
    eval_every: int = setting(
        0, "validate after every so many steps; 0 validates at the end only", unit="steps", minimum=0
    )
    eval_questions: int = setting(
        500, "questions to answer in each validation; 0 takes all", unit="questions", minimum=0
    )
    save_every: int = setting(100, "write a checkpoint every so many steps", unit="steps", minimum=1)
    log_every: int = setting(10, "write a line of metrics every so many steps", unit="steps", minimum=1)
    workers: int = setting(0, "processes that read and decode images ahead", minimum=0)
    max_minutes: float = setting(
        0.0, "stop after this time and save the model; 0 means no limit", unit="minutes", minimum=0
    )
    parallel: str = setting("ddp", "how several processes share the training", choices=("ddp", "fsdp2"))
    report_to: str = setting("none", "experiment tracker", choices=("none", "wandb", "trackio"))
    save_dtype: str = setting("fp32", "number format of the trained weights in model/", choices=("fp32", "bf16"))


@dataclass(frozen=True)
class PredictSettings(Settings):
    """Prediction: how to generate answers."""

    engine: str = setting(
        "shared",
        "`shared` encodes an image once for all its questions; `naive` and `hf_batch` are for comparison",
        choices=("shared", "naive", "hf_batch"),
    )
    answers: str = setting(
        "open", "`open` generates freely, `train` allows only answers seen in training", choices=("open", "train")
    )
    batch_questions: int = setting(128, "questions answered at once", unit="questions", minimum=1)
    prompt_style: str | None = setting(None, "use this prompt style instead of the one of training")
    instruction: str | None = setting(None, "use this instruction instead of the one of training; empty removes it")
    choice_scoring: str | None = setting(
        None, _CHOICE_SCORING + "; without it as in training", choices=CHOICE_SCORING, quiet=True
    )
    choice_instruction: str | None = setting(
        None, "use this sentence after the options instead of the one of training; empty removes it", quiet=True
    )
    option_orders: int = setting(
        1,
        "orders in which the options of a multiple-choice question are shown, each a rotation of the others; an "
        "option's probability is the mean over them",
        minimum=1,
        quiet=True,
    )
    max_new_tokens: int = setting(
        0,
        "longest answer with `--answers open`, its end included; 0: 16, or more where 99.9 % of the training answers "
        "would not fit",
        unit="tokens",
        minimum=0,
    )
    precision: str = setting(
        "auto",
        "`auto` is bf16 where the GPU or processor is fast in it, else fp32",
        choices=("auto", "fp32", "bf16"),
    )
    attention: str = setting("auto", _ATTENTION, choices=ATTENTION)
    load_in: str = setting("full", _LOAD_IN, choices=LOAD_IN)
    trust_remote_code: tuple[str, ...] = setting((), _TRUST)
    ray_workers: int = setting(
        0, "engines that share the questions through Ray (extra `ray`); 0 answers in this process", minimum=0
    )


SECTIONS: dict[str, type[Settings]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "train": TrainSettings,
    "predict": PredictSettings,
}


RECORDS = ("dataset",)  # sections of a run's config.json that record facts, not settings


def read_config(path: Path | None) -> dict[str, dict[str, Any]]:
    """The sections of a JSON config. Raises InputError for an unknown section, or one that is not an object."""
    if path is None:
        return {}
    config = read_json(path)
    for name, section in config.items() if isinstance(config, dict) else [(str(path), config)]:
        if name.startswith("_") or name in RECORDS:
            continue  # a comment, since JSON has none, or a record of the run
        if name not in SECTIONS or not isinstance(section, dict):
            raise InputError(f"{path}: {name!r} is not a section. Sections are {', '.join(SECTIONS)}, each an object.")
    return {name: section for name, section in config.items() if name in SECTIONS}


def settings_of(kind: type[SettingsT], config: dict[str, dict[str, Any]], flags: Any) -> SettingsT:
    """One stage's settings from its section of `config`, overridden by `flags` (a namespace or a mapping)."""
    name = next(name for name, known in SECTIONS.items() if known is kind)
    return resolve(kind, config.get(name, {}), flags)
