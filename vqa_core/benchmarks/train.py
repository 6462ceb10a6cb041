"""`eval.benchmark train`: projector training on rows packed by image, against one row per question."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from vqa_core.benchmarks.asking import bench_model, describe_model
from vqa_core.benchmarks.devices import describe_device, matmul_rate
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report, arm_figures, comparison, comparison_lines, comparison_tables
from vqa_core.benchmarks.settings import TrainBench, means
from vqa_core.benchmarks.teaching import (
    ARMS,
    Batch,
    StepResult,
    check_agreement,
    check_step,
    loss_difference,
    loss_of,
    make_batches,
    train_step,
)
from vqa_core.benchmarks.timing import Rounds, interleave
from vqa_core.benchmarks.workloads import Questions, shape_of, workload_of
from vqa_core.model.packing import PADDING_SEGMENT
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import Vlm, best_device, resolve_precision
from vqa_core.runs.model_folder import Stage
from vqa_core.training.losses.packed import PackedLoss

logger = logging.getLogger("vqa")


def bench_train(settings: TrainBench) -> Iterator[Report]:
    """Yield the report after each number of questions per image. Raises WrongWork if the arms cannot be compared."""
    device = best_device()
    dtype = resolve_precision(settings.precision, device)
    questions = Questions.of_competition(settings.data)
    workloads = {mean: questions.choose(settings.images, mean) for mean in means(settings)}
    vlm = _build_model(settings.model, questions, dtype)
    exact = vlm if dtype == torch.float32 else _build_model(settings.model, questions, torch.float32)
    report = Report("train", describe_machine() | describe_device(device, dtype), settings.to_dict())
    report.lines = [describe_model(settings.model, vlm)]
    report.numbers = {"matmul_flops": matmul_rate(device, dtype, 1024), "workloads": []}
    for mean, chosen in workloads.items():
        few = chosen if exact is vlm else questions.choose(min(settings.exact_images, settings.images), mean)
        logger.info("Comparing loss and gradient of %d questions in fp32 ...", len(few.examples))
        loss, gradient = check_agreement(exact, few, settings.batch_tokens)
        logger.info("%d questions about %d images in %s:", len(chosen.examples), chosen.images, dtype)
        batches = {arm: make_batches(vlm, chosen, settings.batch_tokens, packed=arm == "packed") for arm in ARMS}
        results: dict[str, StepResult] = {}
        rounds = interleave(
            {arm: partial(_record, results, arm, loss_of(vlm, arm), batches[arm]) for arm in ARMS}, settings.rounds
        )
        for arm in ARMS:
            check_step(vlm, arm, chosen, batches[arm], results[arm])
        found = {
            "questions_per_image": mean,
            "compared_in_fp32": len(few.examples),
            "loss_difference_fp32": loss,
            "gradient_difference_fp32": gradient,
            "loss_difference": loss_difference(results),
            **_figures(vlm, chosen, rounds, batches, results, report.numbers["matmul_flops"]),
        }
        report.numbers["workloads"].append(found)
        report.tables += comparison_tables(found)
        report.lines += [*comparison_lines(found), _describe_agreement(found)]
        yield report


def _build_model(model: str, questions: Questions, dtype: torch.dtype) -> Vlm:
    vlm = bench_model(model, questions, dtype)
    prepare_stage(vlm, Stage("align"))
    return vlm


def _record(notes: dict[str, StepResult], arm: str, module: PackedLoss, batches: list[Batch]) -> None:
    notes[arm] = train_step(module, batches)


def _figures(
    vlm: Vlm,
    questions: Questions,
    rounds: Rounds,
    batches: dict[str, list[Batch]],
    results: dict[str, StepResult],
    matmul_flops: float,
) -> dict[str, Any]:
    """The figures of one workload."""
    work = workload_of(vlm, questions.examples)
    shape = shape_of(vlm)
    arms: dict[str, Any] = {}
    for arm in ARMS:
        tokens = sum(int((batch["segment_ids"] != PADDING_SEGMENT).sum()) for batch in batches[arm])
        arms[arm] = arm_figures(
            rounds.seconds[arm],
            work.questions,
            shape.train_flops(work, shared=arm == "packed"),
            matmul_flops,
            encodes=results[arm].counted.encodes,
            tokens=tokens,
            padding=results[arm].counted.positions - tokens,
            head_rows=results[arm].counted.head_rows,
        )
    return {"images": work.images, "questions": work.questions} | comparison("packed", arms, work.speedup)


def _describe_agreement(found: dict[str, Any]) -> str:
    return (
        f"loss: the arms are {found['loss_difference_fp32']:.1e} apart in fp32 over {found['compared_in_fp32']} "
        f"questions, their gradients {found['gradient_difference_fp32']:.1e} (relative); as timed, losses are "
        f"{found['loss_difference']:.1e} apart ({found['questions_per_image']:g} questions/image)"
    )
