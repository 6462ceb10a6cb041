"""The visits of `eval.benchmark page` in the browser, and their measurements."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vqa_core import ROOT
from vqa_core.benchmarks.page.runs import FIRST, SECOND
from vqa_core.benchmarks.page.server import PageServer
from vqa_core.benchmarks.settings import PageBench
from vqa_core.runs.run_dir import RunDir

INDEX_S, ANSWER_S, VISIT_S = 900.0, 300.0, 120.0
LETTER_MS = 100  # between two keys: 10 per second, a fast typist
TERMS = ("color", "cat", "고양이", "how many", "clock", "무슨 색", "t-shirt", "answer 7", "left", "버스")
QUESTIONS = ("what shape is in the image?", "is there a circle?", "what color is the shape?", "is there a red shape?")
# A training as the page sees it: a line of progress and a line of metrics every second.
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
from ui.jobs.jobs import Jobs
Jobs(Path(sys.argv[1])).start("train", "polled", [["-c", *sys.argv[2:]]])
"""
DRAWN = """() => [...document.querySelectorAll('#explore-gallery img')].every((image) => {
    const box = image.getBoundingClientRect();
    return box.bottom < 0 || box.top > innerHeight || (image.complete && image.naturalWidth); })"""
TURN = f"""async () => {{
    const first = () => document.querySelector('#explore-gallery .wb-cell')?.dataset.key;
    const drawn = {DRAWN};
    const before = first(), started = performance.now();
    document.querySelector('#explore-page-next').click();
    while (first() === before || !drawn()) {{
        await new Promise(requestAnimationFrame);
        if (performance.now() - started > 30000) throw new Error('the next page does not come');
    }}
    return (performance.now() - started) / 1000;
}}"""
TYPED = "() => document.addEventListener('input', () => { window.typed = performance.now(); }, { capture: true })"
# The address may change a frame before the pictures do, so wait until nothing changes for some frames.
FOUND = f"""async (term) => {{
    const drawn = {DRAWN};
    const cells = () => [...document.querySelectorAll('#explore-gallery .wb-cell')];
    const keys = () => cells().map((cell) => cell.dataset.key).join();
    let seen = null, since = 0, frames = 0;
    while (frames < 4) {{
        const now = performance.now();
        if (now - window.typed > 30000) throw new Error(term + " is not found: " + location.search);
        const there = new URLSearchParams(location.search).get('q') === term.trim() && drawn();
        if (!there || keys() !== seen) [seen, since, frames] = [keys(), now, 0];
        frames += there;
        await new Promise(requestAnimationFrame);
    }}
    return (since - window.typed) / 1000;
}}"""
PLANNED = "() => document.querySelector('#train-command textarea')?.value.includes('dacon')"
# a finished answer has a probability, one in progress has none; when the likeliest answers are drawn too, a model
ROWS = "(count) => [...document.querySelectorAll('#ask-answers tbody tr')].filter((row) => row.cells[{0}].textContent)"
ANSWERED, DONE = (f"{ROWS.format(cell)}.length >= count" for cell in (2, 3))


def wait_for_index(page: Any, server: PageServer) -> float:
    """Seconds from opening the dataset until its pictures are drawn."""
    started = time.monotonic()
    page.goto(f"{server.url}/?tab=explore")
    page.locator("#explore-gallery .wb-cell").first.wait_for(timeout=INDEX_S * 1000)
    page.locator("#explore-status .wb-progress").wait_for(state="hidden", timeout=INDEX_S * 1000)
    return time.monotonic() - started


def search(page: Any, count: int) -> Iterator[float]:
    """Yield the seconds from a text's last key until its results are drawn, including the pictures in view.

    Every letter starts a search, and the next one waits for it. Hangul, which has no keys here, is pasted.
    """
    page.evaluate(TYPED)
    terms = [*TERMS, *(term[:-1] for term in TERMS)]
    box = page.locator("#explore-search").locator("textarea, input").first
    for number in range(count):
        term = terms[number % len(terms)]
        box.press("Control+A")
        if term.isascii():
            box.press_sequentially(term, delay=LETTER_MS)
        else:
            page.keyboard.insert_text(term)
        yield float(page.evaluate(FOUND, term))


def tour(page: Any, server: PageServer) -> dict[str, int]:
    """Visit the tabs other than Explore and Ask; return the server's memory in bytes after each."""
    return {name: visit(page, server) or server.resident_bytes() for name, visit in TOUR.items()}


def _train(page: Any, server: PageServer) -> None:
    page.goto(f"{server.url}/?tab=train")
    page.wait_for_function("() => document.querySelector('#train-command textarea')?.value")  # the tab is drawn
    page.locator("#train-data input").click()
    page.get_by_role("option", name=re.compile("dacon")).click()
    page.wait_for_function(PLANNED, timeout=VISIT_S * 1000)


def _errors(page: Any, server: PageServer) -> None:
    for query in ("", "&by=answer&show=all", "&by=confidence&pair=differ"):
        page.goto(f"{server.url}/?tab=errors&run={FIRST}&with={SECOND}&split=val{query}")
        page.locator("#errors-pairs [data-key=differ]").wait_for(timeout=VISIT_S * 1000)
        page.locator("#errors-gallery .wb-cell").first.wait_for(timeout=VISIT_S * 1000)


def _predict(page: Any, server: PageServer) -> None:
    page.goto(f"{server.url}/?tab=predict&run={FIRST}")
    drawn = page.locator("#predict-work, #predict-empty, #predict-job").locator("visible=true")
    drawn.first.wait_for(timeout=VISIT_S * 1000)


def _runs(page: Any, server: PageServer) -> None:
    page.goto(f"{server.url}/?tab=runs&run={FIRST}")
    page.locator("#tab-runs").get_by_text(FIRST, exact=True).locator("visible=true").first.wait_for(
        timeout=VISIT_S * 1000
    )


TOUR: dict[str, Callable[[Any, PageServer], None]] = {
    "train": _train,
    "errors": _errors,
    "predict": _predict,
    "runs": _runs,
}


def time_first_tab(page: Any, server: PageServer) -> float:
    """Seconds from the server's start until the browser has drawn the default tab."""
    page.goto(f"{server.url}/")
    page.locator("#explore-gallery .wb-cell").first.wait_for()
    page.wait_for_function(DRAWN)
    return time.monotonic() - server.started


def ask(page: Any, server: PageServer, picture: Path, count: int) -> dict[str, Any]:
    """Seconds until the first answer, from the server's start and from the question, and until each further answer."""
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
        page.wait_for_function(DONE, arg=number + 1)
        page.wait_for_timeout(500)  # the page ignores a question while it is busy with another
    return {"cold": cold, "first": seconds[0], "further": seconds[1:], "memory": server.resident_bytes()}


def poll(browser: Any, server: PageServer, settings: PageBench) -> dict[str, Any]:
    """The server's memory, sampled while tabs watch a training, and the number of their requests."""
    seconds = max(5, round(settings.minutes * 60))
    run = RunDir(server.runs / "polled")
    run.write_section("train", {"seed": 0})
    work = [WORK, str(run.metrics), str(seconds + 60)]
    subprocess.run([sys.executable, "-c", START_JOB, str(server.runs / ".page" / "jobs"), *work], cwd=ROOT, check=True)
    pages = [browser.new_page(locale="en-US") for _ in range(settings.tabs)]
    requests = [0]

    def count(request: Any) -> None:
        requests[0] += "/gradio_api/" in request.url and request.method == "POST"

    for page in pages:
        page.on("request", count)
        page.goto(f"{server.url}/?tab=train&run=polled")
        page.locator("#train-watch, #train-job").first.wait_for()
    pages[0].wait_for_timeout(min(30, seconds / 4) * 1000)  # loading something once is not growth
    requests[0] = 0
    start, samples = time.monotonic(), []
    while time.monotonic() - start < seconds:
        samples.append(server.resident_bytes())
        pages[0].wait_for_timeout(1000)
    for page in pages:
        page.close()
    if requests[0] < settings.tabs * seconds / 10:
        raise RuntimeError(f"{settings.tabs} tabs sent {requests[0]} requests in {seconds} s: they do not poll")
    return {"memory": samples, "requests": requests[0], "seconds": seconds, "tabs": settings.tabs}
