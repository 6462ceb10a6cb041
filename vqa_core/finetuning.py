"""Fine-tuning a run: rows -> plan -> trainer -> model/. What `python -m train.finetune` does."""

import json
import logging
import os
import platform
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from safetensors.torch import load_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vqa_core.batches import Plan, plan_batches
from vqa_core.checkpoints import newest_valid
from vqa_core.config import ModelSettings, PredictSettings, TrainSettings
from vqa_core.engine import Engine
from vqa_core.examples import Example, group_by_image
from vqa_core.files import InputError, read_json_lines, write_json_lines
from vqa_core.runs import RunDir
from vqa_core.stages import load_trained, prepare_stage, save_model_folder, stage_of, trained_tensors
from vqa_core.trackers import Tracker
from vqa_core.trainer import Hooks, PackedLoss, VqaTrainer
from vqa_core.training_data import BranchEncoder, TrainingBatches, TrainingRows, measure_rows
from vqa_core.vlm import Vlm, best_device, build_vlm, resolve_precision

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
    vlm: Vlm | None = None,
) -> Outcome:
    """Train on `rows` and write checkpoints, metrics.jsonl and, when finished, model/.

    Args:
        rows: training rows, one an image, see vqa_core/rows.py.
        val: validation examples; their answers are generated to measure accuracy.
        data_root: folder that image paths are relative to.
        resume: go on from the newest checkpoint that verifies; without it an existing one is an error.
        vlm: a model that is already built, for tests.
    """
    started = time.monotonic()
    checkpoint = _checkpoint(run, resume)
    vlm = vlm or build_vlm(
        model_settings,
        dtype=resolve_precision(settings.precision, best_device()),
        attention=settings.attention,
        seed=settings.seed,
    )
    stage = stage_of(settings)
    prepare_stage(vlm, stage, settings.seed)
    if settings.gradient_checkpointing:  # here, since the Trainer would look for it on PackedLoss
        vlm.language_model.gradient_checkpointing_enable({"use_reentrant": False})
    encoder = BranchEncoder(vlm.prompt, settings.text_token_budget)
    measured = measure_rows(rows, encoder)
    if measured.questions_cut:
        logger.warning(
            "The text token budget of %d cut %d of %d questions (%d tokens); no answer or image was cut.",
            settings.text_token_budget, measured.questions_cut, measured.questions, measured.tokens_cut,
        )  # fmt: skip
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    plan = plan_batches(measured.lengths, settings, processes)
    if not plan.batches:
        raise InputError("There is nothing to train: --epochs and --max-steps leave no batch.")
    _tell(vlm, stage.name, plan, settings, processes)

    control = _Control(settings, started)
    tracker = Tracker(settings.report_to, run, {"model": model_settings.to_dict(), "train": settings.to_dict()})
    args = _arguments(run, settings, plan, processes)
    metrics = _Metrics(run, tracker, args.max_steps, plan.epochs, after=_step_of(checkpoint))
    trainer = VqaTrainer(
        PackedLoss(vlm),
        args,
        TrainingBatches(rows, plan.batches, vlm, encoder, data_root),
        settings,
        Hooks(_validator(vlm, val, data_root, settings), metrics.write, control.stop),
    )
    trainer.add_callback(control)
    with control:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        step = trainer.state.global_step
        if control.asked_to_stop:
            logger.info("Stopped at step %d of %d. Give the same command with --resume to go on.", step, args.max_steps)
            tracker.finish()
            return Outcome(False, step, args.max_steps, {})
        best = _take_best(trainer, run, vlm)
        final = trainer.evaluate() if val else {}
    if trainer.is_world_process_zero():
        about = {
            "trained": {"steps": step, "step": best, "epochs": round(plan.epochs, 4), "questions": plan.questions},
            "validation": final,
            "precision": str(vlm.dtype).removeprefix("torch."),
            "versions": {name: version(name) for name in ("torch", "transformers")}
            | {"python": platform.python_version()},
        }
        save_model_folder(run.model, vlm, stage, save_dtype=settings.save_dtype, about=about)
        logger.info("Wrote %s after %.0f s.", run.model, time.monotonic() - started)
    tracker.finish()
    return Outcome(True, step, args.max_steps, final)


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


def _tell(vlm: Vlm, stage: str, plan: Plan, settings: TrainSettings, processes: int) -> None:
    trained = sum(parameter.numel() for parameter in trained_tensors(vlm).values())
    total = sum(parameter.numel() for parameter in vlm.model.parameters())
    logger.info(
        "Training %s of %s parameters (stage %s, %s on %s) on %d questions in %d batches, %.2f epochs.",
        f"{trained:,}", f"{total:,}", stage, str(vlm.dtype).removeprefix("torch."), vlm.device, plan.questions,
        len(plan.batches), plan.epochs,
    )  # fmt: skip
    logger.info(
        "A step is %d batch(es) of at most %d questions on %d process(es); a picture is %d tokens.",
        settings.accumulate, settings.batch_questions, processes, vlm.image_tokens,
    )  # fmt: skip


def _arguments(run: RunDir, settings: TrainSettings, plan: Plan, processes: int) -> TrainingArguments:
    steps = -(-len(plan.batches) // (settings.accumulate * processes))
    fsdp: dict[str, Any] = {}
    if settings.parallel == "fsdp2":
        fsdp = {"fsdp": True, "fsdp_config": {"version": 2, "reshard_after_forward": True}}
    return TrainingArguments(
        output_dir=str(run.checkpoints),
        per_device_train_batch_size=1,  # an item of the training data is a batch already
        gradient_accumulation_steps=settings.accumulate,
        num_train_epochs=1,  # all epochs are planned as one pass
        max_steps=steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=round(settings.warmup_ratio * steps),
        max_grad_norm=settings.max_grad_norm,
        logging_steps=settings.log_every,
        eval_strategy="steps" if settings.eval_every else "no",
        eval_steps=settings.eval_every or None,
        metric_for_best_model="accuracy",
        greater_is_better=True,
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
        **fsdp,
    )


def _validator(
    vlm: Vlm, val: Sequence[Example], data_root: Path, settings: TrainSettings
) -> Callable[[], dict[str, float]] | None:
    """Accuracy of generated answers on the first whole images of `val` that hold `eval_questions` questions."""
    chosen: list[Example] = []
    for group in group_by_image(val):
        if settings.eval_questions and len(chosen) >= settings.eval_questions:
            break
        chosen += group
    if not chosen:
        return None
    engine = Engine(vlm, PredictSettings(batch_questions=settings.batch_questions), data_root)

    def validate() -> dict[str, float]:
        answers = {prediction.question_id: prediction.answer for prediction in engine.generate(chosen)}
        right = sum(answers[example.question_id] == example.answer for example in chosen)
        return {"accuracy": right / len(chosen), "questions": len(chosen)}

    return validate


def _take_best(trainer: VqaTrainer, run: RunDir, vlm: Vlm) -> int:
    """Put the weights of the best validated step back, when it isn't the last; return the step taken."""
    best, last = trainer.state.best_global_step, trainer.state.global_step
    folder = run.checkpoints / f"checkpoint-{best}"
    if not best or best == last or not folder.is_dir():
        return int(last)
    load_trained(vlm, load_file(folder / "trained.safetensors"), folder)
    logger.info("Step %d was best on validation (%.4f); its weights are kept.", best, trainer.state.best_metric)
    return int(best)


class _Control(TrainerCallback):  # type: ignore[misc]
    """Saves and stops on SIGTERM or Ctrl-C, winds up at the time limit, and makes every validated step a checkpoint."""

    def __init__(self, settings: TrainSettings, started: float) -> None:
        self.deadline = started + settings.max_minutes * 60 if settings.max_minutes else None
        self.asked_to_stop = False
        self._before: dict[signal.Signals, Any] = {}

    def stop(self) -> bool:
        return self.asked_to_stop

    def __enter__(self) -> "_Control":
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not in the main thread: whoever runs us there handles signals
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: FrameType | None) -> None:
        logger.info("Got %s: finishing this step, then saving.", signal.Signals(number).name)
        self.asked_to_stop = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        late = self.deadline is not None and time.monotonic() > self.deadline
        if self.asked_to_stop or late or state.global_step >= state.max_steps:
            control.should_save = True
        if self.asked_to_stop or late:
            control.should_training_stop = True
            if late:
                logger.info("The time limit is reached at step %d of %d.", state.global_step, state.max_steps)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_save = control.should_save or state.global_step < state.max_steps


class _Metrics:
    """metrics.jsonl, the log's lines, and the tracker, all from the same dictionaries."""

    def __init__(self, run: RunDir, tracker: Tracker, steps: int, epochs: float, after: int) -> None:
        self.path, self.tracker, self.steps, self.epochs = run.metrics, tracker, steps, epochs
        self.first: tuple[int, float] | None = None
        kept = [row for row in read_json_lines(self.path) if row["step"] <= after] if self.path.is_file() else []
        write_json_lines(self.path, kept)  # a resumed run writes the later lines again

    def write(self, line: dict[str, Any]) -> None:
        step, seconds = line["step"], line["seconds"]
        line = {"step": step, "epoch": round(self.epochs * step / self.steps, 4), **line}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.tracker.log(line, step)
        if "eval_accuracy" in line:
            logger.info(
                "step %d: validation accuracy %.4f (%d questions)", step, line["eval_accuracy"], line["eval_questions"]
            )
        elif "loss" in line:
            self.first = self.first or (step, seconds)
            rate = (step - self.first[0]) / max(seconds - self.first[1], 1e-9)
            eta = f", {(self.steps - step) / rate / 60:.1f} min left" if rate else ""
            logger.info(
                "step %d of %d: loss %.4f, rate %.2e%s", step, self.steps, line["loss"], line["learning_rate"], eta
            )
