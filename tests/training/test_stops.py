"""A training that is asked to stop does so within seconds, wherever that falls, and loses nothing."""

import os
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.paused import START_METHOD
from tests.support.processes import TIMEOUT_S, forked, run_forked
from tests.support.tiny import TINY_TRAIN, losses, tiny_run, tiny_vlm
from tests.support.trainings import assert_same_training, checkpoints, end, training_flags, when
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import read_json, read_json_lines
from vqa_core.runs.checkpoints import PLAN, problem_with
from vqa_core.runs.run_dir import RunDir
from vqa_core.training import finetune as finetuning
from vqa_core.training.finetune import Outcome, finetune
from vqa_core.training.task import TrainingTask

pytestmark = pytest.mark.slow

STEPS = 12  # validated at step 8 and at the end, saved at 3, 6, 8, 9 and 12
LONG_S = 60  # of a pause that nothing waits for
SOON_S = 30  # far less; on a machine that is busy with other tests


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return training_flags(tmp_path_factory.mktemp("parts"), max_steps=STEPS)


@pytest.fixture(scope="module")
def undisturbed(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("undisturbed")
    run = tiny_run(folder)
    assert run_forked("train.finetune", "--run", run.root, *arguments, output=folder / "output") == 0
    return run


def start(
    run: RunDir, args: list[str], place: str, *, seconds: float = LONG_S, session: bool = False, method: str = "fork"
) -> ForkServerProcess:
    """A training that has come to the place and pauses there."""
    mark = run.root.with_name("mark")
    mark.unlink(missing_ok=True)
    given = [place, mark, seconds, "--run", run.root, *args]
    place_of_output, env = run.root.with_name("output"), {START_METHOD: method}
    process = forked("tests.support.paused", *given, output=place_of_output, env=env, session=session)
    when(mark.exists, process)
    return process


def output(run: RunDir) -> str:
    return run.root.with_name("output").read_text()


def go_on(run: RunDir, *args: object) -> None:
    code = run_forked("train.finetune", "--run", run.root, *args, output=run.root.with_name("output"))
    assert code == 0, output(run)


@pytest.mark.parametrize("place", ["reading", "loading", "measuring", "starting"])
def test_before_the_first_step_it_ends_at_once_and_has_written_nothing_to_go_on_from(
    place: str, arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    process = start(run, arguments, place)
    asked = time.monotonic()
    assert end(process, signal.SIGTERM) == 143
    assert time.monotonic() - asked < SOON_S
    assert "Stopped before the first step. Give the same command again." in output(run)
    assert "Traceback" not in output(run)
    go_on(run, *arguments)
    assert_same_training(run, undisturbed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_validation_is_cut_short_and_made_up_for_before_the_next_step(
    number: signal.Signals, code: int, arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    process = start(run, arguments, "validation")
    assert checkpoints(run)[-1] == 8, "it was saved before it is validated"
    asked = time.monotonic()
    assert end(process, number) == code
    assert time.monotonic() - asked < SOON_S
    assert f"Stopped at step 8 of {STEPS}. Give the same command with --resume to go on." in output(run)
    assert not [row for row in read_json_lines(run.metrics) if "eval_accuracy" in row]
    go_on(run, "--resume")
    assert_same_training(run, undisturbed)  # and so the validation stands before step 9


def test_a_kill_in_a_validation_loses_nothing_and_again_none_in_the_one_that_makes_up_for_it(
    arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    assert end(start(run, arguments, "validation"), signal.SIGKILL) == -signal.SIGKILL
    assert end(start(run, ["--resume"], "validation"), signal.SIGKILL) == -signal.SIGKILL
    assert end(start(run, ["--resume"], "validation"), signal.SIGTERM) == 143
    assert checkpoints(run)[-1] == 8, "no step was done before the validation that is due"
    assert f"Stopped at step 8 of {STEPS}." in output(run)
    go_on(run, "--resume")
    assert_same_training(run, undisturbed)


@pytest.mark.parametrize(("place", "last"), [("validation:2", "validated"), ("model", "written")])
def test_stopped_after_the_last_step_it_is_finished_by_the_next_command(
    place: str, last: str, arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    process = start(run, arguments, place)
    assert end(process, signal.SIGTERM) == 143
    assert f"Stopped at step {STEPS} of {STEPS}. Give the same command with --resume" in output(run)
    assert not run.model.exists()
    assert not [path.name for path in run.root.iterdir() if path.name.endswith(".tmp")]
    validated = [row["step"] for row in read_json_lines(run.metrics) if "eval_accuracy" in row]
    assert validated == ([8] if last == "validated" else [8, STEPS])
    go_on(run, "--resume")
    assert_same_training(run, undisturbed)


def test_what_is_being_saved_is_saved(arguments: list[str], undisturbed: RunDir, tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    process = start(run, arguments, "saving:2", seconds=1)
    assert end(process, signal.SIGTERM) == 143
    assert "Got SIGTERM: finishing this step, then saving." in output(run)
    # the request comes after the step was done, so another one follows
    assert checkpoints(run)[-1] in (6, 7)
    assert all(problem_with(path) is None for path in run.checkpoints.glob("checkpoint-*"))
    go_on(run, "--resume")
    assert_same_training(run, undisturbed)


def test_a_second_signal_ends_it_at_once_and_two_in_one_moment_are_one(
    arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    process = start(run, arguments, "saving:2")
    assert process.pid
    for pause in (0.0, 2.0):  # `timeout` signals the process and then its group
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(pause)
        assert process.is_alive()
    asked = time.monotonic()
    assert end(process, signal.SIGINT) == 130
    assert time.monotonic() - asked < SOON_S
    assert "stopped at once." in output(run)
    assert checkpoints(run) == [3]
    go_on(run, "--resume")
    assert_same_training(run, undisturbed)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("place", ["step:4", "validation"])
def test_a_signal_to_the_whole_group_reaches_no_worker(
    place: str, method: str, arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    seconds = LONG_S if place == "validation" else 1
    args = [*arguments, "--workers", "2"]
    process = start(run, args, place, session=True, seconds=seconds, method=method)
    assert process.pid
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    os.killpg(process.pid, signal.SIGTERM)
    process.join(TIMEOUT_S)
    assert process.exitcode == 143, output(run)
    assert "Traceback" not in output(run)
    assert "Stopped at step" in output(run)
    _, left = psutil.wait_procs(workers, timeout=SOON_S)
    assert not left
    go_on(run, "--resume", "--workers", 0)
    assert_same_training(run, undisturbed)


def test_workers_end_with_a_training_that_is_killed(arguments: list[str], tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    process = start(run, [*arguments, "--workers", "2"], "step:4")
    assert process.pid
    workers = psutil.Process(process.pid).children(recursive=True)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    _, left = psutil.wait_procs(workers, timeout=SOON_S)
    assert not left


def test_restarted_and_stopped_it_ends_with_an_error_and_no_old_model_stands_beside_the_new_settings(
    arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    go_on(run, *arguments, "--max-steps", 2)
    weights = (run.model / "trained.safetensors").read_bytes()
    for path in (run.predictions("test"), run.score, run.submission):
        path.parent.mkdir(exist_ok=True)
        path.write_text("made with it")
    process = start(run, [*arguments, "--restart"], "step:5", seconds=1)
    assert end(process, signal.SIGTERM) == 143
    assert "Give the same command with --resume in place of --restart to go on." in output(run)
    assert not [path for path in run.of_model() if path.exists()]
    assert (run.root / "model.earlier-1" / "trained.safetensors").read_bytes() == weights
    assert (run.root / "predictions.earlier-1" / "test.jsonl").read_text() == "made with it"
    assert {"score.earlier-1.json", "submission.earlier-1.csv"} <= {path.name for path in run.root.iterdir()}
    assert run.read_config()["train"]["max_steps"] == STEPS
    go_on(run, *arguments, "--resume")
    assert_same_training(run, undisturbed)


def train(run: RunDir, *, resume: bool = False, **settings: Any) -> Outcome:
    chosen = TrainSettings(**TINY_TRAIN | {"max_steps": 10, "eval_every": 2, "save_every": 5} | settings)
    return finetune(TrainingTask.of_run(run, ModelSettings(), chosen, resume=resume), tiny_vlm())


@pytest.mark.parametrize("stopped", [2, 4, 6, 8, 10])
def test_the_same_step_is_the_best_whichever_validation_was_cut_short(
    stopped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = {2: 0.5, 4: 0.9, 6: 0.7, 8: 0.2, 10: 0.3}
    step, cuts = 2, [stopped]

    def validate() -> dict[str, float]:
        nonlocal step
        if step in cuts:
            cuts.remove(step)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)
        step += 2
        return {"accuracy": accuracies[step - 2], "questions": 9}

    monkeypatch.setattr(finetuning, "validator", lambda *_: validate)
    run = tiny_run(tmp_path)
    assert train(run) == Outcome(False, stopped, 10, {})
    assert read_json(run.checkpoints / f"checkpoint-{stopped}" / PLAN)["validates"]
    outcome = train(run, resume=True)
    assert outcome == Outcome(True, 10, 10, {"accuracy": 0.9, "questions": 9})
    assert read_json(run.model / "vqa.json")["trained"]["step"] == 4
    assert checkpoints(run) == [4, 10]
    rows = list(read_json_lines(run.metrics))
    assert [row["step"] for row in rows if "eval_accuracy" in row] == [2, 4, 6, 8, 10]
    assert list(losses(run)) == list(range(1, 11))
