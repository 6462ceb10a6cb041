"""What memory this machine has to give, and the number format it trains in; asked of the system, without torch."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


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
