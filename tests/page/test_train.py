"""Train in a real browser: a form that survives a reload, a training stopped and resumed, a folder that exists."""

import json
import re
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Serve, open_tab, ready
from tests.support.jobs import stopped_at_a_step
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, tiny_competition, tiny_parts
from ui.jobs.folder import JobFolder
from ui.jobs.jobs import Jobs
from vqa_core.config import SECTIONS
from vqa_core.files import write_json
from vqa_core.runs.run_dir import RunDir

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAIT_S = 180
STEPS = 100
USABLE_S = 30.0  # on a busy machine; `eval.benchmark page` holds it to 8 s


def test_the_page_is_usable_soon_after_its_start(tmp_path: Path, serve: Serve, page: "Page") -> None:
    tiny_competition(tmp_path / "data" / "toy")
    started = time.monotonic()
    open_tab(page, serve(tmp_path / "runs", tmp_path / "data", forked=False), "train")
    page.locator("#train-start").wait_for()
    assert time.monotonic() - started < USABLE_S


def test_the_form_of_train_survives_a_reload(tmp_path: Path, serve: Serve, page: "Page") -> None:
    from playwright.sync_api import expect

    tiny_competition(tmp_path / "data" / "toy")
    server = serve(tmp_path / "runs", tmp_path / "data")
    open_tab(page, server, "train")
    page.click("#train-data input")
    page.get_by_role("option", name="toy").click()
    ready(page)
    page.fill("#train-name :is(input, textarea)", "mine")
    page.fill("#train-epochs input", "3")
    ready(page)
    address = page.url
    assert {"name=mine", "epochs=3"} < set(address.split("&"))
    page.reload()
    ready(page)
    assert page.url == address
    expect(page.locator("#train-data input")).to_have_value("toy")
    expect(page.locator("#train-name :is(input, textarea)")).to_have_value("mine")
    expect(page.locator("#train-epochs input")).to_have_value("3")
    expect(page.locator("#train-command textarea")).to_have_value(re.compile(r"--run .*mine.*--epochs 3", re.DOTALL))

    open_tab(page, server, "train", epochs="many", nonsense="1")
    expect(page.locator("#train-lost")).to_contain_text("nonsense")
    expect(page.locator("#train-epochs input")).not_to_have_value("many")


@pytest.mark.slow(seconds=50)
def test_a_training_is_stopped_resumed_and_its_folder_warned_of(tmp_path: Path, serve: Serve, page: "Page") -> None:
    from playwright.sync_api import expect

    runs, data = tmp_path / "runs", tmp_path / "data"
    tiny_competition(data / "toy")
    tower, language_model = tiny_parts(tmp_path / "parts")
    config = {
        "data": {"val_fraction": 0.2},
        "model": TINY_MODEL | {"vision_tower": str(tower), "language_model": str(language_model)},
        "train": TINY_TRAIN | {"max_steps": STEPS, "save_every": 100, "eval_every": 0},
    }
    write_json(tmp_path / "config.json", config)
    server, jobs = serve(runs, data), Jobs(runs / ".page" / "jobs")
    shows = partial(expect(page.locator("#train-job-status")).to_contain_text, timeout=WAIT_S * 1000)

    open_tab(page, server, "train")
    with page.expect_file_chooser() as chooser:
        page.click("#train-load")
    chooser.value.set_files(tmp_path / "config.json")
    ready(page)
    page.click("#train-data input")
    page.get_by_role("option", name="toy").click()
    page.fill("#train-name :is(input, textarea)", "mine")
    ready(page)
    form = page.url
    with page.expect_download() as download:
        page.click("#train-save")
    assert download.value.suggested_filename == "mine.json"
    saved = json.loads(Path(download.value.path()).read_bytes())
    for section, values in config.items():
        assert SECTIONS[section](**saved[section]) == SECTIONS[section](**values)

    page.click("#train-start")
    shows(re.compile("Training · mine"))
    [job] = jobs.list()
    command = stopped_at_a_step(jobs, job)
    shows(re.compile(rf"running.* of {STEPS} steps"))
    page.click("#train-job-stop")
    while not JobFolder(jobs.folder / job.id).stop_asked:
        time.sleep(0.02)
    shows("stopping: finishing this step, then saving")
    expect(page.locator("#train-job-kill")).to_be_visible()
    command.send(signal.SIGCONT)
    shows("stopped after")
    shows(re.compile(rf"Saved: the checkpoint of step \d+ of {STEPS}"))
    expect(page.locator("#train-job-kill")).to_be_hidden()
    page.locator("#train-resume").wait_for()
    expect(page.locator("#train-resume")).to_have_text(re.compile(rf"Resume at step \d+ of {STEPS}"))

    page.goto(form)
    ready(page)
    expect(page.locator("#train-there")).to_contain_text("mine exists. It was trained with this data")
    expect(page.locator("#train-start")).to_be_disabled()
    page.get_by_label("Restart it: its checkpoints").check()
    ready(page)
    expect(page.locator("#train-command textarea")).to_have_value(re.compile("--restart$"))
    page.get_by_label("Resume it with its own settings").check()
    ready(page)
    expect(page.locator("#train-command textarea")).to_have_value(re.compile("--resume$"))
    page.click("#train-other-name button" if page.locator("#train-other-name button").count() else "#train-other-name")
    ready(page)
    expect(page.locator("#train-name :is(input, textarea)")).to_have_value("mine-2")

    open_tab(page, server, "train", run="mine")
    page.click("#train-resume")
    shows("finished in")
    assert jobs.list()[0].commands[0][-1] == "--resume"
    assert (RunDir(runs / "mine").model / "vqa.json").is_file()
