"""`eval.benchmark prepare`: time `train.prepare`, as a child process, on a folder as large as Dacon's competition."""

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from vqa_core import ROOT
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report
from vqa_core.benchmarks.settings import PrepareBench
from vqa_core.benchmarks.synthetic import make_dacon
from vqa_core.files import read_json
from vqa_core.runs.run_dir import RunDir

logger = logging.getLogger("vqa")

LIMIT_SECONDS, LIMIT_BYTES = 90.0, 1.5e9  # for all of it, on two cores


def bench_prepare(settings: PrepareBench) -> Iterator[Report]:
    """Yield the one report. Raises RuntimeError if the command fails."""
    report = Report("prepare", describe_machine(), settings.to_dict())
    with tempfile.TemporaryDirectory(prefix="vqa-bench-") as name:
        folder, run = Path(name) / "data", RunDir(Path(name) / "run")
        logger.info("Making a competition folder ...")
        make_dacon(folder, settings.share)
        logger.info("Preparing it ...")
        usage = time_prepare(folder, run)
        found = read_json(run.report)["splits"]
    rows, images = (sum(found[split][what] for split in ("train", "test")) for what in ("rows", "found"))
    seconds, memory = usage.seconds, usage.peak_bytes
    report.numbers = asdict(usage) | {"rows": rows, "images": images}
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


@dataclass(frozen=True, slots=True)
class Usage:
    """The time and memory that a process used."""

    seconds: float
    processor_seconds: float
    peak_bytes: int


# A process inherits the peak memory of the one that forked it, so a small one starts the command.
_WATCH = """
import os, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
if hasattr(os, "wait4"):
    _, status, usage = os.wait4(child.pid, 0)
    print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    sys.exit(os.waitstatus_to_exitcode(status) and 1)
import psutil
seconds = peak = 0
process = psutil.Process(child.pid)
while child.poll() is None:
    try:
        times, memory = process.cpu_times(), process.memory_info()
    except psutil.Error:
        break
    seconds, peak = times.user + times.system, max(peak, getattr(memory, "peak_wset", memory.rss))
    time.sleep(0.05)
print(seconds, peak)
sys.exit(child.wait() and 1)
"""


def time_prepare(data: Path, run: RunDir) -> Usage:
    """Run `train.prepare` on a folder; its messages go to stderr. Raises RuntimeError if it fails."""
    command = [sys.executable, "-m", "train.prepare", "--data", str(data), "--run", str(run.root)]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _WATCH, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError("train.prepare failed; its messages are above")
    processor_seconds, peak = done.stdout.split()
    return Usage(seconds, float(processor_seconds), int(peak))
