"""A tour of the page in a real browser, each stop with real files and the demo's weights: what a person comes for."""

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from eval import submit
from tests.support.browser import Look, OpenPage, Serve, Server, open_tab, ready
from tests.support.workspaces import easy_competition

if TYPE_CHECKING:
    from playwright.sync_api import Page

ANSWER_S = 120  # the first one loads torch and the model, on a machine that may be busy


def test_an_uploaded_picture_with_a_korean_name_is_answered(
    folders: tuple[Path, Path], server: Server, page: "Page", tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    picture = tmp_path / "빨간 삼각형 (1).png"
    Image.open(folders[1] / "easy/image/test/test_0000.png").save(picture)
    open_tab(page, server, "ask", run="first")
    page.set_input_files("#ask-picture input[type=file]", picture)
    ready(page)
    page.fill("#ask-question textarea", "what shape is in the image?\nis there a green shape?")
    page.click("#ask-submit")
    expect(page.locator("#ask-answers tbody tr")).to_have_count(2, timeout=ANSWER_S * 1000)
    ready(page, ANSWER_S)
    expect(page.locator("#ask-likeliest li")).to_have_count(5)
    answers = [row.inner_text() for row in page.locator("#ask-answers tbody tr").all()]
    solution = (folders[1] / "easy/solution.csv").read_text().splitlines()
    assert any(shape in answers[0] for shape in ("rectangle", "circle", "triangle")), answers
    assert solution[1].split(",")[1] in ("rectangle", "circle", "triangle", "yes", "no")
    page.reload()
    ready(page, ANSWER_S)
    assert [row.inner_text() for row in page.locator("#ask-answers tbody tr").all()] == answers


def test_the_downloaded_submission_is_the_commands_byte_for_byte(
    folders: tuple[Path, Path], server: Server, page: "Page", tmp_path: Path
) -> None:
    open_tab(page, server, "predict", run="second", split="test")
    with page.expect_download() as download:
        page.click("#predict-download")
    assert download.value.suggested_filename == "submission.csv"
    received = Path(download.value.path()).read_bytes()
    by_command = ["--run", folders[0] / "second", "--out", tmp_path / "by-command.csv", "--allow-failed"]
    submit.main(list(map(str, by_command)))
    assert received == (tmp_path / "by-command.csv").read_bytes()
    ready(page)
    assert hashlib.sha256(received).hexdigest() in page.locator("#predict-submit").inner_text().replace("\n", "")


def test_a_wrong_answer_is_found_through_the_confusion_matrix(server: Server, page: "Page") -> None:
    from playwright.sync_api import expect

    open_tab(page, server, "errors", run="first", split="test")
    cell = page.locator("#errors-matrix td:not(.wb-right) button").first
    right, given = cell.get_attribute("aria-label").rpartition(":")[0].split(" → ")  # type: ignore[union-attr]
    count = int(cell.inner_text())
    cell.click()
    ready(page)
    expect(page.locator("#errors-gallery .wb-cell")).to_have_count(min(count, 24))
    page.locator("#errors-gallery .wb-cell").first.click()
    ready(page)
    detail = page.locator("#errors-detail").inner_text()
    assert right in detail
    assert given in detail
    address = page.url
    page.keyboard.press("3")
    ready(page)
    page.reload()
    ready(page)
    assert page.url == address, "the same sample after a reload"
    expect(page.locator("#errors-detail .key-3, #errors-detail button.key-3").first).to_be_visible()
    tags = (server.runs / "first" / "tags.json").read_text(encoding="utf-8")
    assert "bad_image" in tags


def test_two_runs_are_compared_question_by_question(server: Server, open_page: OpenPage) -> None:
    page = open_page(Look(language="ko"))
    open_tab(page, server, "errors", run="first", split="test", **{"with": "second"})
    text = page.locator("#errors-compare").inner_text()
    assert "McNemar" in text
    assert "24 · 20.9%" in text, "every 7th answer is wrong here, every 4th there"
    page.locator("#errors-compare button[data-key]").first.click()
    ready(page)
    assert "pair=" in page.url


def test_a_sample_is_searched_for_and_an_address_shows_the_same_again(server: Server, page: "Page") -> None:
    from playwright.sync_api import expect

    open_tab(page, server, "explore", run="first")
    page.locator("#explore-search textarea, #explore-search input").first.press_sequentially("green")
    page.keyboard.press("Enter")
    ready(page)
    assert "q=green" in page.url
    cells = page.locator("#explore-gallery .wb-cell")
    expect(cells.first).to_be_visible()
    cells.nth(1).click()
    ready(page)
    page.locator("body").press("j")
    ready(page)
    address, shown = page.url, page.locator("#explore-detail").inner_text()
    page.reload()
    ready(page)
    assert page.url == address
    assert page.locator("#explore-detail").inner_text() == shown


def test_the_table_of_runs_leads_to_a_run_and_its_card(server: Server, page: "Page") -> None:
    open_tab(page, server, "runs")
    page.locator("#runs-table button[data-key=first]").click()
    ready(page)
    page.click("#runs-pin")
    ready(page)
    open_tab(page, server, "runs", run="second")
    text = page.locator("#runs-details").inner_text()
    assert "first" in text, "compared with the pinned one"
    assert (server.runs / "baseline.json").is_file()


def test_without_runs_one_click_starts_the_demo_run_and_shows_it(serve: Serve, page: "Page", tmp_path: Path) -> None:
    from playwright.sync_api import expect

    easy_competition(tmp_path / "data" / "easy-vqa", 4, 2)
    server = serve(tmp_path / "runs", tmp_path / "data")
    for tab in ("runs", "errors"):
        open_tab(page, server, tab)
        page.click(f"#{tab}-start")
        page.wait_for_url("**tab=train&run=quick-demo*")
        ready(page)
        expect(page.locator("#train-job-status")).to_contain_text("quick-demo")
        page.click("#train-job-stop")
        expect(page.locator("#train-job-stop")).to_be_hidden(timeout=ANSWER_S * 1000)
        shutil.rmtree(server.runs / "quick-demo", ignore_errors=True)
