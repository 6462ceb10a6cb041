"""Steps of `eval.benchmark gpu` that measure the whole: three engines, and two ways to train."""

from functools import partial
from typing import Any

import torch

from vqa_core.benchmarks import asking, teaching
from vqa_core.benchmarks.devices import peak_memory, reset_peak_memory
from vqa_core.benchmarks.floors import DACON_TEST, DACON_TRAIN, Workload
from vqa_core.benchmarks.gpu.bed import MEAN, GpuBed, StepFindings
from vqa_core.benchmarks.report import share
from vqa_core.benchmarks.timing import Rounds, Spread, interleave
from vqa_core.benchmarks.workloads import workload_of
from vqa_core.model.stages import prepare_stage
from vqa_core.runs.model_folder import Stage

ROUNDS = 3
LEAST_TOKENS = 1024  # per training batch


def answering(bed: GpuBed, limit_s: float) -> StepFindings:
    """Time the three engines, from picture files to answers; the slower ones on fewer images."""
    chosen = {name: bed.first(images) for name, images in bed.scale.images.items()}
    results: dict[str, asking.ArmResult] = {}
    memory: dict[str, int] = {}

    def run(name: str) -> None:
        reset_peak_memory(bed.device)
        results[name] = asking.ask(bed.vlm, name, chosen[name], bed.batch_questions)
        memory[name] = peak_memory(bed.device)

    rounds = interleave({name: partial(run, name) for name in chosen}, ROUNDS, limit_s=limit_s)
    works = {name: workload_of(bed.vlm, one.examples, results[name].answers) for name, one in chosen.items()}
    flops = {name: bed.shape.answer_flops(work, name == "shared") for name, work in works.items()}
    found = _compare_arms(bed, "answering", rounds, works, flops, memory, shared="shared")
    rate = found.numbers["arms"]["shared"]["questions_per_second"]
    found.numbers["dacon_test_seconds"] = seconds = DACON_TEST.questions / rate
    found.lines.append(f"{DACON_TEST.questions:,} test questions: {seconds / 60:.1f} min at {rate:.1f} questions/s")
    for name, one in chosen.items():
        try:
            asking.check_work(bed.vlm, name, one.examples, results[name])
        except (
            asking.WrongWork
        ) as error:  # such as batches halved to fit into memory: the time is still worth reporting
            found.lines.append(f"beware: {error}")
    few = [example.question_id for example in chosen["naive"].examples]
    differing = asking.differences([{key: one.answers[key] for key in few} for one in results.values()])
    found.numbers["differing"] = len(differing)
    found.lines.append(f"answers: {len(differing)} of {len(few)} differ between the arms")
    return found


def training(bed: GpuBed, limit_s: float) -> StepFindings:
    """Time forward and backward of projector training, halving the batches until they fit into memory."""
    prepare_stage(bed.vlm, Stage("align"))
    tokens = bed.scale.train_tokens
    while True:
        try:
            return _time_training(bed, tokens, limit_s)
        except torch.OutOfMemoryError:
            if tokens <= LEAST_TOKENS:
                raise
        tokens //= 2


def _time_training(bed: GpuBed, tokens: int, limit_s: float) -> StepFindings:
    chosen = {arm: bed.first(images) for arm, images in bed.scale.train_images.items()}
    batches = {arm: teaching.make_batches(bed.vlm, one, tokens, packed=arm == "packed") for arm, one in chosen.items()}
    results: dict[str, teaching.StepResult] = {}
    memory: dict[str, int] = {}

    def run(arm: str) -> None:
        reset_peak_memory(bed.device)
        results[arm] = teaching.train_step(teaching.loss_of(bed.vlm, arm), batches[arm])
        memory[arm] = peak_memory(bed.device)

    rounds = interleave({arm: partial(run, arm) for arm in chosen}, ROUNDS, limit_s=limit_s)
    for arm, one in chosen.items():
        teaching.check_step(bed.vlm, arm, one, batches[arm], results[arm])
    works = {arm: workload_of(bed.vlm, one.examples) for arm, one in chosen.items()}
    flops = {arm: bed.shape.train_flops(work, arm == "packed") for arm, work in works.items()}
    found = _compare_arms(bed, "training", rounds, works, flops, memory, shared="packed")
    found.numbers["batch_tokens"] = tokens
    found.lines.append(f"training: batches of at most {tokens:,} tokens")
    rate = found.numbers["arms"]["packed"]["questions_per_second"]
    found.numbers["dacon_epoch_seconds"] = seconds = DACON_TRAIN.questions / rate
    found.lines.append(
        f"{DACON_TRAIN.questions:,} training questions: {seconds / 60:.1f} min at {rate:.1f} questions/s"
    )
    return found


def _compare_arms(
    bed: GpuBed,
    what: str,
    rounds: Rounds,
    works: dict[str, Workload],
    flops: dict[str, float],
    memory: dict[str, int],
    *,
    shared: str,
) -> StepFindings:
    """Compare interleaved arms on workloads of different size, by seconds per question."""
    found = StepFindings(
        {"arms": {}, "over": {}}, [[what, "images", "questions", "questions/s", "tokens/s", "of matmul rate", "GB"]]
    )
    for arm, work in works.items():
        seconds = rounds.spread(arm).median
        part = flops[arm] / seconds / bed.matmul_flops
        figures: dict[str, Any] = {
            "images": work.images,
            "questions": work.questions,
            "tokens": work.tokens(arm == shared),
            "seconds": rounds.seconds[arm],
            "questions_per_second": work.questions / seconds,
            "share_of_matmul": part,
            "peak_bytes": memory[arm],
        }
        found.numbers["arms"][arm] = figures
        rates = [f"{work.questions / seconds:,.1f}", f"{figures['tokens'] / seconds:,.0f}", share(part)]
        found.table.append([arm, f"{work.images}", f"{work.questions:,}", *rates, f"{memory[arm] / 1e9:.1f}"])
    each = Rounds({arm: [s / works[arm].questions for s in seconds] for arm, seconds in rounds.seconds.items()})
    for arm in works:
        if arm != shared:
            ratio = Spread.of(each.ratios(shared, over=arm)).median
            found.numbers["over"][arm] = ratio
            found.lines.append(f"{shared} over {arm}: {ratio:.2f}x ({MEAN:g} questions/image)")
    return found
