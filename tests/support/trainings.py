"""Trainings as processes: their flags, the moment to disturb them, and what they are held against."""

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.support.processes import TIMEOUT_S, forked
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, tiny_parts
from vqa_core.files import read_json_lines
from vqa_core.runs.run_dir import RunDir


def flags(settings: dict[str, Any]) -> list[str]:
    return [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def training_flags(folder: Path, **settings: Any) -> list[str]:
    """The flags of a training of the tiny model, whose parts are written below `folder`."""
    tower, language_model = tiny_parts(folder)
    parts = {"vision_tower": tower, "language_model": language_model}
    return flags(TINY_MODEL | parts | TINY_TRAIN | settings)


def assert_same_training(run: RunDir, expected: RunDir) -> None:
    """Weights bit for bit, and every line of metrics once."""
    for name in ("trained.safetensors", "vqa.json"):
        assert (run.model / name).read_bytes() == (expected.model / name).read_bytes(), name
    lines = [list(read_json_lines(each.metrics)) for each in (run, expected)]
    ours, theirs = ([{key: row[key] for key in row if key != "seconds"} for row in rows] for rows in lines)
    assert ours == theirs
    assert all(before["seconds"] <= after["seconds"] for before, after in zip(lines[0], lines[0][1:], strict=False))


def when(condition: Callable[[], bool], process: ForkServerProcess) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert process.is_alive(), "it ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def at_step(run: RunDir, step: int) -> Callable[[], bool]:
    """Whether the line of metrics of that step is there."""
    return lambda: run.metrics.exists() and f'"step": {step},' in run.metrics.read_text()


def end(process: ForkServerProcess, number: signal.Signals) -> int | None:
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(TIMEOUT_S)
    return process.exitcode


def checkpoints(run: RunDir) -> list[int]:
    """The steps of the run's checkpoints, oldest first."""
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in run.checkpoints.glob("checkpoint-*"))


def start_two(args: Sequence[object], output: Path) -> list[ForkServerProcess]:
    """What torchrun does, with forked processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        forked("train.finetune", *args, output=output, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]


def run_in_two(args: Sequence[object], output: Path) -> None:
    for process in start_two(args, output):
        process.join(TIMEOUT_S)
        assert process.exitcode == 0, output.read_text()
