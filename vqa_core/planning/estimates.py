"""Estimates for a training before it starts: steps, questions, memory and time.

No model is loaded. Steps come from the plan that training itself makes, memory from the sizes of the parts, time from
the metrics.jsonl of earlier runs on this machine or else from the number of operations.
"""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError, read_json
from vqa_core.machine import Speed, prefers_bf16
from vqa_core.planning.batches import plan_batches
from vqa_core.planning.lengths import Lengths
from vqa_core.planning.part_sizes import language_sizes, projector_sizes, tower_sizes
from vqa_core.runs.metrics import read_metrics, seconds_per_step
from vqa_core.runs.run_dir import RunDir

PLANNED = 400_000  # the most rows of a plan; a longer training is planned for one epoch, and multiplied
LIBRARIES = (500_000_000, 900_000_000)  # bytes of Python, torch and transformers without a model, from and to
QUANTISED = {"8bit": 1.0, "4bit": 4.127 / 8}  # bytes per weight, with QLoRA's doubly quantised constants
TYPICAL = 16.0  # tokens of a question with its answer, if the data are unknown
ANSWER = 3  # tokens of an answer and its end
REACHED = (1.0, 0.5, 0.2)  # share of a processor's fp32 matrix speed that training reaches: at best, likely, at worst
REACHED_GPU = (0.6, 0.35, 0.15)  # share of the speed in a GPU's datasheet; not measured here


@dataclass(frozen=True, slots=True)
class Steps:
    """The length of a training. `exact` is False if the questions' tokens are an estimate."""

    steps: int
    questions: int
    epochs: float
    exact: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that training takes of the machine's memory, or of the GPU's: from `low` to `high` in total.

    The model has `parameters`, of which `trained` are trained. `activations` (low, high) grow with the batch.
    """

    parameters: int
    trained: int
    weights: int
    optimiser: int
    activations: tuple[int, int]

    @property
    def low(self) -> int:
        return LIBRARIES[0] + self.weights + self.optimiser + self.activations[0]

    @property
    def high(self) -> int:
        return LIBRARIES[1] + self.weights + self.optimiser + self.activations[1]


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds per question of the run `run`, as lower quartile, median and upper quartile over `steps` steps.

    `validation` is the same for answering a validation question; zeros if none was measured. If no run was measured,
    `run` is empty, `steps` is 0, and the seconds are the least, the likely and the most.
    """

    run: str
    seconds: tuple[float, float, float]
    steps: int
    validation: tuple[float, float, float]


@lru_cache(maxsize=32)
def estimate_steps(lengths: Lengths, settings: TrainSettings, *, exact_lengths: bool = False) -> Steps:
    """The steps on one process, as `vqa_core.training.plan` counts them; `max_minutes` may end training sooner.

    Args:
        exact_lengths: the lengths are counts of tokens, not estimates good enough to fill batches equally.
    """
    whole = 1
    if not settings.max_steps and len(lengths) * settings.epochs > PLANNED and settings.epochs > 1:
        whole, settings = round(settings.epochs), replace(settings, epochs=1.0)
    plan = plan_batches(lengths, settings)
    batches = len(plan.batches) * whole
    return Steps(
        steps=-(-batches // settings.accumulate),
        questions=plan.questions * whole,
        epochs=plan.epochs * whole,
        exact=(exact_lengths or settings.max_steps > 0) and whole == 1,
    )


def estimate_memory(model: ModelSettings, settings: TrainSettings, lengths: Lengths) -> Memory | None:
    """Memory of training on one process; None if the size of a part is unknown.

    Weights: 2 bytes per frozen parameter in bf16, 4 in fp32, less in the layers with `load_in`; trained ones are fp32.
    Gradients and AdamW's two moments add 12 bytes per trained parameter. Activations, per token and layer of a language
    model of width D and inner width M: from 6 D + 3 M numbers in the model's format to 12 D + 6 M in fp32 (`align`: 7 D
    + 3.5 M); with `gradient_checkpointing` D per layer, and one or two layers in full. Then the logits of the
    supervised tokens. The factors fit nine measured trainings of the embedded parts: `align`, `lora` and `full`, both
    formats, 32 to 256 questions per batch.
    """
    if model.base_model:
        return None
    tower, language = tower_sizes(model.vision_tower), language_sizes(model.language_model)
    projector = projector_sizes(model, tower, language.hidden) if tower and language else None
    if not (tower and language and projector):
        return None
    of_stage = {"align": 0, "lora": language.lora(settings.lora_rank, settings.lora_targets)}
    extra = of_stage.get(settings.stage, language.parameters)
    trained = projector.parameters + extra
    frozen = tower.parameters + (0 if settings.stage == "full" else language.parameters)
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and prefers_bf16())
    number = 2 if bf16 else 4

    saved = language.in_layers * (number - QUANTISED[settings.load_in]) if settings.load_in in QUANTISED else 0

    d, m = language.hidden, language.inner
    tokens, questions = _batch(lengths, settings, projector.image_tokens)
    widest = 3.5 if settings.stage == "align" else 6.0
    low, high = 3 * (2 * d + m) * number, round(widest * (2 * d + m)) * 4
    if settings.gradient_checkpointing:
        low, high = d * number * language.layers + low, d * 4 * language.layers + 2 * high
    else:
        low, high = low * language.layers, high * language.layers
    patches = (model.image_side_px // tower.patch) ** 2 + 1
    seen = round(questions / _mean_questions(lengths, settings)) * patches * tower.hidden * number
    logits = questions * language.vocabulary * 4
    cast = trained * 2 if bf16 else 0  # autocast keeps a bf16 copy of the trained weights
    return Memory(
        parameters=frozen + trained,
        trained=trained,
        weights=frozen * number - round(saved) + trained * 4,
        optimiser=trained * 12,
        activations=(tokens * low + 2 * logits, tokens * high + 12 * logits + seen * 8 * 4 + cast),
    )


def _mean_questions(lengths: Lengths, settings: TrainSettings) -> float:
    """Questions per row of a batch; one if the data are unknown."""
    most = min(settings.questions_per_image or settings.batch_questions, settings.batch_questions)
    return max(statistics.fmean(min(len(row), most) for row in lengths), 1.0) if lengths else 1.0


def _batch(lengths: Lengths, settings: TrainSettings, image_tokens: int) -> tuple[int, int]:
    """Tokens and questions of a full batch; TYPICAL tokens per question if the data are unknown."""
    questions = min(settings.batch_questions, sum(map(len, lengths)) or settings.batch_questions)
    text = statistics.fmean(length for row in lengths for length in row) if any(lengths) else TYPICAL
    rows = questions / _mean_questions(lengths, settings)
    text = min(text, settings.text_token_budget)
    return round(rows * (image_tokens + 4) + questions * (text + 4)), questions


def measured_pace(runs: Iterable[RunDir], model: ModelSettings, settings: TrainSettings) -> Pace | None:
    """The pace of the newest run that trained the same parts in the same stage and format; None if none did."""
    for run in runs:
        try:
            config = run.read_config()
            alike = _alike(config, model, settings)
            pace = _pace(run, config) if alike else None
        except (InputError, OSError, KeyError, TypeError, ValueError):
            continue  # a damaged run tells nothing
        if pace:
            return pace
    return None


def _alike(config: dict[str, Any], model: ModelSettings, settings: TrainSettings) -> bool:
    wanted, found = model.to_dict(), config.get("model") or {}
    parts = ("vision_tower", "language_model", "projector", "pixel_shuffle", "image_side_px")
    how, trained = settings.to_dict(), config.get("train") or {}
    return (
        all(found.get(name) == wanted[name] for name in parts)
        and all(trained.get(name) == how[name] for name in ("stage", "precision", "gradient_checkpointing"))
        and trained.get("load_in", "full") == settings.load_in
    )


def _pace(run: RunDir, config: dict[str, Any]) -> Pace | None:
    train = config["train"]
    questions = float(train["batch_questions"]) * float(train["accumulate"])
    if (run.model / "vqa.json").is_file():
        trained = read_json(run.model / "vqa.json")["trained"]
        questions = float(trained["questions"]) / float(trained["steps"])
    rows = read_metrics(run.metrics)
    seconds = [of_step / questions for of_step in seconds_per_step(rows)]
    validation = [
        (after["seconds"] - before["seconds"]) / max(after["eval_questions"], 1)
        for before, after in pairwise(rows)
        if "eval_accuracy" in after and after["step"] == before["step"]
    ]
    if len(seconds) < 2:
        return None
    return Pace(run.name, _quartiles(seconds), int(rows[-1]["step"]), _quartiles(validation or [0.0]))


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values * 2 if len(values) == 1 else values, n=4, method="inclusive")
    return low, middle, high


def reached(speed: Speed) -> tuple[float, float, float]:
    """The share of a machine's speed that training reaches: at best, likely, at worst."""
    return REACHED_GPU if speed.gpu else REACHED


def reckoned_pace(model: ModelSettings, settings: TrainSettings, lengths: Lengths, speed: Speed) -> Pace | None:
    """The pace of a machine of this speed, by the number of operations; None if the size of a part is unknown.

    Operations per parameter and token: 2 in the forward pass; 2 in the backward pass through a frozen layer and 4
    through a trained one; 2 more with `gradient_checkpointing` (arXiv:2001.08361, 2.1; attention over such short rows
    adds a few percent). The tower has a forward pass only, once per image of a batch; the head sees the tokens of
    answers only. Training reaches a share of the machine's speed within the range of `reached`; a processor's range
    fits the twelve trainings of tests/planning/test_estimates.py. A validation question takes a forward pass, then its
    answer's tokens one by one.
    """
    tower, language = tower_sizes(model.vision_tower), language_sizes(model.language_model)
    projector = projector_sizes(model, tower, language.hidden) if tower and language else None
    if model.base_model or not (tower and language and projector):
        return None
    tokens, questions = _batch(lengths, settings, projector.image_tokens)
    head = language.vocabulary * language.hidden
    each = (6 if settings.stage == "full" else 4) + (2 if settings.gradient_checkpointing else 0)
    patches = (model.image_side_px // tower.patch) ** 2 + 1
    seeing = 2 * tower.parameters * patches / _mean_questions(lengths, settings)
    reading = language.in_layers * tokens / questions
    training = each * (reading + head * ANSWER) + seeing
    answering = 2 * (reading + (language.in_layers + head) * ANSWER) + seeing
    best, likely, worst = (speed.flops * share for share in reached(speed))
    return Pace(
        "", (training / best, training / likely, training / worst), 0,
        (answering / best, answering / likely, answering / worst),
    )  # fmt: skip


def estimate_seconds(steps: Steps, pace: Pace, settings: TrainSettings, val_questions: int) -> tuple[float, float]:
    """Seconds of training with its validations, from lower to upper quartile of the pace; at most `max_minutes`."""
    asked = min(settings.eval_questions or val_questions, val_questions)
    times = (steps.steps // settings.eval_every if settings.eval_every else 0) + 1
    limit = settings.max_minutes * 60 or float("inf")
    low, _, high = (
        min(steps.questions * training + asked * times * answering, limit)
        for training, answering in zip(pace.seconds, pace.validation, strict=True)
    )
    return low, high
