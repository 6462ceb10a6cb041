"""A dataset that attacks whoever looks at it, in every tab of a real browser: nothing of it runs, nothing leaves.

tests/corpus/payloads.json stands in ids, questions, answers, predictions, file names, the run's name and its config.
Each payload that becomes an element carries `data-pwn`, so markup that is rendered without running is found as well.
"""

import csv
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support import CORPUS
from tests.support.browser import Look, Server, click_tab, forgive, open_tab, ready
from tests.support.workspaces import answered_run, write_tables
from ui.server.page import TABS
from vqa_core.files import read_json, write_json

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAYLOADS: list[str] = json.loads((CORPUS / "payloads.json").read_text(encoding="utf-8"))
LONG = "<b data-pwn>" + "long " * 2000
RUN = "<img src=x onerror=window.__pwn=1 data-pwn> {{7*7}} ${7} [x](javascript:1)"
EACH = 2  # things of a kind that are clicked in a tab
CLICKABLE = (
    ".wb-cell", ".wb-bar[data-key]", ".wb-matrix button", ".wb-facts button", ".wb-links a", "button.label-wrap",
    "input[type=checkbox]", "input[role=listbox]",
)  # fmt: skip
KNOWN = (r"Failed to load resource.*/picture/",)  # one of the texts names a picture that is none
LEFT_ALONE = "[id*=start], [id*=stop], [id*=demo], [id*=resume]"  # they start or stop work


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("poisoned")
    data = folder / "data" / RUN
    for split in ("train", "test"):
        (data / "image" / split).mkdir(parents=True)
        for number, payload in enumerate(PAYLOADS):
            Image.new("RGB", (40, 30), (number * 8, 90, 120)).save(data / "image" / split / f"{file_name(payload)}.png")
    rows = {
        split: [
            (f"{split}{number}{payload}", file_name(PAYLOADS[number // 2]), other, other_answer)
            for number, (payload, other, other_answer) in enumerate(
                zip(PAYLOADS * 2, PAYLOADS[3:] + PAYLOADS + PAYLOADS[:3], PAYLOADS[7:] + PAYLOADS + PAYLOADS[:7])
            )
        ]
        for split in ("train", "test")
    }
    rows["train"][5] = (*rows["train"][5][:2], LONG, LONG)
    write_tables(data, rows["train"], rows["test"])
    for name, wrong_every in ((RUN, 2), ("other", 3)):
        run = answered_run(folder / "runs" / name, data, wrong_every=wrong_every)
        write_json(run.config, read_json(run.config) | {"train": {"note": PAYLOADS[0], PAYLOADS[1]: PAYLOADS[2]}})
        run.log.write_text("\n".join(PAYLOADS), encoding="utf-8")
        run.metrics.write_text("".join(json.dumps({"step": n + 1, "loss": 1.0 / (n + 1)}) + "\n" for n in range(9)))
    with Server(folder / "runs", folder / "data") as server:
        yield server


def file_name(payload: str) -> str:
    """As much of a payload as a file may be called."""
    return "".join(" " if c in "/\0\n\r\t" else c for c in payload)[:80].strip(". ") or "x"


def assert_no_reference(server: Server) -> None:
    """No handler failed in a way that nobody foresaw."""
    assert "Traceback" not in server.log, server.log[-3000:]


def assert_unharmed(page: "Page", where: str) -> None:
    assert page.evaluate("window.__pwn") is None, f"{where}: something ran"
    rendered = page.evaluate("[...document.querySelectorAll('[data-pwn]')].map((e) => e.outerHTML.slice(0, 200))")
    assert not rendered, f"{where}: text became markup"


@pytest.mark.slow(seconds=50)
def test_poisoned_texts_pass_through_every_tab_as_texts(page: "Page", server: Server) -> None:
    forgive(page, *KNOWN)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    seen = ""
    for name in TABS:
        open_tab(page, server, name, run=RUN, split="test")
        assert_unharmed(page, f"{name}, test")
        open_tab(page, server, name, run=RUN, split="val", **{"with": "other"})
        assert_unharmed(page, f"{name}, val")
        seen += page.inner_text("body")
        for kind in CLICKABLE:
            seen += clicked_through(page, name, kind)
        for box in page.locator(".key-search textarea, .key-search input").filter(visible=True).all():
            box.fill(PAYLOADS[0])
            page.keyboard.press("Enter")
            ready(page)
            assert_unharmed(page, f"{name}, search")
    assert not dialogs
    shown = [payload for payload in PAYLOADS if payload.strip() and payload in seen]
    assert len(shown) > len(PAYLOADS) / 2, f"the texts themselves are to be read; only {shown} were"
    assert_no_reference(server)


@pytest.mark.parametrize("page", [Look("ko", dark=True)], indirect=True)
def test_poisoned_texts_are_texts_in_korean(page: "Page", server: Server) -> None:
    forgive(page, *KNOWN)
    open_tab(page, server, next(iter(TABS)), run=RUN)
    for name in TABS:
        click_tab(page, name)
        assert_unharmed(page, name)
    assert_no_reference(server)


def clicked_through(page: "Page", name: str, kind: str) -> str:
    """Click a few things of a kind; return what the page then said."""
    from playwright.sync_api import Error

    seen = ""
    found = page.locator(kind).filter(visible=True)
    for number in range(min(EACH, found.count())):
        try:
            if found.nth(number).is_visible() and not found.nth(number).evaluate(f"(e) => e.closest('{LEFT_ALONE}')"):
                found.nth(number).click(timeout=3000)
        except Error:  # what was there is gone, or lies under something: the next one
            continue
        ready(page)
        assert_unharmed(page, f"{name}, {kind} {number}")
        seen += page.inner_text("body")
        page.keyboard.press("Escape")
    return seen


@pytest.mark.parametrize("name", TABS)
def test_a_poisoned_address_is_a_text_too(page: "Page", server: Server, name: str) -> None:
    forgive(page, *KNOWN)
    keys = ["run", "split", "q", "type", "answer", "page", "sample", "with", "sort", "tag", "data", "submission"]
    for payload in (PAYLOADS[0], "9" * 30, "../../etc/passwd"):
        open_tab(page, server, name, **dict.fromkeys(keys, payload))
        assert_unharmed(page, f"{name} with {payload}")
    assert_no_reference(server)


def test_the_review_file_and_the_submission_hold_the_texts(server: Server) -> None:
    submission = server.runs / RUN / "submission.csv"
    with submission.open(encoding="utf-8", newline="") as file:
        answers = {row["answer"] for row in csv.DictReader(file)}
    assert PAYLOADS[19] in answers, "a submission is exact: no formula is escaped in it"
