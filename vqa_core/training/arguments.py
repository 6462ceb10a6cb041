"""The Trainer's arguments: what of our settings it takes care of, and what it leaves alone."""

from transformers import TrainingArguments

from vqa_core.config import TrainSettings
from vqa_core.model.vlm import best_device
from vqa_core.processes import process_count
from vqa_core.runs.run_dir import RunDir


def trainer_arguments(run: RunDir, settings: TrainSettings, steps: int, *, validates: bool) -> TrainingArguments:
    """Arguments for a training of `steps` optimiser steps that writes its checkpoints into `run`."""
    processes, on_cpu = process_count(), best_device().type == "cpu"
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
        logging_nan_inf_filter=False,  # it would log 0 for a NaN; see vqa_core/training/divergence.py
        logging_steps=settings.log_every,
        eval_strategy="steps" if settings.eval_every and validates else "no",
        eval_steps=settings.eval_every or None,
        save_strategy="steps",
        save_steps=settings.save_every,
        seed=settings.seed,
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and processes > 1 else None,
        ddp_find_unused_parameters=False if processes > 1 else None,
        dataloader_num_workers=settings.workers,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        log_level="error",
        log_level_replica="error",
    )
