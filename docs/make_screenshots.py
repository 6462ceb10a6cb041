"""Draw the pictures of the page in docs/images/: `python -m docs.make_screenshots`, or `make screenshots`.

docs/images/page-<tab>-<language>-<theme>.png shows each tab in English and Korean, light and dark, 1280 pixels wide.
What they show is made by the commands: easy-VQA, answered by the weights in demo/, beside the answers that a question
alone would get. That takes some minutes; --workspace DIR keeps it there and uses it again.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import FLAGS, Look, Server, chromium, open_tab, ready, watched
from ui.server.page import TABS
from vqa_core import ROOT
from vqa_core.data.priors import AnswerPrior
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = ROOT / "docs" / "images"
RUN, OTHER = "demo", "question-only"
QUESTIONS = "what shape is in the image?\nwhat is the color of the shape?\nis there a circle?"
ANSWER_MS = 240_000
PICTURES_THERE = """() => [...document.images].every((image) => image.complete
    || image.getBoundingClientRect().top > innerHeight || !image.checkVisibility())"""
VIEWS = {
    "explore": {"run": RUN},
    "ask": {"run": RUN},
    "train": {"run": RUN},
    "predict": {"run": RUN, "split": "test"},
    "errors": {"run": RUN, "split": "test"},
    "runs": {},
}


def make_workspace(folder: Path) -> None:
    """Fill `folder/runs` and `folder/data` by the commands, unless that has been done."""
    run, other, data = folder / "runs" / RUN, folder / "runs" / OTHER, folder / "data" / "easy-vqa"
    if (other / "submission.csv").is_file():
        return
    config = ["--config", "configs/demo.json"]
    for name in (run, other):
        command("train.prepare", "--data", "easy-vqa", "--data-dir", data, "--run", name, *config)
    shutil.copytree(ROOT / "demo" / "model", run / "model", dirs_exist_ok=True)
    shutil.copyfile(ROOT / "demo" / "metrics.jsonl", run / "metrics.jsonl")
    for split in ("val", "test"):
        command("eval.predict", "--run", run, "--split", split, *config)
        answer_by_prior(RunDir(other), split)
    for name in (other, run):
        command("eval.score", "--run", name, "--split", "val")
        command("eval.score", "--run", name, "--split", "test", "--answers", data / "solution.csv")
        command("eval.submit", "--run", name)


def command(module: str, *args: object) -> None:
    """Run a command as a person would."""
    subprocess.run([sys.executable, "-m", module, *map(str, args)], cwd=ROOT, check=True)


def answer_by_prior(run: RunDir, split: str) -> None:
    """Answer a split without looking at the pictures."""
    prior = AnswerPrior(run.examples("train"))
    with PredictionLog.open(run.predictions(split), meta={"weights": "question-only prior"}) as log:
        log.append(
            Prediction(example.question_id, answer, answer, None)
            for example in run.examples(split)
            for answer in [prior.answer(example.question)]
        )


@contextmanager
def opened(browser: "Browser", look: Look) -> Iterator["Page"]:
    context = browser.new_context(
        locale={"en": "en-US", "ko": "ko-KR"}[look.language],
        color_scheme="dark" if look.dark else "light",
        viewport={"width": look.width, "height": look.height},
        reduced_motion="reduce",
    )
    yield watched(context.new_page())
    context.close()


def ask(page: "Page", server: Server, picture: Path) -> dict[str, str]:
    """Ask about a picture; return the view that shows the answers."""
    open_tab(page, server, "ask", run=RUN)
    page.set_input_files("#ask-picture input[type=file]", picture)
    page.wait_for_url("**picture=**")
    page.fill("#ask-question textarea", QUESTIONS)
    page.locator("#ask-submit").click()
    ready(page, timeout_s=ANSWER_MS / 1000)
    page.locator("#ask-likeliest .wb-bar").first.wait_for()
    return {"run": RUN, "picture": page.evaluate("new URLSearchParams(location.search).get('picture')")}


def main() -> None:
    """Write every picture and print its size."""
    parser = argparse.ArgumentParser(prog="python -m docs.make_screenshots", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workspace", type=Path, metavar="DIR", help="folder for data and runs, kept for the next time"
    )
    parser.add_argument("--out", type=Path, default=IMAGES, metavar="DIR", help="folder of the pictures")
    parser.add_argument("--height", type=int, default=900, metavar="PX", help="height of the pictures")
    args = parser.parse_args()
    try:
        program = chromium()
    except pytest.skip.Exception as missing:
        raise SystemExit(f"error: {missing}") from None
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.workspace or Path(temporary)).resolve()
        make_workspace(folder)
        # started in the folder, so that the commands which the page shows name no path of this machine
        with Server(Path("runs"), Path("data"), cwd=folder, forked=False) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, headless=True, args=list(FLAGS))
            with opened(browser, Look()) as page:
                picture = folder / "data" / "easy-vqa" / "image" / "test" / "test_0003.png"
                views = VIEWS | {"ask": ask(page, server, picture)}
                open_tab(page, server, "explore", **views["explore"])  # builds the index
                page.locator("#explore-gallery .wb-cell").first.wait_for(timeout=ANSWER_MS)
            args.out.mkdir(parents=True, exist_ok=True)
            for look in (
                Look(language, dark, height=args.height) for language in ("en", "ko") for dark in (False, True)
            ):
                with opened(browser, look) as page:
                    for name in TABS:
                        open_tab(page, server, name, **views[name])
                        page.wait_for_function(PICTURES_THERE)
                        path = args.out / f"page-{name}-{look.language}-{'dark' if look.dark else 'light'}.png"
                        page.screenshot(path=path)
                        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
