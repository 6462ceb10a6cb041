"""Commands as processes: to be killed, asked and compared.

`command` starts `python -m NAME ...` as a person would, which takes the seconds that importing torch takes. `forked`
runs the same `main` in a process forked from one that has imported it already: to the kernel, and to SIGKILL, the same.
`forked_script` does so with a script, such as app.py.
"""

import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import MappingProxyType

from vqa_core import ROOT
from vqa_core.commands import run_command

MODULES = [
    "train.finetune",
    "eval.predict",
    "eval.submit",
    "vqa_core.training.finetune",
    "vqa_core.inference.predict",
    "vqa_core.runs.training_rows",
    "datasets",
    "app",
    "ui.server.page",
    "ui.server.guard",
    "ui.server.uploads",
    "uvicorn",
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


def forked(
    name: str, *args: object, output: Path, env: Mapping[str, str] = MappingProxyType({}), session: bool = False
) -> ForkServerProcess:
    """Start `main` of the command `name`; what it prints goes to the file `output`.

    With `session`, it leads a session and process group of its own.
    """
    return _fork(_main, name, list(map(str, args)), output, environment() | env, session)


def run_forked(name: str, *args: object, output: Path) -> int:
    """`forked`, to its end; return the exit code."""
    process = forked(name, *args, output=output)
    process.join(TIMEOUT_S)
    assert process.exitcode is not None, f"{name} takes longer than {TIMEOUT_S} s"
    return process.exitcode


class ForkedScript:
    """`python script args` in a session of its own, with the words of subprocess.Popen."""

    def __init__(self, script: Path, args: Sequence[str], *, output: Path, env: Mapping[str, str], cwd: Path) -> None:
        self._process = _fork(_script, str(script), list(args), output, dict(env), str(cwd), daemon=True)

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _fork(target: Callable[..., None], *args: object, daemon: bool = False) -> ForkServerProcess:
    """A child of the process that has imported MODULES, which the first call starts. A daemon ends with the tests."""
    before = dict(os.environ)
    os.environ.update(environment())
    try:
        context: ForkServerContext = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(MODULES)
        process = context.Process(target=target, args=args, daemon=daemon)
        process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return process


def _main(name: str, args: Sequence[str], output: Path, env: dict[str, str], session: bool) -> None:
    if session:
        os.setsid()
    _become(output, env)
    run_command(importlib.import_module(name).main, args)


def _script(script: str, args: Sequence[str], output: Path, env: dict[str, str], cwd: str) -> None:
    os.setsid()
    os.chdir(cwd)
    _become(output, env)
    sys.argv = [script, *args]
    runpy.run_path(script, run_name="__main__")


def _become(output: Path, env: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    with output.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
