"""What this machine has: free memory, the faster number format, and how fast it multiplies; found without torch."""

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
"""Dense bf16 matrix products that add up in fp32, by words of the card's name, as NVIDIA's datasheets have them."""
SIDE, STACK, TIMES = 64, 64, 60


@dataclass(frozen=True, slots=True)
class Free:
    """Free bytes, of the GPU's memory where `gpu` names one; of several GPUs of the emptiest."""

    bytes: int
    gpu: str = ""


def free_memory() -> Free | None:
    """The memory that a training started now would get; None where the system does not say."""
    gpus = _gpus()
    if gpus:
        return max(gpus, key=lambda gpu: gpu.bytes)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return Free(min(available, _cgroup_room(available)))


def _cgroup_room(otherwise: int) -> int:
    """What a container's limit leaves."""
    try:
        return int((_CGROUP / "memory.max").read_text()) - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or "max"
        return otherwise


def _gpus() -> list[Free]:
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
    """Whether NVIDIA's driver is there."""
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
    """Whether `--precision auto` is likely to be bf16 here."""
    return has_gpu() or processor_prefers_bf16()


@dataclass(frozen=True, slots=True)
class Speed:
    """Floating-point operations a second, of the GPU where `gpu` names one, else of all cores together in fp32."""

    flops: float
    gpu: str = ""


def machine_speed() -> Speed | None:
    """The speed of what training would run on; None for a GPU whose speed is not known here."""
    free = free_memory()
    if not free or not free.gpu:
        return Speed(_of_processor())
    known = next((flops for words, flops in BF16_TERAFLOPS.items() if re.search(rf"\b{words}\b", free.gpu)), None)
    return Speed(known * 1e12, free.gpu) if known else None


@lru_cache(maxsize=1)
def _of_processor() -> float:
    """One core's speed, times the cores: the best of TIMES products of small matrices, 15 ms in all.

    Matrices so small are multiplied on one core, and a product is over so soon that other work seldom falls into all:
    so the figure hardly depends on what else runs. Large products on all cores drop to a tenth beside a training.
    """
    left, right = np.random.default_rng(0).random((2, STACK, SIDE, SIDE), dtype=np.float32)
    best = float("inf")
    for _ in range(TIMES):
        start = time.perf_counter()
        np.matmul(left, right)
        best = min(best, time.perf_counter() - start)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 * SIDE**3 * STACK / best * cores
