"""Commands as processes to be killed.

`command` starts `python -m NAME ...` as a person would, which takes the seconds that importing torch takes. `forked`
runs the same `main` in a process forked from one that has imported it already: to the kernel, and to SIGKILL, the same.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import MappingProxyType

from vqa_core import ROOT
from vqa_core.commands import run_command

MODULES = [
    "train.finetune",
    "eval.predict",
    "vqa_core.training.finetune",
    "vqa_core.inference.predict",
    "vqa_core.runs.training_rows",
    "datasets",
]
TIMEOUT_S = 240


def environment() -> dict[str, str]:
    """One thread, no hub, no key of a tracker, and the tests' own tree on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "RANK", "WORLD_SIZE"))}
    return kept | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def command(name: str, *args: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m name args` to its end."""
    return subprocess.run(
        [sys.executable, "-m", name, *map(str, args)],
        env=environment() | (env or {}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    return context


def forked(name: str, *args: object, output: Path, env: Mapping[str, str] = MappingProxyType({})) -> ForkServerProcess:
    """Start `main` of the command `name`; what it prints goes to the file `output`."""
    before = dict(os.environ)
    os.environ.update(environment())  # read by the server when the first process starts it
    try:
        process = _server().Process(target=_main, args=(name, list(map(str, args)), output, dict(env)))
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return process


def run_forked(name: str, *args: object, output: Path) -> int:
    """`forked`, to its end; return the exit code."""
    process = forked(name, *args, output=output)
    process.join(TIMEOUT_S)
    assert process.exitcode is not None, f"{name} takes longer than {TIMEOUT_S} s"
    return process.exitcode


def _main(name: str, args: Sequence[str], output: Path, env: dict[str, str]) -> None:
    os.environ.update(env)
    with output.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    run_command(importlib.import_module(name).main, args)
