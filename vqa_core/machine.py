"""The machine: free memory, the faster number format and the speed of matrix products, all found without torch."""

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
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
        available = int(psutil.virtual_memory().available)
    except (OSError, RuntimeError, ValueError, psutil.Error):
        return None
    return Free(max(0, min((available, *_cgroup_rooms()))))


def _cgroup_rooms() -> Iterator[int]:
    """Bytes left below each memory limit that Linux's control groups, in version 1 or 2, set this process."""
    for controllers, own in _own_cgroups():
        one = controllers == "memory"
        root = _CGROUPS / "memory" if one else _CGROUPS
        limit, used = ("limit_in_bytes", "usage_in_bytes") if one else ("max", "current")
        for group in (own, *own.parents):
            folder = root / str(group).lstrip("/")
            try:
                yield int(_read(folder / f"memory.{limit}")) - int(_read(folder / f"memory.{used}"))
            except (OSError, ValueError):  # not seen from inside a container, or "max"
                continue


def _own_cgroups() -> list[tuple[str, PurePosixPath]]:
    """The controllers and the path of the groups that limit this process's memory; see cgroups(7)."""
    try:
        lines = [line.split(":", 2) for line in _read(_OWN_CGROUPS).splitlines()]
    except OSError:
        return []
    kept = [(line[1], PurePosixPath(line[2])) for line in lines if len(line) == 3]
    return [(controllers, path) for controllers, path in kept if controllers in ("", "memory")]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _list_gpus() -> list[Free]:
    if not has_gpu():
        return []
    query = ["nvidia-smi", "--query-gpu=memory.free,name", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, encoding="utf-8", errors="replace", timeout=5, check=True)
        lines = done.stdout.splitlines()
        return [Free(int(free) << 20, name.strip()) for free, _, name in (line.partition(",") for line in lines)]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


@lru_cache(maxsize=1)
def has_gpu() -> bool:
    """Whether NVIDIA's driver is installed."""
    return shutil.which("nvidia-smi") is not None


def processor_prefers_bf16() -> bool:
    """Whether the processor multiplies faster in bf16 than in fp32: one with AMX, or AMD's with AVX512-BF16.

    Intel's AVX512-BF16 alone takes twice as long as fp32 (a Xeon and torch 2.13: 168 GFLOP/s, and 326 in fp32). False
    on systems that do not say what a processor can do, Windows and macOS: fp32 is right everywhere.
    """
    facts = set(_processor_facts().split())
    return "amx_tile" in facts or {"avx512_bf16", "AuthenticAMD"} <= facts


def processor_name() -> str:
    """The processor's name as the system has it."""
    found = re.search(r"^model name\s*:\s*(.+)$", _processor_facts(), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine() or "unknown"


def _processor_facts() -> str:
    """What Linux says of the processors; "" elsewhere."""
    try:
        return _read(Path("/proc/cpuinfo"))
    except OSError:
        return ""


def core_count() -> int:
    """The cores that this process may use, as far as the system says."""
    try:
        return len(psutil.Process().cpu_affinity())
    except (AttributeError, OSError, psutil.Error):  # macOS has no such thing
        return os.cpu_count() or 1


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
    return 2 * SIDE**3 * STACK / best * core_count()
