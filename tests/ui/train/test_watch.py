"""A run that is trained in a terminal: the page tells of that, whatever its own jobs said of the run before."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ui.components.sentences import translate
from ui.components.words import Words
from ui.jobs.jobs import Job
from ui.predict import commands as predicting
from ui.train import watch as train_watch
from ui.train.plan import list_sources, preset_sections, start
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError, write_json, write_json_lines
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.run_lock import alone_in

T = Words("en")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    write_json(workspace.runs / "a" / "config.json", {})
    yield workspace
    for job in workspace.jobs.active():
        workspace.jobs.stop(job.id)


def over(workspace: Workspace, kind: str, *command: str) -> Job:
    """A job of the run `a` that has failed."""
    id = workspace.jobs.start(kind, "a", [("-c", "raise SystemExit(2)", *command)]).id
    deadline = time.monotonic() + 60
    while (job := workspace.jobs.get(id)).active:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert job.status == "failed"
    return job


def dated(path: Path, moment: float | None) -> None:
    """Let the file have been written then."""
    assert moment
    os.utime(path, (moment, moment))


def test_a_training_in_a_terminal_is_seen_after_a_job_that_failed(workspace: Workspace) -> None:
    run, job = RunDir(workspace.runs / "a"), over(workspace, "train")
    write_json(run.checkpoints / "checkpoint-3" / "trainer_state.json", {"max_steps": 9})
    write_json_lines(run.metrics, [{"step": 1, "loss": 2.0, "learning_rate": 1e-3, "seconds": 2.0}])

    dated(run.metrics, job.ended)  # the job's own work: it tells how it stands, and one may go on at once
    assert train_watch.last_job(workspace, "a") == job
    drawn = train_watch.draw_run(workspace, T, "a", job, "")
    assert (drawn["standing"], drawn["resume"].visible, drawn["timer"].active) == ({}, True, False)

    dated(run.metrics, job.ended + 10)  # the command was copied to a terminal
    assert train_watch.last_job(workspace, "a") is None
    drawn = train_watch.draw_run(workspace, T, "a", None, "")
    assert drawn["standing"]["title"] == "a is being trained outside this page"
    assert (drawn["resume"].visible, drawn["timer"].active) == (False, True)
    with pytest.raises(InputError, match="being trained outside"):
        train_watch.resume(workspace, T, {"run": "a"})


def test_answers_given_in_a_terminal_are_seen_after_a_job_that_failed(workspace: Workspace) -> None:
    job = over(workspace, "predict", "eval.predict", "--split", "val")
    answers = RunDir(workspace.runs / "a").predictions("val")
    assert predicting.last_job(workspace, "a", "val") == job
    write_json_lines(answers, [{}])
    dated(answers, job.ended)
    assert predicting.last_job(workspace, "a", "val") == job
    assert job.ended
    dated(answers, job.ended + 10)
    assert predicting.last_job(workspace, "a", "val") is None


def test_a_run_whose_lock_another_training_holds_is_neither_resumed_nor_started(workspace: Workspace) -> None:
    run = RunDir(workspace.runs / "a")
    write_json(run.checkpoints / "checkpoint-3" / "trainer_state.json", {"max_steps": 9})
    said = f"{run.root} is in use by process {os.getpid()} on "
    with alone_in(run), pytest.raises(InputError) as refused:
        train_watch.resume(workspace, T, {"run": "a"})
    assert said in str(refused.value)
    assert "실행에서는 학습을 한 번에 하나만" in translate(str(refused.value), Words("ko"))
    free = RunDir(workspace.runs / "b")
    free.root.mkdir()
    (source, *_) = list_sources(workspace).values()
    with alone_in(free), pytest.raises(InputError, match="is in use by process"):
        start(workspace, T, "b", source, "", preset_sections(""), "")
    assert not workspace.jobs.list()
