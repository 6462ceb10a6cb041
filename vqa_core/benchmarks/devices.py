"""The device that computes: its description, synchronisation, memory, and the speed of matrix products."""

import shutil
import subprocess
import time

import torch


def describe_device(device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """What a reader needs to judge a time, in addition to `describe_machine`."""
    facts = {"threads": str(torch.get_num_threads()), "format": str(dtype).removeprefix("torch.")}
    return {"device": _describe_gpu(device)} | facts if device.type == "cuda" else facts


def _describe_gpu(device: torch.device) -> str:
    properties = torch.cuda.get_device_properties(device)
    text = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    if not shutil.which("nvidia-smi"):
        return text
    fields = "driver_version,clocks.sm,clocks.max.sm,power.limit"
    query = ["nvidia-smi", f"--id={device.index or 0}", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        output = subprocess.run(query, capture_output=True, encoding="utf-8", timeout=20, check=True).stdout
        driver, clock, most, power = (value.strip() for value in output.split(","))
    except (OSError, subprocess.SubprocessError, ValueError):
        return text
    return f"{text}, driver {driver}, clock {clock} of {most}, power limit {power}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int, seconds: float = 2.0) -> float:
    """FLOP/s of multiplying two square matrices: the best within `seconds`."""
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while not times or time.perf_counter() < until:
        synchronise(device)
        started = time.perf_counter()
        for _ in range(4):
            left @ right
        synchronise(device)
        times.append((time.perf_counter() - started) / 4)
    return 2.0 * size**3 / min(times)


def peak_memory(device: torch.device) -> int:
    """Peak of the device's bytes in use since `reset_peak_memory`; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def reset_peak_memory(device: torch.device) -> None:
    """Release unused memory and restart the count of `peak_memory`."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
