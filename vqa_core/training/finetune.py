"""Fine-tuning a run: rows -> plan -> trainer -> model/. What `python -m train.finetune` does."""

import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import TrainerState, TrainingArguments

from vqa_core.config import ModelSettings, PredictSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.inference.engine import Engine
from vqa_core.model.attention import choose_attention
from vqa_core.model.build import build_any
from vqa_core.model.folder import save_model_folder, start_from
from vqa_core.model.loading import LoadOptions, load_in_of
from vqa_core.model.packing import FLASH
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.sharding import spread
from vqa_core.model.stages import prepare_stage, trained_tensors
from vqa_core.model.vlm import best_device, resolve_precision
from vqa_core.planning.batches import Plan, plan_batches
from vqa_core.runs.checkpoints import newest_valid
from vqa_core.runs.examples import Example, first_images
from vqa_core.runs.model_folder import stage_of
from vqa_core.runs.run_dir import RunDir
from vqa_core.training.control import TrainingControl
from vqa_core.training.data import BranchEncoder, TrainingBatches, TrainingRows, measure_rows
from vqa_core.training.metric_log import MetricLog
from vqa_core.training.separate_loss import loss_of
from vqa_core.training.trackers import Tracker
from vqa_core.training.trainer import Hooks, VqaTrainer

logger = logging.getLogger("vqa")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How training ended: `finished`, or stopped early at `step` of `steps` by a signal."""

    finished: bool
    step: int
    steps: int
    metrics: dict[str, float]


def finetune(
    run: RunDir,
    rows: TrainingRows,
    val: Sequence[Example],
    data_root: Path,
    model_settings: ModelSettings,
    settings: TrainSettings,
    *,
    resume: bool = False,
    vlm: AnyVlm | None = None,
) -> Outcome:
    """Train on `rows` and write checkpoints, metrics.jsonl and, when finished, model/.

    Args:
        rows: training rows, one an image, see vqa_core/runs/training_rows.py.
        val: validation examples; their answers are generated to measure accuracy.
        data_root: folder that image paths are relative to.
        resume: go on from the newest checkpoint that verifies; without it an existing one is an error.
        vlm: a model that is already built, for tests.
    """
    started = time.monotonic()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.parallel == "fsdp2" and processes == 1:
        raise InputError(
            "--parallel fsdp2 spreads the model over processes, and this is the only one. Start several: "
            "torchrun --nproc_per_node 2 -m -- train.finetune ..."
        )
    _check_quantised(settings)
    checkpoint = _checkpoint(run, resume)
    vlm = vlm or _build(model_settings, settings, rows)
    if vlm.settings.prompt_style != model_settings.prompt_style:  # `template`, written out: kept for --resume
        model_settings = replace(model_settings, prompt_style=vlm.settings.prompt_style)
        if _is_first():
            run.write_section("model", model_settings.to_dict())
    if settings.tf32:
        _use_tf32(vlm.device)
    stage = stage_of(settings)
    prepare_stage(vlm, stage, settings.seed)
    if settings.init_from and not checkpoint:
        start_from(vlm, Path(settings.init_from))
    if settings.gradient_checkpointing and not vlm.language_model.supports_gradient_checkpointing:
        raise InputError(
            f"--gradient-checkpointing is not for a language model of type {vlm.language_model.config.model_type!r}: "
            "transformers can't recompute its activations. Leave it out."
        )
    if settings.gradient_checkpointing:  # here, since the Trainer would look for it on PackedLoss
        vlm.language_model.activation_checkpointing_enable({"use_reentrant": False})
        # only the other kind needs gradients of the embeddings, and Kosmos-2 writes its pictures into them
        vlm.language_model.disable_input_require_grads()
    encoder = BranchEncoder(vlm.prompt, settings.text_token_budget, boundaries=model_settings.image_boundaries)
    measured = measure_rows(rows, encoder)
    if measured.questions_cut:
        logger.warning(
            "The text token budget of %d cut %d of %d questions (%d tokens); no answer or image was cut.",
            settings.text_token_budget, measured.questions_cut, measured.questions, measured.tokens_cut,
        )  # fmt: skip
    if measured.answers_ended:
        logger.warning(
            "%d of %d answers hold the token that ends an answer in this prompt, so the model can't give them whole; "
            "another --prompt-style ends them otherwise.", measured.answers_ended, measured.questions,
        )  # fmt: skip
    plan = plan_batches(measured.lengths, settings, processes)
    if not plan.batches:
        raise InputError("There is nothing to train: --epochs and --max-steps leave no batch.")
    _tell(vlm, stage.name, plan, settings, processes)

    shown = first_images(val, settings.eval_questions)
    args = _arguments(run, settings, plan, processes, validates=bool(shown))
    tracker = Tracker(settings.report_to, run, {"model": model_settings.to_dict(), "train": settings.to_dict()})
    metrics = MetricLog(run, tracker, args.max_steps, plan.epochs, after=_step_of(checkpoint)) if _is_first() else None
    packed = loss_of(vlm)
    if settings.parallel == "fsdp2":
        units = [name for part in (vlm.vision_tower, vlm.language_model) for name in part._no_split_modules or ()]
        spread(packed, units, args.device)
    trainer = VqaTrainer(
        packed,
        args,
        TrainingBatches(rows, plan.batches, vlm, encoder, data_root),
        settings,
        Hooks(
            validate=_validator(vlm, shown, data_root, settings) if shown else None,
            log=metrics.write if metrics else None,
        ),
    )
    control = TrainingControl(started + settings.max_minutes * 60 if settings.max_minutes else None, bool(shown))
    trainer.add_callback(control)
    with control:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    tracker.finish()
    state = trainer.state
    step = state.global_step
    if control.asked_to_stop and step < args.max_steps:
        logger.info("Stopped at step %d of %d. Give the same command with --resume to go on.", step, args.max_steps)
        return Outcome(False, step, args.max_steps, {})
    best, tensors = _best(run, state)
    found = {} if state.best_metric is None else {"accuracy": state.best_metric, "questions": len(shown)}
    if trainer.is_world_process_zero():
        done = plan.first(step * settings.accumulate * processes)  # the time limit may have ended it sooner
        about = {
            "trained": {"steps": step, "step": best, "epochs": round(done.epochs, 4), "questions": done.questions},
            "validation": found,
            "precision": str(vlm.dtype).removeprefix("torch."),
            "attention": vlm.attention,
            "load_in": load_in_of(vlm.language_model),
            "versions": {name: version(name) for name in ("torch", "transformers")}
            | {"python": platform.python_version()},
        }
        save_model_folder(run.model, vlm, stage, tensors=tensors, save_dtype=settings.save_dtype, about=about)
        logger.info("Wrote %s after %.0f s.", run.model, time.monotonic() - started)
    return Outcome(True, step, args.max_steps, found)


def _check_quantised(settings: TrainSettings) -> None:
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


def _build(model_settings: ModelSettings, settings: TrainSettings, rows: TrainingRows) -> AnyVlm:
    device = best_device()
    dtype = resolve_precision(settings.precision, device)
    plain = 1 in (settings.questions_per_image, settings.batch_questions) or all(
        len(row["questions"]) == 1  # type: ignore[arg-type]
        for row in map(rows.__getitem__, range(len(rows)))
    )
    return build_any(
        model_settings,
        dtype=dtype,
        attention=choose_attention(settings.attention, plain=plain, device=device, dtype=dtype),
        seed=settings.seed,
        options=LoadOptions.of(model_settings, settings),
    )


def _use_tf32(device: torch.device) -> None:
    if device.type == "cuda":  # a processor would take it for leave to round to bf16
        torch.set_float32_matmul_precision("high")


def _is_first() -> bool:
    """Whether this is the process that writes, of those that torchrun started; the only one where there are none."""
    return os.environ.get("RANK", "0") == "0"


def _checkpoint(run: RunDir, resume: bool) -> Path | None:
    there = run.checkpoints.is_dir() and any(run.checkpoints.glob("checkpoint-*"))
    if there and not resume:
        raise InputError(
            f"{run.checkpoints} holds checkpoints of an earlier training. Add --resume to go on from the newest, "
            "--restart to throw them away, or choose another --run."
        )
    checkpoint = newest_valid(run.checkpoints) if there else None
    if checkpoint:
        logger.info("Going on from %s.", checkpoint)
    elif resume:
        logger.info("There is no checkpoint to go on from; starting at step 0.")
    return checkpoint


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0


def _tell(vlm: AnyVlm, stage: str, plan: Plan, settings: TrainSettings, processes: int) -> None:
    trained = sum(parameter.numel() for parameter in trained_tensors(vlm).values())
    total = sum(parameter.numel() for parameter in vlm.model.parameters())
    logger.info(
        "Training %s of %s parameters (stage %s, %s on %s) on %d questions in %d batches, %.2f epochs.",
        f"{trained:,}", f"{total:,}", stage, str(vlm.dtype).removeprefix("torch."), vlm.device, plan.questions,
        len(plan.batches), plan.epochs,
    )  # fmt: skip
    picture = f"{vlm.image_tokens} tokens" if vlm.image_tokens else "as many tokens as its size asks for"
    logger.info(
        "A step is %d batch(es) of at most %d questions on %d process(es); a picture is %s.",
        settings.accumulate, settings.batch_questions, processes, picture,
    )  # fmt: skip


def _arguments(run: RunDir, settings: TrainSettings, plan: Plan, processes: int, validates: bool) -> TrainingArguments:
    steps = -(-len(plan.batches) // (settings.accumulate * processes))
    return TrainingArguments(
        output_dir=str(run.checkpoints),
        per_device_train_batch_size=1,  # an item of the training data is a batch already
        gradient_accumulation_steps=settings.accumulate,
        num_train_epochs=1,  # all epochs are planned as one pass
        max_steps=steps,
        train_sampling_strategy="sequential",  # the plan is shuffled
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=round(settings.warmup_ratio * steps),
        max_grad_norm=settings.max_grad_norm,
        logging_steps=settings.log_every,
        eval_strategy="steps" if settings.eval_every and validates else "no",
        eval_steps=settings.eval_every or None,
        save_strategy="steps",
        save_steps=settings.save_every,
        seed=settings.seed,
        use_cpu=best_device().type == "cpu",
        ddp_backend="gloo" if best_device().type == "cpu" and processes > 1 else None,
        ddp_find_unused_parameters=False if processes > 1 else None,
        dataloader_num_workers=settings.workers,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        log_level="error",
        log_level_replica="error",
    )


def _validator(
    vlm: AnyVlm, examples: list[Example], data_root: Path, settings: TrainSettings
) -> Callable[[], dict[str, float]]:
    """A function that gives the accuracy of generated answers on `examples`."""
    kind = "hf_batch" if vlm.attention == FLASH else "shared"  # of plain rows, the only ones FlashAttention takes
    engine = Engine(vlm, PredictSettings(batch_questions=settings.batch_questions, engine=kind), data_root)

    def validate() -> dict[str, float]:
        answers = {prediction.question_id: prediction.answer for prediction in engine.generate(examples)}
        right = sum(answers[example.question_id] == example.answer for example in examples)
        return {"accuracy": right / len(examples), "questions": len(examples)}

    return validate


def _best(run: RunDir, state: TrainerState) -> tuple[int, dict[str, Tensor]]:
    """The best validated step, or the last where none was validated, and its trained weights."""
    last = state.global_step
    best = state.best_global_step or last
    if not (run.checkpoints / f"checkpoint-{best}").is_dir():
        logger.warning("The checkpoint of step %d, the best on validation, is gone; the last step's is used.", best)
        best = last
    elif best != last:
        logger.info("Step %d was best on validation (%.4f); its weights are kept.", best, state.best_metric)
    return best, load_file(run.checkpoints / f"checkpoint-{best}" / "trained.safetensors")
