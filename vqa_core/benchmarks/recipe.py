"""`eval.benchmark recipe`: how each change to the Dacon team's recipe affects accuracy on validation questions.

Every variant trains for the same number of steps and questions, from the same seeds, and answers the same questions.
The parts are small: what holds for them need not hold for Vicuna-7B on photographs.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vqa_core.benchmarks.devices import describe_device
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report
from vqa_core.benchmarks.settings import RecipeBench
from vqa_core.config import DataSettings, ModelSettings, PredictSettings, TrainSettings
from vqa_core.data.prepare import Splits, prepare
from vqa_core.data.priors import AnswerPrior
from vqa_core.inference.engine import Engine
from vqa_core.model.folder import load_model_folder
from vqa_core.model.vlm import best_device, resolve_precision
from vqa_core.runs.examples import Example, first_images
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.training_rows import open_rows
from vqa_core.scoring.intervals import Floats, Interval, mean_interval, paired_difference
from vqa_core.training.finetune import finetune
from vqa_core.training.task import TrainingTask

logger = logging.getLogger("vqa")

BASE: dict[str, Any] = {
    "projector": "linear", "image_boundaries": True, "image_aspect": "square", "prompt_style": "vicuna_v1",
    "stage": "align", "learning_rate": 2e-3, "text_token_budget": 128,
}  # fmt: skip
"""The team's recipe: settings of the model and its training, without the parts and the batches."""
CHANGES: dict[str, dict[str, Any]] = {
    "mlp2x_gelu": {"projector": "mlp2x_gelu", "image_boundaries": False, "learning_rate": 1e-3},  # as LLaVA-1.5 had it
    "pad": {"image_aspect": "pad"},
    "instruction": {"instruction": "Answer the question using a single word or phrase."},
    "LoRA": {"stage": "lora", "lora_rank": 64, "lora_alpha": 128, "language_learning_rate": 2e-4},
}
"""The changes to the recipe in configs/dacon-vicuna7b-lora.json; a test compares them with the file."""


def variants() -> dict[str, dict[str, Any]]:
    """Variant -> settings: the recipe, each change alone, and all changes."""
    everything = {name: value for change in CHANGES.values() for name, value in change.items()}
    return {"recipe": BASE} | {f"+ {name}": BASE | change for name, change in CHANGES.items()} | {
        "all": BASE | everything
    }  # fmt: skip


def bench_recipe(settings: RecipeBench) -> Iterator[Report]:
    """Yield the report after each variant."""
    device = best_device()
    dtype = resolve_precision(settings.precision, device)
    report = Report("recipe", describe_machine() | describe_device(device, dtype), settings.to_dict())
    with tempfile.TemporaryDirectory(prefix="vqa-bench-") as name:
        data = RunDir(Path(name) / "data")
        splits = prepare(data, settings.data, DataSettings())
        asked = first_images(splits.val, settings.questions)
        prior = AnswerPrior(splits.train)
        found = {"question-only baseline": [_score([prior.answer(e.question) for e in asked], asked)]}
        cropped = not _are_all_square(data.data_root(), splits)
        if not cropped:
            report.lines.append("pad: not trained on its own, as every picture is a square already and none is changed")
        for variant, chosen in variants().items():
            if variant == "+ pad" and not cropped:
                found[variant] = found["recipe"]
                continue
            found[variant] = []
            for seed in range(settings.seeds):
                logger.info("%s, seed %d:", variant, seed)
                run = RunDir(Path(name) / f"{len(found)}-{seed}")
                answers = _train_and_ask(run, data, asked, settings, chosen | {"seed": seed}, dtype)
                found[variant].append(_score(answers, asked))
            _fill(report, found, asked)
            yield report


def _train_and_ask(
    run: RunDir, data: RunDir, asked: Sequence[Example], bench: RecipeBench, chosen: dict[str, Any], dtype: torch.dtype
) -> list[str]:
    """Train a model with the settings `chosen`; return its answers to `asked`."""
    model_names = ModelSettings().to_dict().keys()
    model = ModelSettings(
        vision_tower=bench.vision_tower,
        language_model=bench.language_model,
        image_side_px=bench.image_side_px,
        **{name: value for name, value in chosen.items() if name in model_names},
    )
    train = TrainSettings(
        max_steps=bench.steps,
        batch_questions=bench.batch_questions,
        precision=bench.precision,
        save_every=bench.steps,
        **{name: value for name, value in chosen.items() if name not in model_names},
    )
    rows, root = open_rows(data.rows), data.data_root()
    if not finetune(TrainingTask(run=run, rows=rows, val=(), data_root=root, model=model, settings=train)).finished:
        raise KeyboardInterrupt  # a signal made training stop after a step
    predict = PredictSettings(batch_questions=2 * bench.batch_questions, max_new_tokens=8)
    engine = Engine(load_model_folder(run.model, dtype=dtype), predict, data.data_root())
    answers = {prediction.question_id: prediction.answer for prediction in engine.generate(asked)}
    return [answers[example.question_id] for example in asked]


def _score(answers: Sequence[str], asked: Sequence[Example]) -> Floats:
    """(n,): 1 for each right answer, else 0."""
    return np.array([float(answer == example.answer) for answer, example in zip(answers, asked, strict=True)])


def _are_all_square(root: Path, splits: Splits) -> bool:
    """Whether every picture is a square, which neither centre crop nor padding changes."""
    for path in {example.image for example in (*splits.train, *splits.val)}:
        with Image.open(root / path) as picture:
            if picture.width != picture.height:
                return False
    return True


def _fill(report: Report, found: dict[str, list[Floats]], asked: Sequence[Example]) -> None:
    """Fill the report with the results so far."""
    images = [example.image for example in asked]
    base = np.mean(found["recipe"], axis=0)
    header = ["variant", "exact match", "95 % interval", "over the recipe", "95 % interval", "by seed"]
    rows, verdicts, numbers = [], [], {}
    for variant, of_seeds in found.items():
        mean = np.mean(of_seeds, axis=0)  # (n,): for each question, the share of seeds that get it right
        score, gain = mean_interval(mean, images), paired_difference(mean, base, images)
        compared = variant not in ("recipe", "question-only baseline")
        same = compared and of_seeds is found["recipe"]
        seeds = " ".join(f"{right.mean():.3f}" for right in of_seeds) if len(of_seeds) > 1 else ""
        gained = [f"{gain.value:+.4f}", "the same pixels" if same else gain.signed_span] if compared else ["", ""]
        rows.append([variant, f"{score.value:.4f}", score.span, *gained, seeds])
        numbers[variant] = {"score": score.to_dict(), "over": gain.to_dict(), "right": [r.tolist() for r in of_seeds]}
        if compared and not same:
            verdicts.append(f"{variant.removeprefix('+ ')}: {gain.value:+.4f}, {_verdict(gain)}")
    report.numbers = numbers
    report.tables = [[header, *rows]]
    report.lines = [*(line for line in report.lines if line.startswith("pad:")), *verdicts]


def _verdict(gain: Interval) -> str:
    if gain.low > 0:
        return "better than the recipe"
    return "worse than the recipe" if gain.high < 0 else "no clear difference from the recipe"
