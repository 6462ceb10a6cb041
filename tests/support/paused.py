"""Training that pauses at a place, so that a test can stop or kill it there.

main(["validation", MARK, "60", "--run", ...]) trains as train.finetune does. The first time that it comes to the place
it writes the file MARK and pauses for so many seconds. "saving:2" pauses the second time.
"""

import functools
import importlib
import multiprocessing
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train import finetune

START_METHOD = "TEST_START_METHOD"
"""The variable that says how the training starts its workers: `fork`, `spawn`."""

PLACES = {
    "reading": ("train.finetune", "resolve_training"),
    "loading": ("vqa_core.training.prepare", "build_model"),
    "measuring": ("vqa_core.training.plan", "measure_rows"),
    "recording": ("vqa_core.training.finetune", "discard_training"),
    "starting": ("vqa_core.training.finetune", "VqaTrainer"),
    "step": ("vqa_core.training.trainer", "VqaTrainer.compute_loss"),
    "validation": ("vqa_core.inference.engine", "Engine.generate"),
    "saving": ("vqa_core.training.trainer", "seal"),
    "model": ("vqa_core.training.finetune", "save_model_folder"),
}


def main(argv: Sequence[str] | None = None) -> None:
    place, mark, seconds, *args = argv or []
    if place == "limit":  # as `ulimit -f`: no file may become larger than so many bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(seconds), resource.RLIM_INFINITY))
    else:
        name, _, number = place.partition(":")
        _pause(*PLACES[name], Path(mark), float(seconds), int(number or 1))
    if START_METHOD in os.environ:
        multiprocessing.set_start_method(os.environ[START_METHOD], force=True)
    finetune.main(args)


def _pause(module_name: str, name: str, mark: Path, seconds: float, number: int) -> None:
    holder: Any = importlib.import_module(module_name)
    *path, name = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    original, calls = getattr(holder, name), 0

    @functools.wraps(original)
    def paused(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            mark.touch()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.02)
        return original(*args, **kwargs)

    setattr(holder, name, paused)
