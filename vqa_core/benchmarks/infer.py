"""`eval.benchmark infer`: the shared engine against the two that encode and read an image again for every question."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from vqa_core.benchmarks.asking import (
    ARMS,
    Asked,
    agree,
    ask,
    bench_model,
    check_work,
    describe_model,
    differences,
    near_ties,
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
    """Yield the report after each number of questions an image. Raises WrongWork where an arm is not to be compared."""
    device = best_device()
    dtype = resolve_precision(settings.precision, device)
    questions = Questions.of_competition(settings.data)
    workloads = {mean: questions.choose(settings.images, mean) for mean in means(settings)}
    most = max(len(group) for chosen in workloads.values() for group in group_by_image(chosen.examples))
    if settings.batch_questions < most:
        raise InputError(
            f"--batch-questions {settings.batch_questions} would cut the {most} questions of an image; give as many."
        )
    vlm = bench_model(settings.model, questions, dtype)
    exact = vlm if dtype == torch.float32 else bench_model(settings.model, questions, torch.float32)
    report = Report("infer", describe_machine() | describe_device(device, dtype), settings.to_dict())
    report.lines = [describe_model(settings.model, vlm)]
    report.numbers = {"matmul_flops": matmul_rate(device, dtype, 1024), "workloads": []}
    for mean, chosen in workloads.items():
        few = chosen if exact is vlm else questions.choose(min(settings.exact_images, settings.images), mean)
        agree(exact, few, settings.batch_questions)
        logger.info("%d questions about %d images in %s:", len(chosen.examples), chosen.images, dtype)
        asked: dict[str, list[Asked]] = {name: [] for name in ARMS}
        rounds = interleave(
            {name: partial(_note, asked[name], vlm, name, chosen, settings.batch_questions) for name in ARMS},
            settings.rounds,
        )
        for name in ARMS:
            for one in asked[name]:
                check_work(vlm, name, chosen.examples, one)
        differing = differences([one.answers for name in ARMS for one in asked[name]])
        near_ties(vlm, exact, chosen, differing)
        found = {
            "questions_per_image": mean,
            "compared_in_fp32": len(few.examples),
            "differing": len(differing),
            **_figures(vlm, chosen, rounds, asked, report.numbers["matmul_flops"]),
        }
        report.numbers["workloads"].append(found)
        report.tables += comparison_tables(found)
        report.lines += [*comparison_lines(found), _told(found)]
        yield report


def _note(notes: list[Asked], vlm: Vlm, name: str, questions: Questions, batch_questions: int) -> None:
    notes.append(ask(vlm, name, questions, batch_questions))


def _figures(
    vlm: Vlm, questions: Questions, rounds: Rounds, asked: dict[str, list[Asked]], matmul_flops: float
) -> dict[str, Any]:
    """The figures of one workload."""
    shape = shape_of(vlm)
    arms: dict[str, Any] = {}
    for name in ARMS:
        last = asked[name][-1]
        expected = check_work(vlm, name, questions.examples, last)
        arms[name] = arm_figures(
            rounds.seconds[name],
            expected.questions,
            shape.answer_flops(expected, shared=name == "shared"),
            matmul_flops,
            encodes=last.passed.encodes,
            tokens=last.work.lm_tokens,
            padding=last.passed.positions - last.work.lm_tokens,
            head_rows=last.passed.head_rows,
        )
    return {"images": expected.images, "questions": expected.questions} | comparison("shared", arms, expected.speedup)


def _told(found: dict[str, Any]) -> str:
    differing = found["differing"]
    return (
        f"answers: all of {found['compared_in_fp32']} the same from every arm in fp32; of {found['questions']} timed, "
        f"{differing} differ between arms or rounds{', all near ties' if differing else ''} "
        f"({found['questions_per_image']:g} questions/image)"
    )
