"""Models: the trained models of the page, loaded when a question comes and dropped when none does.

Only this file imports torch, at the first question or when the Ask tab is opened.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ui.workspace.memory import give_back
from vqa_core import ROOT
from vqa_core.config import PredictSettings
from vqa_core.files import InputError, named
from vqa_core.runs.run_dir import RunDir, list_runs
from vqa_core.settings import resolve

if TYPE_CHECKING:
    from vqa_core.inference.engine import Engine

SHIPPED = "demo"  # the name of the repository's own weights, unless a run has it
SHIPPED_FOLDER = ROOT / "demo"
MOST = 2  # models in memory at once
IDLE_S = 600.0  # without a question for this long the memory is freed, perhaps for a training


@dataclass(slots=True)
class _Loaded:
    engine: "Engine"
    stamp: tuple[object, ...]
    used: float


class Models:
    """The models of the runs in a folder. One question is answered at a time; others wait their turn."""

    def __init__(self, runs: Path, *, most: int = MOST, idle_s: float = IDLE_S) -> None:
        self.runs, self.most, self.idle_s = runs, most, idle_s
        self._turn = threading.Lock()  # not re-entrant, so that a generator may go on in another thread
        self._loaded: dict[str, _Loaded] = {}  # least recently used first
        self._warming: set[str] = set()
        self._idle: threading.Timer | None = None

    def names(self) -> list[str]:
        """Runs that have a trained model, newest first; last the shipped one, where no such run has its name."""
        names = [run.root.name for run in list_runs(self.runs) if run.has_model]
        return names + [SHIPPED] * (SHIPPED not in names and RunDir(SHIPPED_FOLDER).has_model)

    def run(self, name: str) -> RunDir:
        """The folder that holds the model of that name; an InputError unless it is one of `names`."""
        names = self.names()
        if name not in names:
            known = f" Trained models: {named(names)}." if names else " Train one first."
            raise InputError(f"There is no trained model {name!r}.{known}")
        run = RunDir(self.runs / name)
        return run if run.has_model else RunDir(SHIPPED_FOLDER)

    @contextlib.contextmanager
    def engine(self, name: str) -> Iterator["Engine"]:
        """The engine of that model, loaded if needed, for this caller alone until the end of the `with`."""
        with self._turn:
            try:
                yield self._engine(name)
            finally:
                if name in self._loaded:
                    self._loaded[name].used = time.monotonic()
                self._drop_later()

    def warm(self, name: str) -> None:
        """Load the model in the background, so that the first question need not wait for it."""
        if name in self._warming or self.ready(name):
            return
        self._warming.add(name)

        def load() -> None:
            try:
                with self.engine(name):
                    pass
            except Exception:  # the question itself will say why
                pass
            finally:
                self._warming.discard(name)

        threading.Thread(target=load, name=f"load {name}", daemon=True).start()

    def ready(self, name: str) -> bool:
        """Whether the model is in memory, with the weights that its folder holds now."""
        loaded = self._loaded.get(name)
        return loaded is not None and loaded.stamp == _stamp(self.run(name))

    @property
    def busy(self) -> bool:
        """Whether a question would have to wait."""
        return self._turn.locked()

    def drop(self, idle_s: float = 0.0) -> None:
        """Give back the memory of the models that nobody asked for `idle_s` seconds; waits for the one at work."""
        with self._turn:
            now = time.monotonic()
            for name in [name for name, loaded in self._loaded.items() if now - loaded.used >= idle_s]:
                del self._loaded[name]
        give_back()

    def _engine(self, name: str) -> "Engine":
        run = self.run(name)
        stamp = _stamp(run)
        loaded = self._loaded.pop(name, None)
        if loaded is None or loaded.stamp != stamp:
            loaded = None  # freed before the next one is read
            while len(self._loaded) >= self.most:
                del self._loaded[next(iter(self._loaded))]
            give_back()
            loaded = _Loaded(_load(run), stamp, time.monotonic())
            give_back()
        self._loaded[name] = loaded
        return loaded.engine

    def _drop_later(self) -> None:
        if self._idle:
            self._idle.cancel()
        self._idle = threading.Timer(self.idle_s, self.drop, [self.idle_s])
        self._idle.daemon = True
        self._idle.start()


def _stamp(run: RunDir) -> tuple[object, ...]:
    """Changes when the weights or the settings of answering do."""
    paths = (run.model / "trained.safetensors", run.model / "vqa.json", run.config)
    stats = [path.stat() for path in paths if path.is_file()]
    return (run.root, *((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats))


def _import_torch() -> None:
    """Import torch, its threads sleeping while they wait for each other.

    By default they spin: beside a training on the same cores a question took 20 times as long. The variable is read
    when torch's OpenMP is loaded, and taken back, for the jobs that the page starts are not to inherit it.
    """
    before = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import torch  # noqa: F401
    finally:
        if before is None:
            os.environ.pop("OMP_WAIT_POLICY", None)


def _load(run: RunDir) -> "Engine":
    """The engine that answers as `eval.predict` would with the settings of the run."""
    _import_torch()
    from transformers.utils import logging

    from vqa_core.inference.build import build_engine

    logging.disable_progress_bar()
    section = run.read_config().get("predict", {}) if run.config.is_file() else {}
    settings = replace(resolve(PredictSettings, section, {}), engine="shared", ray_workers=0)
    return build_engine(run, settings, Path())
