"""`eval.benchmark prepare`: `train.prepare` on a folder of the size of Dacon's competition, as a child process."""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import vqa_core
from vqa_core.bench_report import Report
from vqa_core.bench_settings import PrepareBench
from vqa_core.files import read_json
from vqa_core.machine import describe_machine
from vqa_core.runs import RunDir
from vqa_core.synthetic import make_dacon

logger = logging.getLogger("vqa")

LIMIT_SECONDS, LIMIT_BYTES = 90.0, 1.5e9  # for all of it, on two cores


def bench_prepare(settings: PrepareBench) -> Iterator[Report]:
    """Yield the one report. Raises RuntimeError where the command fails."""
    report = Report("prepare", describe_machine(), settings.to_dict())
    with tempfile.TemporaryDirectory(prefix="vqa-bench-") as name:
        folder, run = Path(name) / "data", RunDir(Path(name) / "run")
        logger.info("Making a competition folder ...")
        make_dacon(folder, settings.share)
        logger.info("Preparing it ...")
        seconds, memory = _time_child(["--data", str(folder), "--run", str(run.root)])
        found = read_json(run.report)["splits"]
    rows, images = (sum(found[split][what] for split in ("train", "test")) for what in ("rows", "found"))
    report.numbers = {"seconds": seconds, "peak_bytes": memory, "rows": rows, "images": images}
    header = ["questions", "images", "seconds", "limit", "peak memory", "limit"]
    limits = (f"{LIMIT_SECONDS:.0f}", f"{LIMIT_BYTES / 1e9:.1f} GB")
    report.tables = [
        [header, [f"{rows:,}", f"{images:,}", f"{seconds:.1f}", limits[0], f"{memory / 1e9:.2f} GB", limits[1]]]
    ]
    within = seconds <= LIMIT_SECONDS and memory <= LIMIT_BYTES
    report.lines = [
        f"prepare: {seconds:.1f} s and {memory / 1e9:.2f} GB for {rows:,} questions about {images:,} images, "
        f"{'within' if within else 'beyond'} {limits[0]} s and {limits[1]}"
    ]
    yield report


def _time_child(arguments: list[str]) -> tuple[float, int]:
    """Run `train.prepare`; return the seconds it took and its peak memory in bytes."""
    root = Path(vqa_core.__file__).parents[1]
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "train.prepare", *arguments], cwd=root, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"train.prepare ended with exit code {child.returncode}; its own messages stand above")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
