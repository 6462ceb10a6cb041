"""`eval.benchmark gpu`: the 7B shape on a CUDA device, all in one run that ends in time, with what it found by then."""

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
from vqa_core.benchmarks.gpu.bed import Found, GpuBed
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report
from vqa_core.benchmarks.settings import GpuBench
from vqa_core.files import InputError
from vqa_core.model.vlm import best_device, resolve_precision

logger = logging.getLogger("vqa")

Step = Callable[[GpuBed, float], Found]
STEPS: dict[str, tuple[Step, float]] = {  # seconds that each may take of WHOLE_S; making the model has the rest
    "matmul": (gpu_parts.matmul, 5),
    "encode": (gpu_parts.encode, 10),
    "prefill": (gpu_parts.prefill, 50),
    "attention": (gpu_parts.attention, 20),
    "decode": (gpu_parts.decode, 50),
    "answering": (gpu_arms.answering, 150),
    "training": (gpu_arms.training, 80),
}
WHOLE_S = 450  # beside loading Python's libraries: eight minutes in all


class OutOfTime(Exception):
    """The time that the whole may take is over."""


def bench_gpu(settings: GpuBench) -> Iterator[Report]:
    """Yield the report after each step. A step that fails is reported and the next one begun."""
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
            with _ending(end):
                bed = GpuBed(settings.model, device, dtype, Path(folder) / "images", settings.batch_questions)
            made = time.monotonic() - started
            report.numbers["model"] = {"name": settings.model, "seconds": made}
            report.lines.append(f"{describe_model(settings.model, bed.vlm)}; made in {made:.1f} s")
            yield report
            for name, (step, seconds) in STEPS.items():
                logger.info("%s ...", name)
                with _ending(end):
                    found = _try(name, step, bed, seconds * 60 * settings.minutes / WHOLE_S)
                report.numbers[name] = found.numbers
                report.tables += [found.table] if found.table else []
                report.lines += found.lines
                yield report
        except OutOfTime:
            report.lines.append(f"stopped after {settings.minutes:g} minutes; what is missing was not measured")
            yield report


def _try(name: str, step: Step, bed: GpuBed, limit_s: float) -> Found:
    try:
        return step(bed, limit_s)
    except RuntimeError as error:  # out of memory among them, and work that was not as it should be
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        return Found({"failed": message}, lines=[f"{name} failed: {message}"])


@contextmanager
def _ending(end: float) -> Iterator[None]:
    """Raise OutOfTime at the time `end`, whatever is being done then; in a main thread, which alone can be told so."""
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
