"""`eval.benchmark gpu`: measure the 7B shape on a CUDA device, in one run that ends on time with what it has."""

import logging
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vqa_core.benchmarks.asking import describe_model
from vqa_core.benchmarks.devices import describe_device
from vqa_core.benchmarks.gpu import arms as gpu_arms
from vqa_core.benchmarks.gpu import parts as gpu_parts
from vqa_core.benchmarks.gpu.bed import GpuBed, StepFindings
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report
from vqa_core.benchmarks.settings import GpuBench
from vqa_core.files import InputError
from vqa_core.model.vlm import best_device, resolve_precision

logger = logging.getLogger("vqa")

Step = Callable[[GpuBed, float], StepFindings]
STEPS: dict[str, tuple[Step, float]] = {  # seconds of WHOLE_S for each; building the model gets the rest
    "matmul": (gpu_parts.matmul, 5),
    "encode": (gpu_parts.encode, 10),
    "prefill": (gpu_parts.prefill, 50),
    "attention": (gpu_parts.attention, 20),
    "decode": (gpu_parts.decode, 50),
    "answering": (gpu_arms.answering, 150),
    "training": (gpu_arms.training, 80),
}
WHOLE_S = 450  # plus loading Python's libraries: eight minutes in all


class OutOfTime(Exception):
    """The time limit is over."""


def bench_gpu(settings: GpuBench) -> Iterator[Report]:
    """Yield the report after each step. A step that fails is reported, and the next one starts."""
    device = best_device()
    if settings.model == "7b" and device.type != "cuda":
        raise InputError(
            "`eval.benchmark gpu` needs a CUDA device with some 40 GB. `--model tiny` runs anywhere, as a test."
        )
    dtype = resolve_precision("auto", device)
    started = time.monotonic()
    end = started + 60 * settings.minutes
    report = Report("gpu", describe_machine() | describe_device(device, dtype), settings.to_dict())
    with tempfile.TemporaryDirectory(prefix="vqa-bench-") as folder:
        try:
            with _time_limit(end):
                bed = GpuBed(settings.model, device, dtype, Path(folder) / "images", settings.batch_questions)
            seconds_to_build = time.monotonic() - started
            report.numbers["model"] = {"name": settings.model, "seconds": seconds_to_build}
            report.lines.append(f"{describe_model(settings.model, bed.vlm)}; made in {seconds_to_build:.1f} s")
            yield report
            for name, (step, seconds) in STEPS.items():
                logger.info("%s ...", name)
                with _time_limit(end):
                    found = _run_step(name, step, bed, seconds * 60 * settings.minutes / WHOLE_S)
                report.numbers[name] = found.numbers
                report.tables += [found.table] if found.table else []
                report.lines += found.lines
                yield report
        except OutOfTime:
            report.lines.append(f"stopped after {settings.minutes:g} minutes; what is missing was not measured")
            yield report


def _run_step(name: str, step: Step, bed: GpuBed, limit_s: float) -> StepFindings:
    try:
        return step(bed, limit_s)
    except RuntimeError as error:  # such as out of memory, or WrongWork
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        return StepFindings({"failed": message}, lines=[f"{name} failed: {message}"])


@contextmanager
def _time_limit(end: float) -> Iterator[None]:
    """Raise OutOfTime at the time `end`, by a signal; only in the main thread, which alone receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(end - time.monotonic(), 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
