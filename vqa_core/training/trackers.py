"""Tracker: a mirror of metrics.jsonl at wandb or trackio, which can neither stop a run nor slow it down.

They run in a process of their own (vqa_core/training/tracker_host.py), which is told what to do and not waited for.
"""

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import uuid
from typing import Any

from vqa_core import ROOT
from vqa_core.files import InputError, read_json, read_json_lines, write_json
from vqa_core.processes import is_first_process
from vqa_core.runs.run_dir import RunDir
from vqa_core.training.tracker_host import FINISH

logger = logging.getLogger("vqa")

PROJECT = "vqa-workbench"
INIT_S = 120.0
"""How long a tracker may take to begin; they give up on a network after 90 s."""
FINISH_S, STOP_S = 10.0, 3.0
"""How long to wait at the end of a training, and of one that was told to stop. After that it goes on by itself."""
WAITING = 10_000
"""Lines that may wait for a slow tracker; further ones are dropped."""
SAID = 100
"""Lines of a tracker's own words that are passed on to the log."""


class Tracker:
    """Sends the lines of metrics to `name`: `none`, `wandb` (offline without a key) or `trackio`.

    Args:
        run: its name is the run's name there. `tracker.json` in it keeps what that run is called by.
        config: the settings, for their page.
        after: the step that training goes on from. It does so in the same run of theirs, and lines that are there
            already are not sent again. A training that starts at step 0 gets a new run.
    """

    def __init__(self, name: str, run: RunDir, config: dict[str, Any], after: int = 0) -> None:
        self._name, self._run = name, run
        self._host: subprocess.Popen[str] | None = None
        if name == "none" or not is_first_process():
            return
        self._known = _read_identity(run).get(name, {}) if after else {}
        self._sent = _last_step(run) if self._known else -1
        self._calls: queue.Queue[str] = queue.Queue(maxsize=WAITING)
        self._begun, self._ended = threading.Event(), threading.Event()
        self._said: set[str] = set()
        self._over = False
        self._host = self._start()
        if self._host is not None:
            self._call("init", project=PROJECT, config=config, **self._identity())
            for act in (self._write, self._read, self._listen):
                threading.Thread(target=act, args=[self._host], daemon=True).start()
            watch = threading.Timer(INIT_S, self._check_begun)
            watch.daemon = True
            watch.start()

    def log(self, line: dict[str, Any], step: int) -> None:
        """Send one line of metrics; at once, whatever the tracker does with it."""
        if self._host is not None and step > self._sent:
            self._call("log", {key: value for key, value in line.items() if key != "step"}, step=step)

    def finish(self, *, hurried: bool = False) -> None:
        """Have the run there finished. Waits for a while, a short one if `hurried`; then it goes on by itself."""
        host, self._host = self._host, None
        if host is None:
            return
        self._put(FINISH)
        if not self._ended.wait(STOP_S if hurried else FINISH_S):
            if self._begun.is_set():
                logger.info("%s is not done yet; it goes on by itself for up to a minute.", self._name)
            else:
                self._complain("it did not begin")
                host.kill()
        self._over = True

    # -- what names the run there --------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """The arguments of `init` that name the run: the same one for a training that goes on."""
        known = {name: str(value) for name, value in self._known.items()}
        if self._name == "wandb":
            identity = known.get("id") or uuid.uuid4().hex[:8]
            self._keep_identity({"id": identity})
            changes = {"allow_val_change": True} if known else {}  # such as --save-every
            return {"id": identity, "resume": "allow", "name": self._run.name, "dir": str(self._run.root), **changes}
        # trackio knows a run by its name, and makes up another where that is taken
        return {"name": known.get("name", self._run.name), "resume": "allow" if known else "never"}

    def _keep_identity(self, identity: dict[str, str]) -> None:
        try:
            write_json(self._run.tracker, _read_identity(self._run) | {self._name: identity})
        except (OSError, InputError) as error:
            logger.warning(
                "%s can't be written (%s): a resumed training will begin a new run there.", self._run.tracker, error
            )

    # -- the process that talks to it ----------------------------------------------------------------------------

    def _start(self) -> "subprocess.Popen[str] | None":
        alone: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if sys.platform == "win32"
            else {"start_new_session": True}  # a Ctrl-C is the training's, and there is no terminal to ask at
        )
        try:
            return subprocess.Popen(
                [sys.executable, "-u", "-m", "vqa_core.training.tracker_host", self._name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                encoding="utf-8", errors="replace", env=self._environment(), **alone,
            )  # fmt: skip
        except OSError as error:
            self._complain(str(error))
            return None

    def _environment(self) -> dict[str, str]:
        """This process's, with its own search path."""
        env = dict(os.environ)
        env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT), *filter(None, sys.path)]))
        if self._name == "wandb":
            env.setdefault("WANDB_ERROR_REPORTING", "false")
            env.setdefault("WANDB__STATS_PID", str(os.getpid()))  # whose memory and load it shows
            env.setdefault("WANDB_CONSOLE", "off")  # of the host nobody sees
            if not env.get("WANDB_API_KEY"):
                env.setdefault("WANDB_MODE", "offline")
        return env

    def _call(self, call: str, *args: Any, **kwargs: Any) -> None:
        self._put(json.dumps({"call": call, "args": args, "kwargs": kwargs}, default=str) + "\n")

    def _put(self, line: str) -> None:
        try:
            self._calls.put_nowait(line)
        except queue.Full:
            self._complain("it takes lines too slowly", "some lines are missing there; metrics.jsonl has all")

    def _write(self, host: "subprocess.Popen[str]") -> None:
        assert host.stdin is not None
        line = ""
        with contextlib.suppress(OSError, ValueError), host.stdin:  # an error: it has ended, which `_read` tells
            while line != FINISH:
                line = self._calls.get()
                host.stdin.write(line)
                host.stdin.flush()

    def _read(self, host: "subprocess.Popen[str]") -> None:
        assert host.stdout is not None
        with contextlib.suppress(OSError, ValueError), host.stdout:
            for line in host.stdout:
                answer = json.loads(line)
                if answer["call"] == "end":
                    break
                if "error" in answer:
                    self._complain(answer["error"])
                elif answer["call"] == "init":
                    self._begun.set()
                    if self._name != "wandb":
                        self._keep_identity({"name": answer.get("name", self._run.name)})
            else:
                self._complain(f"its process ended with {host.wait()}")
        self._begun.set()
        self._ended.set()
        host.wait()

    def _listen(self, host: "subprocess.Popen[str]") -> None:
        """Pass on what it prints, such as the address of the run's page."""
        assert host.stderr is not None
        with contextlib.suppress(OSError, ValueError), host.stderr:
            for number, line in enumerate(host.stderr):
                if number < SAID and line.strip():
                    logger.info("%s", line.rstrip())

    def _check_begun(self) -> None:
        host = self._host
        if host is not None and not self._begun.is_set():
            self._complain(f"it did not begin within {INIT_S:.0f} s")
            host.kill()

    def _complain(self, problem: str, then: str = "is left out; metrics.jsonl goes on") -> None:
        """Say, once for each consequence, that it fails."""
        if then not in self._said and not self._over:
            self._said.add(then)
            logger.warning("%s failed (%s) and %s.", self._name, problem, then)


def _read_identity(run: RunDir) -> dict[str, Any]:
    try:
        found = read_json(run.tracker) if run.tracker.is_file() else {}
    except (InputError, OSError):
        return {}
    return {name: names for name, names in found.items() if isinstance(names, dict)} if isinstance(found, dict) else {}


def _last_step(run: RunDir) -> int:
    """The last step in metrics.jsonl, which the tracker got as well."""
    try:
        return max((int(row["step"]) for row in read_json_lines(run.metrics)), default=-1)
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return -1
