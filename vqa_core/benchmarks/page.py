"""`eval.benchmark page`: the page on a dataset of Dacon's size, in a real browser, and its server's memory.

The server is `python app.py` as a person starts it, the browser Chromium driven by Playwright. Times are taken in the
browser, from the click or key until what it asks for is drawn, the pictures in sight among it.
"""

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

import vqa_core
from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.report import Report
from vqa_core.benchmarks.settings import PageBench
from vqa_core.benchmarks.synthetic import SIZES, make_dacon
from vqa_core.files import InputError
from vqa_core.runs import RunDir

logger = logging.getLogger("vqa")

ROOT = Path(vqa_core.__file__).parents[1]
LIMITS = {  # what the figure is -> the most it may be, and how it is written
    "usable after the start": (8.0, "s"),
    "next page, p95": (0.5, "s"),
    "search, p95": (0.4, "s"),
    "memory without a model": (400e6, "MB"),
    "first answer after a cold start": (15.0, "s"),
    "further answers, p95": (1.0, "s"),
    "growth of memory while polled": (0.05, "%"),
}
START_S, INDEX_S, ANSWER_S = 120.0, 900.0, 300.0
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-quic", "--no-pings"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
TERMS = ("color", "cat", "고양이", "how many", "clock", "무슨 색", "t-shirt", "answer 7", "left", "버스")
QUESTIONS = ("what shape is in the image?", "is there a circle?", "what color is the shape?", "is there a red shape?")
# A training as the page sees it: lines of progress and a file of metrics that grows, once a second.
WORK = """
import json, pathlib, sys, time
path, seconds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for step in range(1, seconds + 1):
    with path.open("a") as file:
        print(json.dumps({"step": step, "loss": 4 / step, "learning_rate": 1e-4, "seconds": step}), file=file)
    print(f"{step}/{seconds} steps", flush=True)
    time.sleep(1)
"""
START_JOB = """
import sys
from pathlib import Path
from ui.jobs import Jobs
Jobs(Path(sys.argv[1])).start("train", "polled", [["-c", *sys.argv[2:]]])
"""
TURN = """async () => {
    const first = () => document.querySelector('#explore-gallery .wb-cell')?.dataset.key;
    const drawn = () => [...document.querySelectorAll('#explore-gallery img')].every((image) => {
        const box = image.getBoundingClientRect();
        return box.bottom < 0 || box.top > innerHeight || (image.complete && image.naturalWidth); });
    const before = first(), started = performance.now();
    document.querySelector('#explore-page-next').click();
    while (first() === before || !drawn()) {
        await new Promise(requestAnimationFrame);
        if (performance.now() - started > 30000) throw new Error('the next page does not come');
    }
    return (performance.now() - started) / 1000;
}"""
TYPED = "() => document.addEventListener('keydown', () => { window.typed = performance.now(); }, { capture: true })"
FOUND = """async (term) => {
    while (new URLSearchParams(location.search).get('q') !== term.trim()) {
        await new Promise(requestAnimationFrame);
        if (performance.now() - window.typed > 30000) throw new Error('the search does not answer');
    }
    await new Promise(requestAnimationFrame);
    return (performance.now() - window.typed) / 1000;
}"""
# whole answers have a probability, those that still come have none
ANSWERED = """(count) => [...document.querySelectorAll('#ask-answers tbody tr')]
    .filter((row) => row.cells[2].textContent).length >= count"""


def bench_page(settings: PageBench) -> Iterator[Report]:
    """Yield the report as it grows. Raises InputError where Playwright or Chromium is missing."""
    program = _chromium()
    report = Report("page", describe_machine(), settings.to_dict())
    from playwright.sync_api import sync_playwright

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vqa-bench-")))
        logger.info("Making a competition folder ...")
        make_dacon(folder / "data" / "dacon", settings.share)
        shutil.rmtree(folder / "data" / "dacon" / "originals")
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))
        with _Server(folder / "runs", folder / "data") as server:
            page = browser.new_page(locale="en-US", viewport={"width": 1280, "height": 900})
            report.numbers["usable after the start"] = _usable(page, server)
            logger.info("Waiting for the index ...")
            report.numbers["index_s"] = _wait_for_index(page, server)
            report.numbers["next page, p95"] = [page.evaluate(TURN) for _ in range(settings.pages)]
            report.numbers["search, p95"] = list(_search(page, settings.searches))
            report.numbers["memory without a model"] = server.resident_bytes()
            page.close()
            yield _told(report, settings)
            logger.info("Polling a job from %d tabs for %g minutes ...", settings.tabs, settings.minutes)
            report.numbers["polled"] = _poll(browser, server, settings)
            yield _told(report, settings)
        with _Server(folder / "runs", folder / "data") as server:
            page = browser.new_page(locale="en-US", viewport={"width": 1280, "height": 900})
            picture = next((folder / "data" / "dacon" / "image" / "test").glob("*.jpg"))
            report.numbers["answers"] = _ask(page, server, picture, settings.answers)
        browser.close()
    yield _told(report, settings)


def _usable(page: Any, server: "_Server") -> float:
    """Seconds from `python app.py` until its first tab is drawn; Explore's own pictures take an index."""
    page.goto(f"{server.url}/?tab=train")
    page.locator("#train-estimates tbody tr").first.wait_for()
    return time.monotonic() - server.started


def _wait_for_index(page: Any, server: "_Server") -> float:
    """Seconds from the first look at the dataset until its pictures are there."""
    started = time.monotonic()
    page.goto(f"{server.url}/?tab=explore")
    page.locator("#explore-gallery .wb-cell").first.wait_for(timeout=INDEX_S * 1000)
    page.locator("#explore-status .wb-progress").wait_for(state="hidden", timeout=INDEX_S * 1000)
    return time.monotonic() - started


def _search(page: Any, count: int) -> Iterator[float]:
    """Seconds from the Enter key until what is found is drawn."""
    page.evaluate(TYPED)
    terms = [*TERMS, *(term[:-1] for term in TERMS)]
    for number in range(count):
        term = terms[number % len(terms)]
        box = page.locator("#explore-search").locator("textarea, input").first
        box.fill(term)
        box.press("Enter")
        yield float(page.evaluate(FOUND, term))


def _ask(page: Any, server: "_Server", picture: Path, count: int) -> dict[str, Any]:
    """Seconds until the first answer, from the server's start and from the question, and those of further ones."""
    page.goto(f"{server.url}/?tab=ask")
    page.locator("#ask-examples .wb-cell").first.wait_for()  # the tab is drawn
    page.locator("#ask-picture input[type=file]").set_input_files(picture)
    page.wait_for_url(re.compile("[?&]picture="))
    seconds = []
    for number in range(count + 1):
        page.locator("#ask-question textarea").fill(
            QUESTIONS[number % len(QUESTIONS)] + "?" * (number // len(QUESTIONS))
        )
        asked = time.monotonic()
        page.locator("#ask-submit").click()
        page.wait_for_function(ANSWERED, arg=number + 1, timeout=ANSWER_S * 1000)
        seconds.append(time.monotonic() - asked)
        if number == 0:
            cold = time.monotonic() - server.started
        page.wait_for_timeout(500)  # a question asked while the page is busy with another is not taken
    return {"cold": cold, "first": seconds[0], "further": seconds[1:], "memory": server.resident_bytes()}


def _poll(browser: Any, server: "_Server", settings: PageBench) -> dict[str, Any]:
    """The server's memory, sampled while tabs watch a training, and how often they asked."""
    seconds = max(20, round(settings.minutes * 60))
    run = RunDir(server.runs / "polled")
    run.write_section("train", {"seed": 0})
    work = [WORK, str(run.metrics), str(seconds + 60)]
    subprocess.run([sys.executable, "-c", START_JOB, str(server.runs / ".page" / "jobs"), *work], cwd=ROOT, check=True)
    pages = [browser.new_page(locale="en-US") for _ in range(settings.tabs)]
    asked = [0]

    def count(request: Any) -> None:
        asked[0] += "/gradio_api/" in request.url and request.method == "POST"

    for page in pages:
        page.on("request", count)
        page.goto(f"{server.url}/?tab=train&run=polled")
        page.locator("#train-watch, #train-job").first.wait_for()
    pages[0].wait_for_timeout(min(30, seconds / 4) * 1000)  # what is loaded once is no growth
    asked[0] = 0
    begun, samples = time.monotonic(), []
    while time.monotonic() - begun < seconds:
        samples.append(server.resident_bytes())
        pages[0].wait_for_timeout(1000)
    for page in pages:
        page.close()
    if asked[0] < settings.tabs * seconds / 10:
        raise RuntimeError(f"{settings.tabs} tabs asked {asked[0]} times in {seconds} s: they do not poll")
    return {"memory": samples, "requests": asked[0], "seconds": seconds, "tabs": settings.tabs}


def _told(report: Report, settings: PageBench) -> Report:
    """Tables and lines from the numbers so far."""
    found = report.numbers
    images, questions = (round(sum(size[i] for size in SIZES.values()) * settings.share) for i in (1, 0))
    figures = [  # name, measurements, median, figure
        (name, len(found[name]), _percentile(found[name], 50), _percentile(found[name], 95))
        for name in ("next page, p95", "search, p95")
    ]
    usable, memory = float(found["usable after the start"]), float(found["memory without a model"])
    figures.insert(0, ("usable after the start", 1, usable, usable))
    figures.append(("memory without a model", 1, memory, memory))
    if "polled" in found:
        samples = found["polled"]["memory"]
        tenth = max(1, len(samples) // 10)
        growth = float(np.mean(samples[-tenth:]) / np.mean(samples[:tenth]) - 1)
        figures.append(("growth of memory while polled", len(samples), growth, growth))
    if "answers" in found:
        answers = found["answers"]
        figures.append(("first answer after a cold start", 1, answers["cold"], answers["cold"]))
        further = answers["further"]
        figures.append(("further answers, p95", len(further), _percentile(further, 50), _percentile(further, 95)))
    header = [f"{images:,} images, {questions:,} questions", "measured", "median", "figure", "limit", "within"]
    rows = []
    for name, count, median, figure in figures:
        limit, unit = LIMITS[name]
        cells = [_written(value, unit) for value in (median, figure, limit)]
        rows.append([name, str(count), *cells, "yes" if figure <= limit else "no"])
    report.tables = [[header, *rows]]
    report.lines = [f"{row[0]}: {row[3]}, {'within' if row[5] == 'yes' else 'beyond'} {row[4]}" for row in rows]
    report.lines.append(f"the index of the dataset was built, and its first page drawn, in {found['index_s']:.0f} s")
    if "polled" in found:
        polled = found["polled"]
        minutes, rate = polled["seconds"] / 60, polled["requests"] / polled["seconds"]
        report.lines.append(f"{polled['tabs']} tabs polled for {minutes:g} minutes, {rate:.1f} requests a second")
    if "answers" in found:
        first = found["answers"]["first"]
        report.lines.append(f"first answer {first:.1f} s after its question; a cold start counts from `python app.py`")
    return report


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(np.array(values), percent))


def _written(value: float, unit: str) -> str:
    if unit == "MB":
        return f"{value / 1e6:.0f} MB"
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.2f} s"


def _chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("VQA_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    try:
        import playwright  # noqa: F401
    except ImportError:
        found = None
    if not found:
        raise InputError(
            "The page is measured in Chromium, driven by Playwright, and one of them is missing. Install them with "
            "`pip install playwright` and `apt-get install chromium`, or name the program in VQA_CHROMIUM."
        )
    return found


class _Server:
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
                raise RuntimeError("app.py does not start; its own messages stand above")
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
        """Memory of the server's process; 0 where the system has no /proc."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text(encoding="utf-8")) if status.is_file() else None
        return int(found[1]) * 1024 if found else 0
