"""The page for everyone: nothing serious for axe, no scrolling sideways on a phone, keys, and Korean that is Korean."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Look, OpenPage, Server, click_tab, open_tab, ready
from ui.server.page import TABS

if TYPE_CHECKING:
    from playwright.sync_api import Page

ERRORS = {"run": "first", "split": "val"}
PHONE = {"width": 390, "height": 900}
LOOKS = [Look(language, dark) for language in ("en", "ko") for dark in (False, True)]

# What axe finds in Gradio's own elements and neither theme nor script can mend: rule -> (part of the element, why).
GRADIO: dict[str, tuple[str, str]] = {}

TOO_WIDE = """() => {
    const right = (element) => element.getBoundingClientRect().right;
    const holds = (element) => element !== document.body && right(element) <= innerWidth + 1
        && ['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(element).overflowX);
    const held = (element) => element && (holds(element) || held(element.parentElement));
    return [...document.querySelectorAll('body *')]
        .filter((element) => element.checkVisibility() && right(element) > innerWidth + 1)
        .filter((element) => !held(element.parentElement))
        .map((element) => `${element.tagName} #${element.id} .${element.className}`).slice(0, 5);
}"""
VISIBLE_WORDS = """() => {
    const labels = 'button, label, h1, h2, h3, h4, legend, th, summary, [role=tab], [data-testid^=block-], textarea';
    const data = '.wb-grid, .wb-facts td, .wb-matrix, .wb-bar';
    return [...document.querySelectorAll(labels)]
        .filter((element) => element.checkVisibility() && !element.closest(data))
        .flatMap((element) => [
            ...[...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent.trim()),
            element.getAttribute('aria-label'), element.title, element.getAttribute('placeholder')])
        .filter(Boolean);
}"""
LATIN = re.compile(r"[A-Za-z]{2,}")
HANGUL = re.compile("[가-힣]")
# Names that Korean writes in Latin letters.
NAMES = {
    "English", "VQA", "LoRA", "JSON", "CSV", "URL", "ID", "GPU", "CPU", "GB", "MB", "KB", "ms", "px", "SHA", "MCP",
    "bf16", "fp32", "AdamW", "easy", "first", "second",
}  # fmt: skip


def views(page: "Page", server: Server) -> Iterator[str]:
    """Go through all tabs: a trained run and its answers by their addresses, each tab by a click on it."""
    open_tab(page, server, "train", run="first")
    yield "train, a run"
    open_tab(page, server, "predict", run="first", split="test")
    yield "predict, a run"
    for name in sorted(TABS, key=lambda name: name == "predict"):  # a click on the open one would do nothing
        click_tab(page, name)
        yield name


def serious(page: "Page") -> list[str]:
    """What axe calls serious or critical, an element a line."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    lines = []
    for violation in found:
        part = GRADIO.get(violation["id"], ("\0", ""))[0]
        if violation["impact"] in ("serious", "critical"):
            nodes = [node for node in violation["nodes"] if part not in node["html"]]
            lines += [f"{violation['id']}: {node['html'][:160]} {node['failureSummary'][-160:]}" for node in nodes]
    return lines


def too_wide(page: "Page") -> list[str]:
    """What makes the page scroll sideways."""
    scrolls = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    return [f"scrolls by {scrolls} px", *page.evaluate(TOO_WIDE)] if scrolls > 0 else []


def latin(page: "Page") -> list[str]:
    """Labels without Hangul that hold a word which is no name."""
    texts = dict.fromkeys(page.evaluate(VISIBLE_WORDS))
    return [text for text in texts if not HANGUL.search(text) and {*LATIN.findall(text)} - NAMES]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look.language}-{'dark' if look.dark else 'light'}")
def test_no_tab_has_a_serious_violation_or_scrolls_sideways_or_is_korean_in_latin_letters(
    open_page: OpenPage, server: Server, look: Look
) -> None:
    page = open_page(look)
    found: dict[str, list[str]] = {}
    for name in views(page, server):
        found[name] = serious(page)
        if look.language == "ko":
            found[name] += [f"in Latin letters alone: {text}" for text in latin(page)]
        if not look.dark:
            page.set_viewport_size(PHONE)
            ready(page)
            found[name] += too_wide(page)
            page.set_viewport_size({"width": look.width, "height": look.height})
            ready(page)
    assert not {name: lines for name, lines in found.items() if lines}
    assert page.locator("html").get_attribute("lang") == look.language
    assert bool(HANGUL.search(page.title())) is (look.language == "ko")


@pytest.mark.parametrize("page", [Look(**PHONE), Look("ko", **PHONE)], indirect=True, ids=["en", "ko"])
def test_a_phone_scrolls_the_page_one_way_only(page: "Page", server: Server) -> None:
    """Opened there, not only made as narrow."""
    open_tab(page, server, "errors", **ERRORS)
    assert not too_wide(page)


def test_a_choice_of_language_is_kept_with_the_place(page: "Page", server: Server) -> None:
    open_tab(page, server, "errors", **ERRORS)
    page.locator("#wb-language").click()
    page.wait_for_url("**/ko/?**")
    ready(page)
    assert "tab=errors" in page.url
    assert page.locator("html").get_attribute("lang") == "ko"
    open_tab(page, server, "runs")
    assert "/ko/" in page.url, "the choice wins over the browser's language"


def test_the_keys_show_their_sheet_but_not_while_typing_go_to_the_search_box_and_move_in_the_gallery(
    page: "Page", server: Server
) -> None:
    open_tab(page, server, "explore")
    for key in ("h", "?"):
        page.keyboard.press(key)
        page.locator("#wb-keys[open]").wait_for()
        assert key != "h" or not serious(page), "the sheet is for everyone too"
        page.keyboard.press("Escape")
        page.locator("#wb-keys").wait_for(state="detached")

    cells = page.locator("#explore-gallery .wb-cell")
    cells.nth(0).focus()
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        assert (
            page.evaluate("[...document.activeElement.parentElement.children].indexOf(document.activeElement)") == place
        )
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.matches('.wb-cell')"), "nowhere to go is no way out"

    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.closest('.key-search') !== null")
    assert page.evaluate("document.activeElement.value") == "", "the key itself is not typed"
    page.keyboard.type("h?j/1")
    assert page.locator("#wb-keys").count() == 0
    assert page.evaluate("document.activeElement.value") == "h?j/1"


def test_keys_work_where_hangul_is_typed_and_the_sheet_shows_those_of_the_tab(page: "Page", server: Server) -> None:
    """A browser tells `ㅗ` or `Process` of the key h then."""
    press = "([key, code]) => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, code, bubbles: true}))"
    open_tab(page, server, "train")
    page.evaluate(press, ["ㅗ", "KeyH"])
    assert page.locator("#wb-keys kbd").all_inner_texts() == ["h ?"]
    page.evaluate(press, ["Process", "KeyH"])
    page.locator("#wb-keys").wait_for(state="detached")
    open_tab(page, server, "errors", **ERRORS)
    page.evaluate(press, ["h", "KeyH"])
    assert page.locator("#wb-keys kbd").all_inner_texts() == ["j", "k", "1–5", "← → ↑ ↓", "h ?"]


def test_samples_are_stepped_through_and_tagged_by_keys_but_not_beneath_the_sheet(page: "Page", server: Server) -> None:
    open_tab(page, server, "errors", **ERRORS)
    tags = server.runs / ERRORS["run"] / "tags.json"
    first = page.locator("#errors-detail").inner_text()

    def press(key: str) -> str:
        page.locator("body").press(key)
        ready(page)
        return page.locator("#errors-detail").inner_text()

    press("h")
    press("2")
    assert press("j") == first, "nothing moves beneath the sheet"
    assert not tags.exists()
    press("Escape")
    assert press("j") != first
    assert press("k") == first
    for key, tag in zip("1245", ("wrong_label", "ambiguous", "model_error", "interesting")):
        press(key)
        assert tag in tags.read_text(encoding="utf-8")
    tags.unlink()


def test_every_tab_is_reached_by_the_keyboard_and_shows_its_focus(page: "Page", server: Server) -> None:
    open_tab(page, server)
    first = page.locator(f"#tab-{next(iter(TABS))}-button")
    first.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none' || "
                         "getComputedStyle(document.activeElement).boxShadow !== 'none'")  # fmt: skip
    for name in [*list(TABS)[1:], next(iter(TABS))]:
        click_tab(page, name)
        assert f"tab={name}" in page.url
