"""What the page saves, in a real browser: tables as files, the public score of a submission and what changed since."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from eval import submit
from tests.support.browser import Server, open_tab, ready

if TYPE_CHECKING:
    from playwright.sync_api import Page


def saved(page: "Page", button: str) -> tuple[str, bytes]:
    """The name and the content of the file that a button gives."""
    with page.expect_download() as download:
        page.click(button)
    ready(page)
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def table(content: bytes) -> list[dict[str, str]]:
    assert content.startswith(b"\xef\xbb\xbf"), "a spreadsheet takes Korean for it"
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_the_table_of_runs_is_saved_as_it_is_filtered(server: Server, page: "Page") -> None:
    open_tab(page, server, "runs")
    name, content = saved(page, "#runs-save-csv")
    assert name == "runs.csv"
    assert {row["run"] for row in table(content)} == {"first", "second"}
    page.locator("#runs-search").locator("input, textarea").first.press_sequentially("seco")
    page.wait_for_function("() => new URLSearchParams(location.search).get('q') === 'seco'")
    ready(page)
    name, content = saved(page, "#runs-save-json")
    assert name == "runs.json"
    assert [row["run"] for row in json.loads(content)] == ["second"]


def test_the_wrong_answers_are_saved_for_a_spreadsheet(
    folders: tuple[Path, Path], server: Server, page: "Page"
) -> None:
    open_tab(page, server, "errors", run="second", split="test")
    name, content = saved(page, "#errors-review")
    assert name == "review-second-test.csv"
    solution = csv.DictReader((folders[1] / "easy/solution.csv").read_text(encoding="utf-8").splitlines())
    truth = {row["ID"]: row["answer"] for row in solution}
    lines = (folders[0] / "second/predictions/test.jsonl").read_text(encoding="utf-8").splitlines()
    answers = {row["question_id"]: row["answer"] for row in map(json.loads, lines)}
    wrong = {name for name, answer in answers.items() if answer != truth[name]}
    assert {row["id"] for row in table(content)} == wrong != set()


def test_a_public_score_is_kept_and_an_earlier_submission_compared(
    folders: tuple[Path, Path], server: Server, page: "Page"
) -> None:
    from playwright.sync_api import expect

    run = folders[0] / "second"
    answers = run / "predictions/test.jsonl"
    lines = answers.read_text(encoding="utf-8").splitlines()
    changed = [line.replace('"yes"', '"no"') for line in lines]
    answers.write_text("\n".join(changed) + "\n", encoding="utf-8")
    count = sum(old != new for old, new in zip(lines, changed, strict=True))
    submit.main(["--run", str(run), "--allow-failed"])
    open_tab(page, server, "predict", run="second")
    expect(page.locator("#predict-past tbody tr")).to_have_count(2)
    assert f"{count} of {len(lines)}" in page.locator("#predict-changed").inner_text()
    assert "yes → no" in page.locator("#predict-transitions").inner_text().replace("->", "→")
    page.locator("#predict-public").locator("input, textarea").first.fill("0.8125")
    page.locator("#predict-public").locator("input, textarea").first.press("Enter")
    ready(page)
    page.reload()
    ready(page)
    expect(page.locator("#predict-past")).to_contain_text("0.8125")
    page.locator("#predict-past button[data-key]").last.click()  # the earlier one, which has none before it
    ready(page)
    assert "submission=" in page.url
    expect(page.locator("#predict-public").locator("input, textarea").first).to_have_value("")
