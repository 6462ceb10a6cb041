"""A real training, started from the page, outlives its reload and SIGKILL of the server; the open page catches up."""

import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Serve, forgive, open_tab, ready
from tests.support.jobs import stopped_at_a_step
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, losses, tiny_competition, tiny_parts
from ui.jobs.folder import JobFolder
from ui.jobs.jobs import Jobs
from vqa_core.files import write_json
from vqa_core.runs.run_dir import RunDir

if TYPE_CHECKING:
    from playwright.sync_api import Page

STEPS = 60
WAIT_S = 180
GONE = (
    "Failed to fetch",
    "Connection errored out",
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_EMPTY_RESPONSE",
)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """The jobs of the runs in `내 runs`; what a failed test leaves of them is killed."""
    made = Jobs(tmp_path / "내 runs" / ".page" / "jobs")
    yield made
    for job in made.active():
        folder = JobFolder(made.folder / job.id)
        folder.ask_to_stop()
        if command := folder.state().command:
            command.kill_group()


@pytest.mark.slow(seconds=45)
def test_a_training_survives_reload_and_a_killed_server(tmp_path: Path, serve: Serve, page: "Page", jobs: Jobs) -> None:
    from playwright.sync_api import expect

    runs, data = jobs.folder.parent.parent, tmp_path / "data"
    tiny_competition(data / "작은 대회")
    tower, language_model = tiny_parts(tmp_path / "parts")
    config = {
        "data": {"val_fraction": 0.2},
        "model": TINY_MODEL | {"vision_tower": str(tower), "language_model": str(language_model)},
        "train": TINY_TRAIN | {"max_steps": STEPS, "save_every": 100, "eval_every": 0},
    }
    write_json(tmp_path / "config.json", config)
    server = serve(runs, data)
    shows = partial(expect(page.locator("#train-job-status")).to_contain_text, timeout=WAIT_S * 1000)
    moves = re.compile(rf"running.* of {STEPS} steps")

    open_tab(page, server, "train")
    with page.expect_file_chooser() as chooser:
        page.click("#train-load")
    chooser.value.set_files(tmp_path / "config.json")
    ready(page)
    page.click("#train-data input")
    page.get_by_role("option", name="작은 대회").click()
    page.fill("#train-name :is(input, textarea)", "한글-런")
    ready(page)
    page.click("#train-start")
    shows("Training · 한글-런")
    [job] = jobs.list()
    assert page.locator("#train-job-commands textarea").input_value() == job.shown

    command = stopped_at_a_step(jobs, job)
    shows(moves)
    page.reload()
    shows(moves)
    expect(page.get_by_role("progressbar")).to_be_visible(timeout=WAIT_S * 1000)

    forgive(page, *GONE)
    server.kill()
    assert command.alive
    server.restart()
    command.send(signal.SIGCONT)
    shows("finished in")  # by its timer, or loaded again by Gradio's own script where that saw the connection break
    assert jobs.get(job.id).status == "done"
    assert sorted(losses(RunDir(runs / "한글-런"))) == list(range(1, STEPS + 1))
