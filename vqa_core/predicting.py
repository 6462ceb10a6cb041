"""Predicting a split of a run: model/ and examples -> predictions/<split>.jsonl, appended to, resumed and finished."""

import hashlib
import json
import logging
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vqa_core.any_vlm import AnyVlm
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.engine import Engine
from vqa_core.examples import Example
from vqa_core.files import InputError, sha256_of
from vqa_core.hub_loading import check_image_text_model
from vqa_core.llava_checkpoint import is_llava_folder
from vqa_core.predictions import Prediction, PredictionLog
from vqa_core.priors import AnswerPrior
from vqa_core.runs import RunDir
from vqa_core.stages import Stage, load_model_folder, write_model_folder
from vqa_core.vlm import best_device, resolve_precision

logger = logging.getLogger("vqa")

TELL_EVERY_S = 5.0
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def predict_split(
    run: RunDir,
    split: str,
    examples: Sequence[Example],
    data_root: Path,
    settings: PredictSettings,
    *,
    restart: bool = False,
) -> Counter[str]:
    """Answer every example that has no answer yet; return how many predictions have which status.

    Whatever kills it and whenever, the same call goes on, and the finished file is the same.
    """
    path = run.predictions(split)
    with PredictionLog.open(path, meta=_meta(run, examples, settings), restart=restart) as log:
        if log.done:
            logger.info("%d of %d questions are answered already.", len(log.done), len(examples))
        if any(example.question_id not in log.done for example in examples):
            _append(_generate(run, examples, data_root, settings, frozenset(log.done)), len(examples), log)
        statuses = Counter(prediction.status for prediction in log.read().values())
        log.finish([example.question_id for example in examples])
    return statuses


def build_engine(run: RunDir, settings: PredictSettings, data_root: Path, vlm: AnyVlm | None = None) -> Engine:
    """The engine for a run's model, with the answers and priors of its training examples."""
    vlm = vlm or load_model_folder(run.model, dtype=resolve_precision(settings.precision, best_device()))
    train = run.examples("train") if run.train.is_file() else []
    if not train and settings.answers == "train":
        raise InputError(
            f"--answers train needs {run.train}, the training answers. Run `python -m train.prepare` first."
        )
    prior = AnswerPrior(train) if train else None
    return Engine(
        vlm,
        settings,
        data_root,
        allowed_answers=prior.answers if prior and settings.answers == "train" else None,
        fallback=prior.answer if prior else lambda question: "",
    )


def adopt_model(run: RunDir, name: str) -> None:
    """Make a model the run's own: a copy of a model folder, or a note of the image-text model of that folder or hub id.

    Raises InputError if it is neither, or if the run has another model already.
    """
    folder = source = Path(name)
    copying = run.root / ".model-copy"
    shutil.rmtree(copying, ignore_errors=True)
    if not (folder / "vqa.json").is_file():
        hint = f" Convert it: python -m train.convert --from {folder} --to DIR" if is_llava_folder(folder) else ""
        other = (folder / "config.json").is_file() or (_HUB_ID.fullmatch(name) and not folder.exists())
        if hint or not other:
            raise InputError(f"--model {name} holds no trained model (no vqa.json).{hint}")
        check_image_text_model(name)
        base = str(folder.resolve()) if folder.is_dir() else name
        source = copying
        write_model_folder(source, ModelSettings(base_model=base), Stage("base"), {}, about={})
    if run.model.is_dir():
        same = sha256_of(source / "trained.safetensors") == sha256_of(run.model / "trained.safetensors")
        shutil.rmtree(copying, ignore_errors=True)
        if not same:
            raise InputError(
                f"{run.model} holds other weights than --model {name}. Leave --model out, use another --run, "
                f"or remove {run.root} to start over."
            )
        return
    if source is folder:
        shutil.copytree(folder, copying)
    copying.rename(run.model)


def _generate(
    run: RunDir, examples: Sequence[Example], data_root: Path, settings: PredictSettings, done: frozenset[str]
) -> Iterator[Prediction]:
    """Predictions of what is not done, from an engine here or from several through Ray."""
    if settings.ray_workers:
        from vqa_core.ray_engine import generate_with_ray

        yield from generate_with_ray(run, settings, data_root, examples, done)
        return
    started = time.monotonic()
    engine = build_engine(run, settings, data_root)
    logger.info("Loaded %s in %.1f s.", run.model, time.monotonic() - started)
    yield from engine.generate(examples, done)
    logger.info("Encoded %d images.", engine.work.encodes)


def _append(predictions: Iterator[Prediction], total: int, log: PredictionLog) -> None:
    """Write each answer at once, and say how fast they come."""
    before, started = len(log.done), time.monotonic()
    told = None
    for prediction in predictions:
        log.append([prediction])
        now = time.monotonic()
        left = total - len(log.done)
        told = told or now  # answers come a batch at a time: the first of all says nothing about the rate
        if now - told >= TELL_EVERY_S or not left:
            told = now
            rate = (len(log.done) - before) / (now - started)
            logger.info(
                "%d of %d questions, %.1f questions/s, %.1f min left",
                len(log.done),
                total,
                rate,
                left / rate / 60,
            )


def _meta(run: RunDir, examples: Sequence[Example], settings: PredictSettings) -> dict[str, Any]:
    """What answers depend on: the weights, the questions, and the settings that can change an answer."""
    weights = run.model / "trained.safetensors"
    if not weights.is_file():
        raise InputError(
            f"{run.model} holds no trained model. Train one with `python -m train.finetune --run {run.root}`."
        )
    questions = hashlib.sha256(json.dumps([asdict(example) for example in examples]).encode()).hexdigest()
    return {
        "weights": sha256_of(weights),
        "questions": questions,
        "answers": settings.answers,
        "max_new_tokens": settings.max_new_tokens,
        "precision": str(resolve_precision(settings.precision, best_device())).removeprefix("torch."),
    }
