"""Tracker: sends metrics to wandb or trackio, which have the same API. A tracker that fails never stops a run."""

import importlib
import logging
import os
from typing import Any

from vqa_core.processes import is_first_process
from vqa_core.runs.run_dir import RunDir

logger = logging.getLogger("vqa")


class Tracker:
    """A mirror of metrics.jsonl. `name` is `none`, `wandb` (offline without a key) or `trackio`."""

    def __init__(self, name: str, run: RunDir, config: dict[str, Any]) -> None:
        self._name, self._module = name, None
        if name == "none" or not is_first_process():
            return
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        if name == "wandb" and not os.environ.get("WANDB_API_KEY"):
            os.environ.setdefault("WANDB_MODE", "offline")
        place = {"dir": str(run.root)} if name == "wandb" else {}
        self._module = self._try(lambda: importlib.import_module(name))
        self._call("init", project="vqa-workbench", name=run.name, config=config, **place)

    def log(self, line: dict[str, Any], step: int) -> None:
        """Send one line of metrics."""
        self._call("log", {key: value for key, value in line.items() if key != "step"}, step=step)

    def finish(self) -> None:
        self._call("finish")

    def _call(self, what: str, *args: Any, **kwargs: Any) -> None:
        module = self._module
        if module is not None:
            self._try(lambda: getattr(module, what)(*args, **kwargs))

    def _try(self, act: Any) -> Any:
        try:
            return act()
        except Exception as error:  # whatever a tracker raises: the run matters more than its mirror
            logger.warning("%s failed (%s) and is left out; metrics.jsonl goes on.", self._name, error)
            self._module = None
            return None
