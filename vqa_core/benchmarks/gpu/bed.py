"""GpuBed: the model, the questions and the stopwatch shared by all steps of `eval.benchmark gpu`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from vqa_core.benchmarks.devices import synchronise
from vqa_core.benchmarks.random_models import random_vlm
from vqa_core.benchmarks.report import Table
from vqa_core.benchmarks.synthetic import make_questions
from vqa_core.benchmarks.workloads import Questions, shape_of
from vqa_core.inference.decoding import pack_questions
from vqa_core.model.packing import PackedRow
from vqa_core.runs.examples import group_by_image

MEAN = 3.4  # questions per image, as in Dacon's test set


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes to measure: side of a matrix, tokens per forward, images per arm."""

    matmul: int
    prefill_tokens: tuple[int, ...]
    decode_images: tuple[int, ...]
    images: dict[str, int]
    train_images: dict[str, int]
    train_tokens: int


_FEW = {"shared": 16, "hf_batch": 8, "naive": 4}
_FEW_TAUGHT = {"packed": 9, "separate": 3}
SCALES = {
    "7b": Scale(
        matmul=8192,
        prefill_tokens=(4096, 8192, 16384, 32768),
        decode_images=(64, 128),
        images={"shared": 512, "hf_batch": 128, "naive": 16},
        train_images={"packed": 69, "separate": 20},
        train_tokens=8192,
    ),
    "small": Scale(512, (1024, 2048), (4, 8), _FEW, _FEW_TAUGHT, 1024),
    "tiny": Scale(128, (256, 512), (4, 8), _FEW, _FEW_TAUGHT, 256),
}


@dataclass(slots=True)
class StepFindings:
    """The results of a step: numbers for programs, a table with a header row, and findings, one sentence each."""

    numbers: dict[str, Any] = field(default_factory=dict)
    table: Table = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


class GpuBed:
    """A model of a named shape with random weights on `device`, and synthetic questions with pictures in `folder`."""

    def __init__(
        self, model: str, device: torch.device, dtype: torch.dtype, folder: Path, batch_questions: int
    ) -> None:
        self.scale, self.device, self.batch_questions = SCALES[model], device, batch_questions
        self.images = max(*self.scale.images.values(), *self.scale.decode_images)
        examples = make_questions(folder, self.images, MEAN)
        self.questions = Questions(folder, examples, sorted({example.answer or "" for example in examples}))
        self.vlm = random_vlm(model, self.questions.texts, device=device, dtype=dtype)
        self.shape = shape_of(self.vlm)
        self.matmul_flops = math.nan  # until it is measured

    def first(self, images: int) -> Questions:
        """The questions about the first images."""
        groups = group_by_image(self.questions.examples)[:images]
        return replace(self.questions, examples=[example for group in groups for example in group])

    def rows(self, images: int) -> list[PackedRow]:
        """The packed rows of the first images."""
        return [pack_questions(self.vlm, group, None) for group in group_by_image(self.first(images).examples)]

    def noise(self, rows: int, tokens: int) -> Tensor:
        """(rows, tokens, D) random numbers in place of embeddings."""
        return torch.randn(rows, tokens, self.shape.width, device=self.device, dtype=self.vlm.dtype)

    def seconds(self, work: Callable[[], object], limit_s: float) -> float:
        """The median of five times after a warm-up; of fewer, once `limit_s` is over."""
        times: list[float] = []
        until = time.perf_counter() + limit_s
        for number in range(6):
            synchronise(self.device)
            started = time.perf_counter()
            work()
            synchronise(self.device)
            if number:
                times.append(time.perf_counter() - started)
            if times and time.perf_counter() > until:
                break
        return median(times)
