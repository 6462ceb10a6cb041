"""Predicting a split of a run: model/ and examples -> predictions/<split>.jsonl, appended to, resumed and finished."""

import hashlib
import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.data.priors import AnswerPrior
from vqa_core.files import InputError, sha256_of
from vqa_core.inference.engine import Engine
from vqa_core.model.attention import choose_attention
from vqa_core.model.folder import load_model_folder, write_model_folder
from vqa_core.model.hub.loading import check_image_text_model
from vqa_core.model.loading import LoadOptions, is_hub_id
from vqa_core.model.parts import load_tokenizer
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.vlm import best_device, resolve_precision
from vqa_core.prompts.chat_template import written_out
from vqa_core.prompts.styles import OWN_TEMPLATE, STYLE_NAMES, changed_prompt, refuse_named_style
from vqa_core.runs.examples import Example
from vqa_core.runs.model_folder import Stage, describe_model_folder, is_llava_folder
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

logger = logging.getLogger("vqa")

TELL_EVERY_S = 5.0


def predict_split(
    run: RunDir,
    split: str,
    examples: Sequence[Example],
    data_root: Path,
    settings: PredictSettings,
    *,
    restart: bool = False,
    vlm: AnyVlm | None = None,
) -> Counter[str]:
    """Answer every example that has no answer yet; return how many predictions have which status.

    Whatever kills it and whenever, the same call goes on, and the finished file is the same. `vlm` is the run's model
    where that is loaded already.
    """
    path = run.predictions(split)
    meta = _meta(run, examples, settings)
    with PredictionLog.open(path, meta=meta, restart=restart) as log:
        if log.done:
            logger.info("%d of %d questions are answered already.", len(log.done), len(examples))
        if any(example.question_id not in log.done for example in examples):
            _append(_generate(run, examples, data_root, settings, frozenset(log.done), vlm), len(examples), log)
        statuses = Counter(prediction.status for prediction in log.read().values())
        log.finish([example.question_id for example in examples])
    return statuses


def build_engine(run: RunDir, settings: PredictSettings, data_root: Path, vlm: AnyVlm | None = None) -> Engine:
    """The engine for a run's model, with the answers and priors of its training examples."""
    vlm = vlm or _load(run.model, settings)
    asked = _asked_with(vlm.settings, settings)
    if asked != vlm.settings:
        vlm = vlm.with_prompt(asked)
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


def _asked_with(trained: ModelSettings, settings: PredictSettings) -> ModelSettings:
    """The model's settings with the prompt that is asked for; where none is, that of training."""
    asked = trained
    if settings.prompt_style is not None and not (trained.base_model and settings.prompt_style == OWN_TEMPLATE):
        if trained.base_model:
            refuse_named_style(trained.base_model, settings.prompt_style)
        asked = replace(asked, prompt_style=settings.prompt_style)
    if settings.instruction is not None:
        asked = replace(asked, instruction=settings.instruction)
    if asked.prompt_style == OWN_TEMPLATE and not asked.base_model:
        return written_out(asked, load_tokenizer(asked.language_model, LoadOptions.of(asked)))
    return asked


def _load(folder: Path, settings: PredictSettings) -> AnyVlm:
    device = best_device()
    dtype = resolve_precision(settings.precision, device)
    attention = choose_attention(settings.attention, plain=settings.engine != "shared", device=device, dtype=dtype)
    return load_model_folder(folder, dtype=dtype, attention=attention, how=settings)


def adopt_model(run: RunDir, name: str, how: PredictSettings | None = None) -> AnyVlm | None:
    """Make a model the run's own: a copy of a model folder, or a note of the image-text model of that folder or hub id.

    A hub id may be ID@REVISION; `how` says whose code may run. The model is loaded before the run has it, and returned;
    None where the run has it already. Raises InputError if it is neither or can't be loaded, or if the run has another
    model already.
    """
    folder = source = Path(name)
    copying = run.root / ".model-copy"
    shutil.rmtree(copying, ignore_errors=True)
    if not (folder / "vqa.json").is_file():
        hint = f" Convert it: python -m train.convert --from {folder} --to DIR" if is_llava_folder(folder) else ""
        hub_id, _, revision = name.partition("@")
        other = (folder / "config.json").is_file() or (is_hub_id(hub_id) and not folder.exists())
        if hint or not other:
            raise InputError(f"--model {name} holds no trained model (no vqa.json).{hint}")
        base = str(folder.resolve()) if folder.is_dir() else hub_id
        settings = ModelSettings(base_model=base, revision=(revision,) if revision and base == hub_id else ())
        check_image_text_model(base, LoadOptions.of(settings, how))
        source = copying
        write_model_folder(source, settings, Stage("base"), {}, about={})
    if run.model.is_dir():
        same = sha256_of(source / "trained.safetensors") == sha256_of(run.model / "trained.safetensors")
        theirs, ours = (describe_model_folder(each).settings for each in (source, run.model))
        shutil.rmtree(copying, ignore_errors=True)
        if not same:
            raise InputError(
                f"{run.model} holds other weights than --model {name}. Leave --model out, use another --run, "
                f"or remove {run.root} to start over."
            )
        if source is folder and changed_prompt(theirs, ours):
            raise InputError(
                f"{run.model} holds the weights of --model {folder} with another prompt. Leave --model out, and ask "
                "for a prompt with --prompt-style and --instruction, or use another --run."
            )
        return None
    try:
        vlm = _load(source, how or PredictSettings())
        if source is folder:
            shutil.copytree(folder, copying)
        else:  # with the text of its prompt
            write_model_folder(copying, vlm.settings, Stage("base"), {}, about={})
    except BaseException:
        shutil.rmtree(copying, ignore_errors=True)
        raise
    copying.rename(run.model)
    if how and how.ray_workers:  # who load it themselves, and may be on this very device
        del vlm
        torch.cuda.empty_cache()
        return None
    return vlm


def _generate(
    run: RunDir,
    examples: Sequence[Example],
    data_root: Path,
    settings: PredictSettings,
    done: frozenset[str],
    vlm: AnyVlm | None,
) -> Iterator[Prediction]:
    """Predictions of what is not done, from an engine here or from several through Ray."""
    if settings.ray_workers:
        from vqa_core.inference.ray_engine import generate_with_ray

        yield from generate_with_ray(run, settings, data_root, examples, done)
        return
    started = time.monotonic()
    engine = build_engine(run, settings, data_root, vlm)
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
    trained = describe_model_folder(run.model).settings
    asked = _asked_with(trained, settings)
    if said := changed_prompt(trained, asked):
        logger.warning("%s", said)
    prompt = {"prompt_style": asked.prompt_style, "instruction": asked.instruction} if said else {}
    if asked.base_model and asked.prompt_style not in STYLE_NAMES:  # which its template may come to write otherwise
        prompt["prompt_style"] = asked.prompt_style
    questions = hashlib.sha256(json.dumps([asdict(example) for example in examples]).encode()).hexdigest()
    meta = {
        "weights": sha256_of(weights),
        "questions": questions,
        "answers": settings.answers,
        "max_new_tokens": settings.max_new_tokens,
        "precision": str(resolve_precision(settings.precision, best_device())).removeprefix("torch."),
        **prompt,
    }
    return meta if settings.load_in == "full" else meta | {"load_in": settings.load_in}
