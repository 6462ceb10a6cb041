"""A real prediction by the page: started by a click, watched as it goes, downloaded, the same as the commands'."""

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval import predict, submit
from tests.support.browser import Serve, open_tab, ready
from tests.support.workspaces import easy_competition
from ui.jobs.folder import JobFolder
from ui.jobs.jobs import Jobs
from vqa_core import ROOT
from vqa_core.config import DataSettings
from vqa_core.data.prepare import prepare
from vqa_core.runs.run_dir import RunDir

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAIT_S = 180
AT_ONCE = 8  # questions; so that there is something to watch


@pytest.mark.slow(seconds=45)
def test_a_prediction_is_watched_and_downloaded_and_equals_the_commands(
    tmp_path: Path, serve: Serve, page: "Page"
) -> None:
    from playwright.sync_api import expect

    data = easy_competition(tmp_path / "data" / "easy", train_images=8, test_images=3)
    run, same = RunDir(tmp_path / "runs" / "페이지"), RunDir(tmp_path / "elsewhere" / "by-command")
    prepare(run, str(data), DataSettings(val_fraction=0.3))
    shutil.copytree(ROOT / "demo" / "model", run.model)
    shutil.copytree(run.root, same.root)
    questions = len(run.examples("test"))

    server, jobs = serve(tmp_path / "runs", tmp_path / "data"), Jobs(tmp_path / "runs" / ".page" / "jobs")
    open_tab(page, server, "predict", run=run.root.name, split="test")
    page.fill("#predict-batch-questions input", str(AT_ONCE))
    ready(page)
    page.click("#predict-start")
    status = page.locator("#predict-job-status")
    expect(status).to_contain_text(run.root.name)
    [job] = jobs.list()
    try:
        while not (run.predictions("test").is_file() and len(run.predictions("test").read_bytes().splitlines()) > 1):
            assert jobs.get(job.id).active, jobs.log_tail(job.id)
            time.sleep(0.02)
        process = JobFolder(jobs.folder / job.id).state().command
        assert process
        process.send(signal.SIGSTOP)  # or a fast machine would end before anybody looks
        expect(page.locator("#predict-newest .wb-cell").first).to_be_visible(timeout=WAIT_S * 1000)
        assert jobs.get(job.id).active, "answers are seen while it goes on"
        process.send(signal.SIGCONT)
        expect(status).to_be_hidden(timeout=WAIT_S * 1000)  # its end: what it made stands in its place
    finally:
        if active := JobFolder(jobs.folder / job.id).state().command:
            active.kill_group()
    assert jobs.get(job.id).status == "done", jobs.log_tail(job.id)
    expect(page.locator("#predict-answered")).to_contain_text(f"All {questions} questions are answered")
    ready(page)
    with page.expect_download() as download:
        page.click("#predict-download")
    received = Path(download.value.path()).read_bytes()
    assert received.count(b"\n") == questions + 1

    predict.main(["--run", str(same.root), "--split", "test", "--batch-questions", str(AT_ONCE)])
    submit.main(["--run", str(same.root)])
    assert received == same.submission.read_bytes()
