"""Start the processes of `eval.benchmark page`: `python app.py`, as a person starts it, and Chromium."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

import psutil

from vqa_core import ROOT
from vqa_core.files import InputError

START_S = 120.0
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-quic", "--no-pings"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


def find_chromium() -> str:
    """The path of the browser. Raises InputError if Playwright or Chromium is missing."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = os.environ.get("VQA_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    try:
        import playwright  # noqa: F401
    except ImportError:
        program = None
    if not program:
        raise InputError(
            "The page is measured in Chromium, driven by Playwright, and one of them is missing. Install them with "
            "`pip install playwright` and `apt-get install chromium`, or name the program in VQA_CHROMIUM."
        )
    return program


class PageServer:
    """`python app.py` as a process."""

    def __init__(self, runs: Path, data: Path) -> None:
        self.runs, self.data = runs, data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        folders = ["--runs", str(self.runs), "--data", str(self.data)]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(self.port), *folders], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() - self.started > START_S:
                self.process.kill()
                raise RuntimeError("app.py does not start; its messages are above")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def resident_bytes(self) -> int:
        """Resident memory of the server's process; 0 if it is gone."""
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0
