"""`eval.benchmark page`: measure the page on a dataset of Dacon's size in a real browser, and its server's memory.

The server is `python app.py` as a person starts it; the browser is Chromium, driven by Playwright. Times are taken in
the browser, from the click or last key until the result is drawn, including the pictures in view.
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from vqa_core.benchmarks.machine import describe_machine
from vqa_core.benchmarks.page.runs import make_runs
from vqa_core.benchmarks.page.server import FLAGS, PageServer, find_chromium
from vqa_core.benchmarks.page.visits import TURN, ask, poll, search, time_first_tab, tour, wait_for_index
from vqa_core.benchmarks.report import Report
from vqa_core.benchmarks.settings import PageBench
from vqa_core.benchmarks.synthetic import PAGE_SIZES, make_dacon

logger = logging.getLogger("vqa")

LIMITS = {  # figure -> its limit and its unit
    "first tab drawn": (8.0, "s"),
    "next page, p95": (0.5, "s"),
    "search, p95": (0.4, "s"),
    "memory without a model": (400e6, "MB"),
    "first answer after a cold start": (15.0, "s"),
    "further answers, p95": (1.0, "s"),
    "growth of memory while polled": (0.05, "%"),
}


def bench_page(settings: PageBench) -> Iterator[Report]:
    """Yield the report as it grows. Raises InputError if Playwright or Chromium is missing."""
    program = find_chromium()
    report = Report("page", describe_machine(), settings.to_dict())
    from playwright.sync_api import sync_playwright

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vqa-bench-")))
        logger.info("Making a competition folder ...")
        make_dacon(folder / "data" / "dacon", settings.share, sizes=PAGE_SIZES)
        shutil.rmtree(folder / "data" / "dacon" / "originals")
        logger.info("Making two runs of it ...")
        make_runs(folder / "runs", folder / "data" / "dacon")
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))

        def new_page() -> Any:
            return browser.new_page(locale="en-US", viewport={"width": 1280, "height": 900})

        with PageServer(folder / "runs", folder / "data") as server:
            page = new_page()
            logger.info("Waiting for the index ...")
            report.numbers["index_s"] = wait_for_index(page, server)
            report.numbers["next page, p95"] = [page.evaluate(TURN) for _ in range(settings.pages)]
            report.numbers["search, p95"] = list(search(page, settings.searches))
            logger.info("Visiting every tab ...")
            report.numbers["memory without a model"] = {"explore": server.resident_bytes()} | tour(page, server)
            page.close()
            yield _fill(report, settings)
            logger.info("Polling a job from %d tabs for %g minutes ...", settings.tabs, settings.minutes)
            report.numbers["polled"] = poll(browser, server, settings)
            yield _fill(report, settings)
        report.numbers["first tab drawn"] = []
        for _ in range(settings.starts):
            with PageServer(folder / "runs", folder / "data") as server:
                page = new_page()
                report.numbers["first tab drawn"].append(time_first_tab(page, server))
                page.close()
        yield _fill(report, settings)
        with PageServer(folder / "runs", folder / "data") as server:
            picture = next((folder / "data" / "dacon" / "image" / "test").glob("*.jpg"))
            report.numbers["answers"] = ask(new_page(), server, picture, settings.answers)
        browser.close()
    yield _fill(report, settings)


def _fill(report: Report, settings: PageBench) -> Report:
    """Write the report's tables and lines from its numbers so far."""
    found = report.numbers
    images, questions = (round(sum(size[i] for size in PAGE_SIZES.values()) * settings.share) for i in (1, 0))
    figures = [  # name, measurements, median, figure
        (name, len(found[name]), _percentile(found[name], 50), _percentile(found[name], 95))
        for name in ("next page, p95", "search, p95")
    ]
    memory = found["memory without a model"]
    figures.append(("memory without a model", len(memory), _percentile([*memory.values()], 50), max(memory.values())))
    if "polled" in found:
        samples = found["polled"]["memory"]
        tenth = max(1, len(samples) // 10)
        growth = float(np.mean(samples[-tenth:]) / np.mean(samples[:tenth]) - 1)
        figures.append(("growth of memory while polled", len(samples), growth, growth))
    if "first tab drawn" in found:
        starts = found["first tab drawn"]
        figures.append(("first tab drawn", len(starts), _percentile(starts, 50), max(starts)))
    if "answers" in found:
        answers = found["answers"]
        figures.append(("first answer after a cold start", 1, answers["cold"], answers["cold"]))
        further = answers["further"]
        figures.append(("further answers, p95", len(further), _percentile(further, 50), _percentile(further, 95)))
    header = [f"{images:,} images, {questions:,} questions", "measured", "median", "figure", "limit", "within"]
    rows = []
    for name, count, median, figure in figures:
        limit, unit = LIMITS[name]
        cells = [_format(value, unit) for value in (median, figure, limit)]
        rows.append([name, str(count), *cells, "yes" if figure <= limit else "no"])
    report.tables = [[header, *rows]]
    report.lines = [f"{row[0]}: {row[3]}, {'within' if row[5] == 'yes' else 'beyond'} {row[4]}" for row in rows]
    report.lines.append(f"the index of the dataset was built, and its first page drawn, in {found['index_s']:.0f} s")
    after = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in memory.items())
    report.lines.append(f"memory in MB after one tab and then the next, the largest of which counts: {after}")
    if "polled" in found:
        polled = found["polled"]
        minutes, rate = polled["seconds"] / 60, polled["requests"] / polled["seconds"]
        report.lines.append(f"{polled['tabs']} tabs polled for {minutes:g} minutes, {rate:.1f} requests per second")
    if "answers" in found:
        first = found["answers"]["first"]
        report.lines.append(
            f"first answer {first:.1f} s after its question; it and the first tab count from `python app.py`"
        )
    return report


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(np.array(values), percent))


def _format(value: float, unit: str) -> str:
    if unit == "MB":
        return f"{value / 1e6:.0f} MB"
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.2f} s"
