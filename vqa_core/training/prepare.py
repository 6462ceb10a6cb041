"""Preparing a model for training: its parts loaded, its stage made trainable, its earlier weights put in."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.model.attention import choose_attention
from vqa_core.model.build import build_any, keep_features
from vqa_core.model.folder import start_from
from vqa_core.model.loading import LoadOptions
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import best_device, resolve_precision
from vqa_core.planning.resume import refuse_other_settings
from vqa_core.processes import process_count
from vqa_core.runs.checkpoints import newest_valid
from vqa_core.runs.model_folder import Stage, stage_of
from vqa_core.runs.run_dir import RunDir
from vqa_core.training.data import TrainingRows
from vqa_core.training.task import TrainingTask

logger = logging.getLogger("vqa")


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model whose stage is trainable, and the checkpoint to continue from.

    `settings` are the task's, with the text of the prompt style `template` written out: --resume finds the text then.
    """

    vlm: AnyVlm
    stage: Stage
    settings: ModelSettings
    checkpoint: Path | None

    @property
    def step(self) -> int:
        """The step that the checkpoint was written after; 0 where training starts."""
        return int(self.checkpoint.name.removeprefix("checkpoint-")) if self.checkpoint else 0


def prepare_model(task: TrainingTask, vlm: AnyVlm | None = None) -> PreparedModel:
    """The model of a task; `vlm`, if given, is one that is built already.

    Raises InputError for settings that exclude each other, for checkpoints that nobody asked to resume, and for a model
    that can't be built or trained as the settings say.
    """
    settings = task.settings
    _check_combinations(settings)
    checkpoint = None if task.restart else _find_checkpoint(task.run, task.resume)
    if checkpoint:
        refuse_other_settings(task.run, checkpoint, task.model, settings)
    vlm = vlm or build_model(task.model, settings, task.rows)
    model_settings = replace(task.model, prompt_style=vlm.settings.prompt_style)
    if settings.tf32:
        use_tf32(vlm.device)
    stage = stage_of(settings)
    prepare_stage(vlm, stage, settings.seed)
    if settings.init_from and not checkpoint:
        start_from(vlm, Path(settings.init_from))
    if settings.gradient_checkpointing:
        _recompute_activations(vlm)
    return PreparedModel(vlm, stage, model_settings, checkpoint)


def build_model(model: ModelSettings, settings: TrainSettings, rows: TrainingRows) -> AnyVlm:
    """The model of the settings, its attention chosen by whether any row holds several questions."""
    device = best_device()
    dtype = resolve_precision(settings.precision, device)
    plain = 1 in (settings.questions_per_image, settings.batch_questions) or all(
        len(row["questions"]) == 1  # type: ignore[arg-type]
        for row in map(rows.__getitem__, range(len(rows)))
    )
    vlm = build_any(
        model,
        dtype=dtype,
        attention=choose_attention(settings.attention, plain=plain, device=device, dtype=dtype),
        seed=settings.seed,
        options=LoadOptions.of(model, settings),
    )
    return keep_features(vlm, settings)


def use_tf32(device: torch.device) -> None:
    """Let a GPU multiply fp32 matrices in TF32."""
    if device.type == "cuda":  # a processor would take it for leave to round to bf16
        torch.set_float32_matmul_precision("high")


def _check_combinations(settings: TrainSettings) -> None:
    if settings.parallel == "fsdp2" and process_count() == 1:
        raise InputError(
            "--parallel fsdp2 spreads the model over processes, and this is the only one. Start several: "
            "torchrun --nproc_per_node 2 -m -- train.finetune ..."
        )
    if settings.load_in == "full":
        return
    if settings.stage == "full":
        raise InputError(
            f"--stage full trains the language model, which --load-in {settings.load_in} freezes. Use --stage lora."
        )
    if settings.parallel == "fsdp2":
        raise InputError(
            f"--parallel fsdp2 can't spread what --load-in {settings.load_in} quantises: each process holds it whole. "
            "Use --parallel ddp."
        )


def _find_checkpoint(run: RunDir, resume: bool) -> Path | None:
    exists = run.checkpoints.is_dir() and any(run.checkpoints.glob("checkpoint-*"))
    if exists and not resume:
        raise InputError(
            f"{run.checkpoints} holds checkpoints of an earlier training. Add --resume to go on from the newest, "
            "--restart to throw them away, or choose another --run."
        )
    checkpoint = newest_valid(run.checkpoints) if exists else None
    if checkpoint:
        logger.info("Going on from %s.", checkpoint)
    elif resume:
        logger.info("There is no checkpoint to go on from; starting at step 0.")
    return checkpoint


def _recompute_activations(vlm: AnyVlm) -> None:
    """Turn on gradient checkpointing here: the Trainer would look for it on PackedLoss, which has no such switch."""
    language_model = vlm.language_model
    if not language_model.supports_gradient_checkpointing:
        raise InputError(
            f"--gradient-checkpointing is not for a language model of type {language_model.config.model_type!r}: "
            "transformers can't recompute its activations. Leave it out."
        )
    language_model.activation_checkpointing_enable({"use_reentrant": False})
    # only reentrant checkpointing needs gradients of the embeddings, and Kosmos-2 writes its pictures into them
    language_model.disable_input_require_grads()
