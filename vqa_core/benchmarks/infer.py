"""`eval.benchmark infer`: the shared engine against two engines that process an image again for every question."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from vqa_core.benchmarks.asking import (
    ARMS,
    ArmResult,
    ask,
    bench_model,
    check_agreement,
    check_near_ties,
    check_work,
    describe_model,
    differences,
)
from vqa_core.benchmarks.devices import describe_device, matmul_rate
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report, arm_figures, comparison, comparison_lines, comparison_tables
from vqa_core.benchmarks.settings import InferBench, means
from vqa_core.benchmarks.timing import Rounds, interleave
from vqa_core.benchmarks.workloads import Questions, shape_of
from vqa_core.files import InputError
from vqa_core.model.vlm import Vlm, best_device, resolve_precision
from vqa_core.runs.examples import group_by_image

logger = logging.getLogger("vqa")


def bench_infer(settings: InferBench) -> Iterator[Report]:
    """Yield the report after each number of questions per image. Raises WrongWork if the arms cannot be compared."""
    device = best_device()
    dtype = resolve_precision(settings.precision, device)
    questions = Questions.of_competition(settings.data)
    workloads = {mean: questions.choose(settings.images, mean) for mean in means(settings)}
    most = max(len(group) for chosen in workloads.values() for group in group_by_image(chosen.examples))
    if settings.batch_questions < most:
        raise InputError(
            f"--batch-questions {settings.batch_questions} would split the {most} questions of an image; set it to "
            f"{most} or more."
        )
    vlm = bench_model(settings.model, questions, dtype)
    exact = vlm if dtype == torch.float32 else bench_model(settings.model, questions, torch.float32)
    report = Report("infer", describe_machine() | describe_device(device, dtype), settings.to_dict())
    report.lines = [describe_model(settings.model, vlm)]
    report.numbers = {"matmul_flops": matmul_rate(device, dtype, 1024), "workloads": []}
    for mean, chosen in workloads.items():
        few = chosen if exact is vlm else questions.choose(min(settings.exact_images, settings.images), mean)
        check_agreement(exact, few, settings.batch_questions)
        logger.info("%d questions about %d images in %s:", len(chosen.examples), chosen.images, dtype)
        results: dict[str, list[ArmResult]] = {name: [] for name in ARMS}
        rounds = interleave(
            {name: partial(_record, results[name], vlm, name, chosen, settings.batch_questions) for name in ARMS},
            settings.rounds,
        )
        for name in ARMS:
            for one in results[name]:
                check_work(vlm, name, chosen.examples, one)
        differing = differences([one.answers for name in ARMS for one in results[name]])
        check_near_ties(vlm, exact, chosen, differing)
        found = {
            "questions_per_image": mean,
            "compared_in_fp32": len(few.examples),
            "differing": len(differing),
            **_figures(vlm, chosen, rounds, results, report.numbers["matmul_flops"]),
        }
        report.numbers["workloads"].append(found)
        report.tables += comparison_tables(found)
        report.lines += [*comparison_lines(found), _describe_agreement(found)]
        yield report


def _record(notes: list[ArmResult], vlm: Vlm, name: str, questions: Questions, batch_questions: int) -> None:
    notes.append(ask(vlm, name, questions, batch_questions))


def _figures(
    vlm: Vlm, questions: Questions, rounds: Rounds, results: dict[str, list[ArmResult]], matmul_flops: float
) -> dict[str, Any]:
    """The figures of one workload."""
    shape = shape_of(vlm)
    arms: dict[str, Any] = {}
    for name in ARMS:
        last = results[name][-1]
        expected = check_work(vlm, name, questions.examples, last)
        arms[name] = arm_figures(
            rounds.seconds[name],
            expected.questions,
            shape.answer_flops(expected, shared=name == "shared"),
            matmul_flops,
            encodes=last.counted.encodes,
            tokens=last.work.lm_tokens,
            padding=last.counted.positions - last.work.lm_tokens,
            head_rows=last.counted.head_rows,
        )
    return {"images": expected.images, "questions": expected.questions} | comparison("shared", arms, expected.speedup)


def _describe_agreement(found: dict[str, Any]) -> str:
    differing = found["differing"]
    return (
        f"answers: all of {found['compared_in_fp32']} the same from every arm in fp32; of {found['questions']} timed, "
        f"{differing} differ between arms or rounds{', all near ties' if differing else ''} "
        f"({found['questions_per_image']:g} questions/image)"
    )
