"""The Ask tab in a real browser, with a model of random weights: what is shown is about the picture that is shown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser import Server, open_tab, ready
from tests.tiny import TINY_MODEL, tiny_competition, tiny_parts, tiny_picture
from vqa_core.config import DataSettings, ModelSettings
from vqa_core.prepare import prepare
from vqa_core.runs import RunDir
from vqa_core.stages import Stage, prepare_stage, save_model_folder
from vqa_core.vlm import build_vlm

if TYPE_CHECKING:
    from playwright.sync_api import Page

ANSWER_MS = 120_000  # the first one loads torch and the model, on a machine that may be busy


def trained_run(folder: Path) -> RunDir:
    """The run `runs/tiny` with random weights, its data in `data/tiny`."""
    tower, language_model = tiny_parts(folder)
    run = RunDir(folder / "runs" / "tiny")
    prepare(run, str(tiny_competition(folder / "data/tiny", train_images=3, test_images=2)), DataSettings())
    vlm = build_vlm(ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language_model)))
    prepare_stage(vlm, Stage("align"))
    save_model_folder(run.model, vlm, Stage("align"), about={})
    run.write_section("predict", {"max_new_tokens": 5, "precision": "fp32"})
    return run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ask")
    run = trained_run(folder)
    with Server(run.root.parent, folder / "data") as server:
        yield server


def place(page: "Page") -> dict[str, str]:
    """The parts of the page's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def kept(server: Server, picture: str) -> list[str]:
    """The questions whose answers are kept for an uploaded picture."""
    path = server.runs / ".page/asked" / picture / "answers.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    return [json.loads(line)["question"] for line in lines if line]


def upload(page: "Page", path: Path, seed: int) -> str:
    """Upload a picture, in the place of one that is there; its id."""
    tiny_picture(seed).save(path)
    if page.locator("#ask-picture input[type=file]").count() == 0:
        page.locator("#ask-picture button[aria-label='Remove Image']").click()
    page.set_input_files("#ask-picture input[type=file]", path)
    page.wait_for_function(
        "(old) => new URLSearchParams(location.search).get('picture') !== old", arg=place(page).get("picture")
    )
    page.wait_for_function("new URLSearchParams(location.search).has('picture')")
    return place(page)["picture"]


def test_an_answer_that_comes_after_another_picture_was_chosen_stays_with_its_own(
    page: "Page", server: Server, tmp_path: Path
) -> None:
    """The first server of the module is fresh: its model is still being loaded when the second picture comes."""
    from playwright.sync_api import expect

    rows = page.locator("#ask-answers tbody tr")
    open_tab(page, server, "ask", run="tiny")
    first = upload(page, tmp_path / "a.png", 1)
    page.fill("#ask-question textarea", "what is a?")
    page.click("#ask-submit", click_count=2)
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("…")
    second = upload(page, tmp_path / "b.png", 2)
    expect(rows).to_have_count(0)
    page.fill("#ask-question textarea", "what is b?")
    page.click("#ask-submit")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("%", timeout=ANSWER_MS)
    ready(page)
    assert rows.count() == 1
    assert "what is b?" in rows.first.inner_text()
    assert place(page) == {"tab": "ask", "run": "tiny", "q": "what is b?", "picture": second}
    assert kept(server, second) == ["what is b?"]
    assert kept(server, first) == ["what is a?"], "once, though it was clicked twice"

    page.fill("#ask-question textarea", "\n".join(f"what is {letter}?" for letter in "cdefgh"))
    page.click("#ask-submit")
    page.locator("#ask-picture button[aria-label='Remove Image']").click()
    expect(rows).to_have_count(0)
    ready(page)
    assert rows.count() == 0
    assert "picture" not in place(page)
