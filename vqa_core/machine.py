"""The machine a measurement was made on, in words, and how fast it multiplies matrices."""

import os
import platform
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from vqa_core.card import git_commit, versions


def describe_machine(device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """What a reader needs to judge a time by."""
    found = {
        "processor": f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} used",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }
    if device.type == "cuda":
        found["device"] = _gpu(device)
    known = versions()
    found["versions"] = ", ".join(f"{name} {known[name]}" for name in ("python", "torch", "transformers"))
    found["format"] = str(dtype).removeprefix("torch.")
    found["commit"] = git_commit() or "unknown"
    found["date"] = datetime.now(UTC).date().isoformat()
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return named[1].strip() if named else platform.processor() or platform.machine()


def _gpu(device: torch.device) -> str:
    properties = torch.cuda.get_device_properties(device)
    text = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    if not shutil.which("nvidia-smi"):
        return text
    fields = "driver_version,clocks.sm,clocks.max.sm,power.limit"
    query = ["nvidia-smi", f"--id={device.index or 0}", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        driver, clock, most, power = (value.strip() for value in done.stdout.split(","))
    except (OSError, subprocess.SubprocessError, ValueError):
        return text
    return f"{text}, driver {driver}, {clock} of {most}, limit {power}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int, seconds: float = 2.0) -> float:
    """FLOP/s of multiplying two square matrices, the best of what was tried within `seconds`."""
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    until = time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < until:
        synchronise(device)
        started = time.perf_counter()
        for _ in range(4):
            left @ right
        synchronise(device)
        best = min(best, (time.perf_counter() - started) / 4)
    return 2.0 * size**3 / best
