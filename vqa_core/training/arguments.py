"""The Trainer's arguments: what of our settings it takes care of, and what it leaves alone."""

import logging
import os

import torch
from torch import distributed
from transformers import TrainingArguments

from vqa_core.config import TrainSettings
from vqa_core.files import InputError
from vqa_core.model.vlm import best_device
from vqa_core.processes import process_count
from vqa_core.runs.run_dir import RunDir

logger = logging.getLogger("vqa")


class OneDevice(TrainingArguments):  # type: ignore[misc]
    """Arguments of a process that uses one device, however many there are: the Trainer would spread the model."""

    @property
    def n_gpu(self) -> int:
        return min(int(super().n_gpu), 1)


def trainer_arguments(run: RunDir, settings: TrainSettings, steps: int, *, validates: bool) -> TrainingArguments:
    """Arguments for a training of `steps` optimiser steps that writes its checkpoints into `run`.

    Raises InputError for processes that do not find each other.
    """
    try:
        arguments = _arguments(run, settings, steps, validates=validates)
    except (distributed.DistError, OSError) as error:
        where = ":".join(os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise InputError(
            f"The {process_count()} processes of this training did not find each other at {where} (MASTER_ADDR and "
            f"MASTER_PORT): {str(error).splitlines()[0]}. Is the first one running there, and is the port free? "
            "torchrun chooses a free port by itself."
        ) from error
    if arguments.world_size != process_count():
        raise InputError(
            f"WORLD_SIZE says that {process_count()} processes train together, but {arguments.world_size} found each "
            "other. Start them with torchrun --nproc_per_node 2 -m -- train.finetune ..."
        )
    devices = 0 if arguments.use_cpu or arguments.world_size > 1 else torch.cuda.device_count()
    if devices > 1:
        logger.info(
            "This machine has %d GPUs, and one process uses one of them. To use all, give the same command as: "
            "torchrun --nproc_per_node %d -m -- train.finetune ...", devices, devices,
        )  # fmt: skip
    return arguments


def _arguments(run: RunDir, settings: TrainSettings, steps: int, *, validates: bool) -> OneDevice:
    processes, on_cpu = process_count(), best_device().type == "cpu"
    return OneDevice(
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
