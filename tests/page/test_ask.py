"""The Ask tab in a real browser, with a model of random weights: what is shown is about the picture that is shown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from tests.support.browser import Server, open_tab, ready
from tests.support.tiny import TINY_MODEL, tiny_competition, tiny_parts, tiny_picture
from vqa_core.config import DataSettings, ModelSettings
from vqa_core.data.prepare import prepare
from vqa_core.model.folder import save_model_folder
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import build_vlm
from vqa_core.runs.model_folder import Stage
from vqa_core.runs.run_dir import RunDir

if TYPE_CHECKING:
    from playwright.sync_api import Page

PUT_ON_CLIPBOARD = """async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 33, height: 21 });
    canvas.getContext('2d').fillRect(3, 3, 9, 9);
    const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
}"""
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
    # not forked: a test looks at answers that wait for the first import of torch
    with Server(run.root.parent, folder / "data", forked=False) as server:
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


def test_a_picture_comes_by_paste_by_camera_as_an_example_or_from_explore(page: "Page", server: Server) -> None:
    from playwright.sync_api import expect

    rows = page.locator("#ask-answers tbody tr")
    picture = page.locator("#ask-picture img[src]:not([src=''])")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    open_tab(page, server, "ask", run="tiny")
    page.evaluate(PUT_ON_CLIPBOARD)
    page.click("#ask-picture button[aria-label='Paste from clipboard']")
    expect(picture).to_be_visible()
    ready(page)
    pasted = place(page)["picture"]
    with Image.open(server.runs / ".page/asked" / pasted / "picture") as image:
        assert image.size == (33, 21)

    page.click("#ask-picture button[aria-label='Remove Image']")
    ready(page)
    page.click("#ask-picture button[aria-label='Capture from camera']")
    page.click("#ask-picture button:has-text('Webcam')")
    page.wait_for_function("document.querySelector('#ask-picture video').videoWidth > 0")
    page.click("#ask-picture button[aria-label='capture photo']")
    page.wait_for_function("new URLSearchParams(location.search).has('picture')")
    ready(page)
    assert place(page)["picture"] != pasted

    page.locator("#ask-examples .wb-cell").nth(3).click()
    expect(rows).to_have_count(3)  # its three questions, asked at once
    expect(rows.first).to_contain_text("%", timeout=ANSWER_MS)
    ready(page)
    assert place(page)["example"] == "28"
    assert "picture" not in place(page)
    assert page.input_value("#ask-question textarea").count("\n") == 2

    page.get_by_role("link", name="Choose an image in Explore").click()
    page.locator("#explore-gallery .wb-cell").first.click(timeout=ANSWER_MS)
    page.get_by_role("link", name="Ask about this image").click()
    page.locator("#ask-picture").wait_for()
    ready(page)
    assert place(page)["sample"] == "0"
    expect(picture).to_be_visible()
    expect(rows).to_have_count(0)


def test_earlier_answers_are_looked_at_copied_and_forgotten(page: "Page", server: Server, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    rows = page.locator("#ask-answers tbody tr")
    open_tab(page, server, "ask", run="gone", picture="0" * 32)
    notice = page.locator("#ask-notices")
    expect(notice).to_contain_text("There is no trained model gone")
    expect(notice).to_contain_text("This picture is not kept any more")
    upload(page, tmp_path / "c.png", 3)
    expect(notice).to_be_hidden()
    for number, question in enumerate(("first?", "second?"), start=1):
        page.fill("#ask-question textarea", question)
        page.keyboard.press("Enter")
        expect(rows).to_have_count(number)
        expect(rows.first).to_contain_text("%", timeout=ANSWER_MS)
        ready(page)
    assert place(page)["run"] == "tiny"
    likeliest = page.locator("#ask-likeliest h3")
    expect(likeliest).to_contain_text("second?")
    rows.last.locator("button").click()
    expect(likeliest).to_contain_text("first?")
    ready(page)
    assert place(page)["at"] == "0"
    page.reload()
    ready(page)
    expect(likeliest).to_contain_text("first?")

    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    page.locator("#ask-json-box > button").click()
    page.locator("#ask-json-box button[aria-label='Copy'], #ask-json-box button[title*='opy']").first.click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.includes('second?'))")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert [each["question"] for each in copied] == ["first?", "second?"]

    page.click("#ask-forget")
    expect(rows).to_have_count(0)
    expect(page.locator("#ask-likeliest")).to_be_hidden()
    ready(page)
    assert kept(server, place(page)["picture"]) == []
