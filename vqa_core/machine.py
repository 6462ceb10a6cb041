"""The machine: free memory, the faster number format and the speed of matrix products, all found without torch."""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

_CGROUP = Path("/sys/fs/cgroup")
BF16_TERAFLOPS = {
    "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "GH200": 989, "A100": 312, "A10G": 70, "A10": 125,
    "A40": 150, "A30": 165, "L40S": 362, "L40": 181, "L4": 121, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip
"""Dense bf16 TFLOP/s with fp32 accumulation, from NVIDIA's datasheets, by a part of the card's name."""
SIDE, STACK, TIMES = 64, 64, 60


@dataclass(frozen=True, slots=True)
class Free:
    """Free bytes: of the GPU that `gpu` names (the emptiest of several), else of main memory."""

    bytes: int
    gpu: str = ""


def free_memory() -> Free | None:
    """The memory that a training started now would get; None if the system does not report it."""
    gpus = _list_gpus()
    if gpus:
        return max(gpus, key=lambda gpu: gpu.bytes)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return Free(min(available, _read_cgroup_room(available)))


def _read_cgroup_room(default: int) -> int:
    """Bytes left below a container's memory limit; `default` if there is no limit."""
    try:
        return int((_CGROUP / "memory.max").read_text()) - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or "max"
        return default


def _list_gpus() -> list[Free]:
    if not has_gpu():
        return []
    query = ["nvidia-smi", "--query-gpu=memory.free,name", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout.splitlines()
        return [Free(int(free) << 20, name.strip()) for free, _, name in (line.partition(",") for line in lines)]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


@lru_cache(maxsize=1)
def has_gpu() -> bool:
    """Whether NVIDIA's driver is installed."""
    return shutil.which("nvidia-smi") is not None


def processor_prefers_bf16() -> bool:
    """Whether the processor multiplies faster in bf16 than in fp32: one with AMX, or AMD's with AVX512-BF16.

    Intel's AVX512-BF16 alone takes twice as long as fp32 (a Xeon and torch 2.13: 168 GFLOP/s, and 326 in fp32).
    """
    try:
        facts = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return "amx_tile" in facts or {"avx512_bf16", "AuthenticAMD"} <= facts


def prefers_bf16() -> bool:
    """Whether `--precision auto` will probably be bf16 on this machine."""
    return has_gpu() or processor_prefers_bf16()


@dataclass(frozen=True, slots=True)
class Speed:
    """Floating-point operations per second: of the GPU that `gpu` names, else of all cores together in fp32."""

    flops: float
    gpu: str = ""


def machine_speed() -> Speed | None:
    """The speed of the device that training would use; None for a GPU that is not in BF16_TERAFLOPS."""
    free = free_memory()
    if not free or not free.gpu:
        return Speed(_measure_processor())
    known = next((flops for words, flops in BF16_TERAFLOPS.items() if re.search(rf"\b{words}\b", free.gpu)), None)
    return Speed(known * 1e12, free.gpu) if known else None


@lru_cache(maxsize=1)
def _measure_processor() -> float:
    """The speed of one core times the number of cores: the best of TIMES products of small matrices, 15 ms in all.

    Such small matrices are multiplied on one core, and each product is too short for other work to disturb all of them,
    so the figure hardly depends on the load. Large products on all cores drop to a tenth while a training runs.
    """
    left, right = np.random.default_rng(0).random((2, STACK, SIDE, SIDE), dtype=np.float32)
    best = float("inf")
    for _ in range(TIMES):
        start = time.perf_counter()
        np.matmul(left, right)
        best = min(best, time.perf_counter() - start)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 * SIDE**3 * STACK / best * cores
