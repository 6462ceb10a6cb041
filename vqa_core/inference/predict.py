"""Answer a split of a run: model/ and examples -> predictions/<split>.jsonl, appended to, resumed and finished."""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.data.images import PIXEL_LIMIT, pixel_limit_of
from vqa_core.files import InputError, sha256_of
from vqa_core.inference.adopt import adopt_model
from vqa_core.inference.answer_limit import limit_of, refuse_other_limit, tell_of_limit
from vqa_core.inference.build import build_engine, choose_prompt, find_lengths
from vqa_core.inference.ray_engine import generate_with_ray
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.vlm import best_device, resolve_precision
from vqa_core.prompts.styles import STYLE_NAMES, changed_choices, changed_prompt
from vqa_core.runs.examples import Example
from vqa_core.runs.model_folder import describe_model_folder
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

logger = logging.getLogger("vqa")

REPORT_EVERY_S = 5.0


def predict_split(
    run: RunDir,
    split: str,
    examples: Sequence[Example],
    data_root: Path,
    settings: PredictSettings,
    *,
    model: str | None = None,
    restart: bool = False,
    pixel_limit: int | None = None,
) -> Counter[str]:
    """Answer every example that has no answer yet; return how many predictions have which status.

    `pixel_limit` is by default that of the run's data.

    Whatever kills it and whenever, the same call goes on, and the finished file is the same. `model` is made the run's
    own first, see `adopt_model`; without one the run's is asked. The settings become a section of the run's config.
    """
    vlm = adopt_model(run, model, settings) if model else None
    if vlm and settings.ray_workers:  # they load it themselves, perhaps onto this very device
        vlm = None
        torch.cuda.empty_cache()
    path = run.predictions(split)
    limit = pixel_limit or pixel_limit_of(run)
    resolved, vlm = _with_limit(run, settings, vlm)
    meta = _describe(run, examples, resolved) | ({} if limit == PIXEL_LIMIT else {"pixel_limit": limit})
    if not restart:
        refuse_other_limit(path, settings, meta)
    with PredictionLog.open(path, meta=meta, restart=restart) as log:
        run.write_section("predict", settings.to_dict())
        if log.done:
            logger.info("%d of %d questions are answered already.", len(log.done), len(examples))
        if any(example.question_id not in log.done for example in examples):
            answered = any(not prediction.is_fallback for prediction in log.read().values())
            done = frozenset(log.done)
            _append(_generate(run, examples, data_root, resolved, done, answered, vlm, limit), len(examples), log)
        statuses = Counter(prediction.status for prediction in log.read().values())
        log.finish([example.question_id for example in examples])
    _tell_of_cuts(statuses, resolved)
    return statuses


def _tell_of_cuts(statuses: Counter[str], settings: PredictSettings) -> None:
    total = statuses.total()
    if count := statuses["cut"]:
        logger.warning(
            "%d of %d answers reached the longest length, %d tokens, and are cut (status `cut`). Answer again with "
            "--restart and a larger --max-new-tokens.", count, total, settings.max_new_tokens,
        )  # fmt: skip
    if count := statuses["question_cut"]:
        logger.warning(
            "%d of %d questions were too long for the model's positions and were cut (status `question_cut`; `detail` "
            "has the numbers of tokens).", count, total,
        )  # fmt: skip


def _with_limit(run: RunDir, settings: PredictSettings, vlm: AnyVlm | None) -> tuple[PredictSettings, AnyVlm | None]:
    """The settings with the longest answer in tokens, and the model if it had to be loaded to know that."""
    if settings.answers != "open":  # each ends where an allowed answer does
        return replace(settings, max_new_tokens=limit_of(settings, None)), vlm
    trained = _described(run)
    lengths, loaded = find_lengths(run, trained, choose_prompt(trained, settings), settings, vlm)
    if lengths and lengths.total:
        tell_of_limit(settings, lengths)
    if settings.ray_workers and loaded:
        loaded = None
        torch.cuda.empty_cache()
    return replace(settings, max_new_tokens=limit_of(settings, lengths)), loaded


def _described(run: RunDir) -> ModelSettings:
    """The settings of the run's model; an InputError where it has none."""
    if not (run.model / "trained.safetensors").is_file():
        raise InputError(
            f"{run.model} holds no trained model. Train one with `python -m train.finetune --run {run.root}`."
        )
    return describe_model_folder(run.model).settings


def _describe(run: RunDir, examples: Sequence[Example], settings: PredictSettings) -> dict[str, Any]:
    """What answers depend on: the weights, the questions, and the settings that can change an answer."""
    trained = _described(run)
    used = choose_prompt(trained, settings)
    prompt: dict[str, Any] = {}
    if any(example.choices for example in examples):
        if warning := changed_choices(trained, used):
            logger.warning("%s", warning)
        prompt = {
            "choice_scoring": used.choice_scoring,
            "choice_instruction": used.choice_instruction,
            "option_orders": settings.option_orders,
        }
    if warning := changed_prompt(trained, used):
        logger.warning("%s", warning)
        prompt |= {"prompt_style": used.prompt_style, "instruction": used.instruction}
    if used.base_model and used.prompt_style not in STYLE_NAMES:  # its template may later write another text
        prompt["prompt_style"] = used.prompt_style
    questions = hashlib.sha256(json.dumps([example.to_dict() for example in examples]).encode()).hexdigest()
    meta = {
        "weights": sha256_of(run.model / "trained.safetensors"),
        "questions": questions,
        "answers": settings.answers,
        "max_new_tokens": settings.max_new_tokens,
        "precision": str(resolve_precision(settings.precision, best_device())).removeprefix("torch."),
        **prompt,
    }
    return meta if settings.load_in == "full" else meta | {"load_in": settings.load_in}


def _generate(
    run: RunDir,
    examples: Sequence[Example],
    data_root: Path,
    settings: PredictSettings,
    done: frozenset[str],
    answered: bool,
    vlm: AnyVlm | None,
    pixel_limit: int,
) -> Iterator[Prediction]:
    """Predictions of the examples that are not done, from an engine here or from several through Ray.

    `answered` says whether the model has answered some of those that are.
    """
    if settings.ray_workers:
        yield from generate_with_ray(
            run, settings, data_root, examples, done, answered=answered, pixel_limit=pixel_limit
        )
        return
    started = time.monotonic()
    engine = build_engine(run, settings, data_root, vlm, pixel_limit=pixel_limit)
    logger.info("Loaded %s in %.1f s.", run.model, time.monotonic() - started)
    yield from engine.generate(examples, done, answered=answered)
    logger.info("Encoded %d images.", engine.work.encodes)


def _append(predictions: Iterator[Prediction], total: int, log: PredictionLog) -> None:
    """Write each answer at once, and log how fast they are given."""
    before, started = len(log.done), time.monotonic()
    reported = None
    for prediction in predictions:
        log.append([prediction])
        now = time.monotonic()
        left = total - len(log.done)
        reported = reported or now  # answers are given a batch at a time: the very first says nothing about the rate
        if now - reported >= REPORT_EVERY_S or not left:
            reported = now
            rate = (len(log.done) - before) / (now - started)
            logger.info(
                "%d of %d questions, %.1f questions/s, %.1f min left",
                len(log.done),
                total,
                rate,
                left / rate / 60,
            )
