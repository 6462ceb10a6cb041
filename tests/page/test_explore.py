"""The Explore tab in a real browser: what is clicked filters, data that changes is drawn, a picture opens in full."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from tests.support.browser import Look, OpenPage, Server, forgive, open_tab, ready
from tests.support.tiny import tiny_competition

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = 60
INDEXED_MS = 60_000  # until an index is made and every image checked


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A dataset with a picture that is too large to be seen whole, one that is broken and one that is missing."""
    folder = tmp_path_factory.mktemp("explore")
    data = tiny_competition(folder / "data/mine", train_images=IMAGES, test_images=4)
    pictures = sorted((data / "image/train").iterdir())
    Image.linear_gradient("L").resize((3000, 1500)).save(pictures[0])
    pictures[1].write_bytes(b"no picture")
    pictures[2].unlink()
    with Server(folder / "runs", folder / "data") as server:
        yield server


def explore(page: "Page", server: Server) -> None:
    """Open the tab; one of its pictures is broken."""
    forgive(page, "status of 415")
    open_tab(page, server, "explore")


def place(page: "Page", name: str) -> str | None:
    return parse_qs(urlsplit(page.url).query).get(name, [None])[0]


def found(page: "Page") -> str:
    return page.locator("#explore-found").inner_text()


def test_findings_bars_and_the_pager_filter_and_turn(page: "Page", server: Server) -> None:
    from playwright.sync_api import expect

    explore(page, server)
    finding = page.locator("#explore-findings button[data-key]").first
    expect(finding).to_be_visible(timeout=INDEXED_MS)
    ready(page)
    everything = found(page)
    assert f"All {IMAGES + 4} images" in everything

    page.click("#explore-page-next")
    ready(page)
    assert place(page, "page") == "2"
    page.fill("#explore-page input", "3")
    page.locator("#explore-page input").press("Enter")
    ready(page)
    expect(page.locator("#explore-gallery .wb-cell")).to_have_count(IMAGES + 4 - 48)
    page.click("#explore-page-previous")
    ready(page)
    assert place(page, "page") == "2"

    bar = page.locator("#explore-split button[data-key=test]")
    bar.click()
    ready(page)
    assert (place(page, "split"), place(page, "page")) == ("test", None)
    assert found(page).startswith("4 images")
    expect(bar).to_have_attribute("aria-pressed", "true")
    page.click("#explore-clear")
    ready(page)
    assert place(page, "split") is None
    assert found(page) == everything

    code = finding.get_attribute("data-key")
    finding.click()
    ready(page)
    assert place(page, "finding") == code
    assert "Showing only samples with this finding" in page.locator("#explore-notices").inner_text()
    page.reload()
    ready(page)
    assert place(page, "finding") == code
    assert found(page) != everything


def test_hangul_and_what_is_pasted_cut_or_deleted_is_searched_for_without_enter(page: "Page", server: Server) -> None:
    from playwright.sync_api import expect

    explore(page, server)
    everything = found(page)
    keyboard = page.context.new_cdp_session(page)
    page.locator("#explore-search").locator("input, textarea").first.click()
    for text in ("색", "색은"):  # a syllable, then the next, still in the making
        keyboard.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})
        page.wait_for_function("text => new URLSearchParams(location.search).get('q') === text", arg=text)
    keyboard.send("Input.insertText", {"text": "색은 무엇"})
    page.wait_for_function("() => new URLSearchParams(location.search).get('q') === '색은 무엇'")
    ready(page)
    assert found(page) != everything
    expect(page.locator("#explore-gallery .wb-cell").first).to_be_visible()
    for keys, text in (("Control+X", None), ("Control+V", "색은 무엇"), ("Backspace", "색은 무")):
        if keys == "Control+X":
            page.keyboard.press("Control+A")
        page.keyboard.press(keys)
        page.wait_for_function("text => new URLSearchParams(location.search).get('q') === text", arg=text)
        ready(page)
        assert (found(page) == everything) is (text is None)


def test_a_picture_opens_at_its_own_size_and_a_broken_one_says_so(open_page: OpenPage, server: Server) -> None:
    from playwright.sync_api import expect

    page = open_page(Look(language="ko"))
    explore(page, server)
    page.locator("#explore-gallery .wb-cell").first.click(timeout=INDEXED_MS)
    ready(page)
    expect(page.locator("#explore-picture img")).to_have_js_property("naturalWidth", 2048)
    with page.expect_popup() as popup:
        page.get_by_role("link", name="원본 크기로 열기").click()
    expect(popup.value.locator("img")).to_have_js_property("naturalWidth", 3000)
    popup.value.close()
    page.keyboard.press("j")
    ready(page)
    expect(page.locator("#explore-picture")).to_contain_text("표시할 수 없습니다")
    page.keyboard.press("j")
    ready(page)
    expect(page.locator("#explore-no-file")).to_contain_text("찾을 수 없습니다")


def test_data_that_changes_while_the_page_is_open_is_drawn_at_the_next_click(page: "Page", server: Server) -> None:
    from playwright.sync_api import expect

    explore(page, server)
    questions = page.locator("#explore-summary tbody tr").first.locator("td").last  # of the test split
    expect(questions).not_to_be_empty(timeout=INDEXED_MS)
    for click in ("#explore-page-next", "#explore-split button[data-key=train]", ".wb-cell"):
        ready(page)
        before = int(questions.inner_text())
        with (server.data / "mine/test.csv").open("a", encoding="utf-8") as file:
            file.write(f"NEW_{before},test_0000,one more?\n")
        page.locator(click).first.click()
        expect(questions).to_have_text(str(before + 1), timeout=INDEXED_MS)
        expect(page.locator("#explore-status")).to_be_hidden()
