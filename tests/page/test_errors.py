"""What the page can't do is said in the browser, in the reader's language, and as text whatever is in it."""

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Look, Server, click_tab, forgive, open_tab, ready

if TYPE_CHECKING:
    from playwright.sync_api import Page

POISON = '/nowhere/<b id="bold">x</b><image>'


@pytest.mark.parametrize(
    ("page", "title", "text"),
    [
        (Look(), "This can't be done", "does not exist. Type the path"),
        (Look("ko", dark=True, width=390), "처리할 수 없습니다", "없는 경로입니다"),
    ],
    indirect=["page"],
    ids=["en", "ko"],
)
def test_a_refusal_is_told_as_text(page: "Page", server: Server, title: str, text: str) -> None:
    from playwright.sync_api import expect

    forgive(page, "status of 500")
    open_tab(page, server, "explore")
    page.locator("#explore-open-box > button").click()
    page.fill("#explore-path :is(input, textarea)", POISON)
    page.locator("#explore-path :is(input, textarea)").press("Enter")
    toast = page.get_by_role("alert")
    expect(toast).to_contain_text(POISON)
    ready(page)
    assert page.locator("#bold, .wb-toast image").count() == 0, "what was typed is no markup"
    assert toast.locator("strong").inner_text() == title
    assert text in toast.inner_text()
    box = toast.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.viewport_size["width"]  # type: ignore[index]
    toast.get_by_role("button").click()
    expect(toast).to_have_count(0)


@pytest.mark.parametrize(
    ("page", "reference", "title", "refusal"),
    [
        (Look(), "Reference", "Error", "There is no picture."),
        (Look("ko"), "참조 번호", "오류", "이미지가 없습니다."),
    ],
    indirect=["page"],
    ids=["en", "ko"],
)
def test_what_nobody_foresaw_is_told_by_a_reference_and_a_question_without_a_picture_is_refused(
    page: "Page", server: Server, reference: str, title: str, refusal: str
) -> None:
    """The trace to the reference is in the log. Questions go through Gradio's queue, whose errors Gradio shows."""
    from playwright.sync_api import expect

    forgive(page, "status of 500")
    open_tab(page, server, "errors", run="first", split="test")
    tags = server.runs / "first" / "tags.json"
    tags.write_text("[" * 100_000)  # too deep for the reader of JSON
    try:
        page.locator("body").press("1")
        alert = page.get_by_role("alert")
        told = alert.inner_text(timeout=20_000)
    finally:
        tags.unlink()
    assert reference in told
    [number] = re.findall(r"[0-9a-f]{6}", told)
    assert f"error {number} in " in server.log
    assert "Traceback" in server.log
    alert.get_by_role("button").click()

    click_tab(page, "ask")
    page.fill("#ask-question textarea", "is there a circle?")
    page.click("#ask-submit")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text(refusal)
    expect(toast.locator(".toast-title")).to_contain_text(title)
