"""Runs made by version 0.1.0, before the modules moved into packages, go on as if nothing had happened.

tests/support/old_runs/ holds `stopped` (killed at step 20 of 60), `done` (its test split answered by more than half,
then killed; its submission is that of all answers) and a job that the page ran. `/before` stands for the folder they
were made in.
"""

import shutil
from pathlib import Path

import pytest

from eval import predict, score, submit
from tests.support import OLD_RUNS
from tests.support.tiny import losses, tiny_competition, tiny_parts
from train import finetune
from ui.workspace.workspace import Workspace
from vqa_core.files import read_json, read_json_lines
from vqa_core.runs.run_dir import RunDir

PREDICT = ["--precision", "fp32", "--max-new-tokens", "6", "--batch-questions", "4"]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(OLD_RUNS, tmp_path / "runs")
    for path in (tmp_path / "runs").rglob("*.json"):
        path.write_text(path.read_text(encoding="utf-8").replace("/before", str(tmp_path)), encoding="utf-8")
    tiny_competition(tmp_path / "data/toy", train_images=10, test_images=4)
    tiny_parts(tmp_path / "parts")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_a_prediction_goes_on_and_its_submission_is_the_same(runs: Path) -> None:
    run = RunDir(runs / "done")
    before, submission = run.predictions("test").read_text(encoding="utf-8"), run.submission.read_bytes()
    predict.main(["--run", "runs/done", "--split", "test", *PREDICT])
    assert run.predictions("test").read_text(encoding="utf-8").startswith(before)
    submit.main(["--run", "runs/done"])
    now, then = run.submission.read_bytes().splitlines(), submission.splitlines()
    assert len(now) == len(then)
    for line, old in zip(now, then, strict=True):
        half = old.decode().endswith("\ufffd")  # a part of a character, which is no answer any more
        assert line == old or half


def test_a_score_is_the_same(runs: Path) -> None:
    run = RunDir(runs / "done")
    before = read_json(run.score)
    score.main(["--run", "runs/done", "--split", "val"])
    assert read_json(run.score) == before


def test_a_stopped_training_is_resumed_from_its_checkpoint(runs: Path) -> None:
    run = RunDir(runs / "stopped")
    before = list(read_json_lines(run.metrics))
    finetune.main(["--run", "runs/stopped", "--resume"])
    assert list(read_json_lines(run.metrics))[: len(before)] == before
    assert list(losses(run)) == list(range(1, 61))
    assert run.has_model


def test_the_page_shows_its_model_its_submission_and_its_job(runs: Path) -> None:
    workspace = Workspace(runs, runs.parent / "data")
    assert workspace.models.names()[:1] == ["done"]
    (job,) = workspace.jobs.list()
    assert (job.run, job.status) == ("done", "done")
    with workspace.models.engine("done") as engine:
        assert engine.vlm.settings.vision_tower == "parts/tower"
