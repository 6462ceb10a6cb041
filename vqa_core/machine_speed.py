"""How fast this machine multiplies matrices: measured on the processor, from its datasheet for a GPU; without torch."""

import os
import re
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vqa_core.machine import free_memory

BF16_TERAFLOPS = {
    "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "GH200": 989, "A100": 312, "A10G": 70, "A10": 125,
    "A40": 150, "A30": 165, "L40S": 362, "L40": 181, "L4": 121, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip
"""Dense bf16 matrix products that add up in fp32, by words of the card's name, as NVIDIA's datasheets have them."""
SIDE, STACK, TIMES = 64, 64, 60


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
