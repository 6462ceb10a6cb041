"""A visit to the page where there is no network: what tests/page/test_offline.py runs in a namespace of its own.

    unshare -n python -m tests.support.offline_visit FOLDER

FOLDER is to hold nothing; a workspace is made in it. Prints one JSON object: what was seen.
"""

import json
import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.support.browser import FLAGS, Server, chromium, click_tab, open_tab, ready, watch_of, watched
from tests.support.namespace import raise_loopback, reaches_outside
from tests.support.workspaces import easy_workspace
from ui.server.page import TABS

ANSWER_S = 240  # importing torch and loading the model, on a busy machine


def main(folder: Path) -> None:
    raise_loopback()
    found = {"outside": reaches_outside(), "unroutable_before": unroutable()}
    runs, data = easy_workspace(folder, train_images=8, test_images=4)
    picture = folder / "한글 이름 (1).png"
    shutil.copyfile(next((data / "easy" / "image" / "test").iterdir()), picture)
    with Server(runs, data, forked=False) as server, sync_playwright() as playwright:
        found["unroutable_by_server"] = unroutable() - int(found["unroutable_before"])
        browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=list(FLAGS))
        page = watched(browser.new_page(locale="en-US"))
        open_tab(page, server, "ask", run="first")
        for name in sorted(TABS, key=lambda name: name == "ask"):
            click_tab(page, name)
            expect(page.locator(f"#tab-{name}-button").first).to_have_attribute("aria-selected", "true")
        page.set_input_files("#ask-picture input[type=file]", picture)
        ready(page)
        page.fill("#ask-question textarea", "what shape is in the image?")
        page.locator("#ask-submit").click()
        answer = page.locator("#ask-answers td").filter(has_text="circle").or_(
            page.locator("#ask-answers td").filter(has_text="rectangle")
        ).or_(page.locator("#ask-answers td").filter(has_text="triangle"))  # fmt: skip
        expect(answer.first).to_be_visible(timeout=ANSWER_S * 1000)
        found["answer"] = answer.first.inner_text()
        found["unroutable"] = unroutable() - int(found["unroutable_before"])
        found["requests_outside"] = watch_of(page).outside()
        found["complaints"] = watch_of(page).complaints()
        found["log"] = server.log
        browser.close()
    print(json.dumps(found))


def unroutable() -> int:
    """How often a program of this namespace has tried to reach a machine beyond it."""
    names, values = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")]
    return int(values[names.index("OutNoRoutes")])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
