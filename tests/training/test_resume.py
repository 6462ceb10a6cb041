"""A resumed training has the plan of its checkpoint, or says what is another."""

import logging
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.support.tiny import TINY_TRAIN, tiny_run, tiny_vlm
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError, read_json, read_json_lines, write_json
from vqa_core.runs.checkpoints import MANIFEST, PLAN
from vqa_core.runs.run_dir import RunDir
from vqa_core.training import resume as resuming
from vqa_core.training.finetune import Outcome, finetune
from vqa_core.training.resume import rate_at
from vqa_core.training.task import TrainingTask

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = TINY_TRAIN | {"epochs": 1.0, "stage": "align"}


def train(run: RunDir, *, resume: bool = False, restart: bool = False, model: Any = None, **settings: Any) -> Outcome:
    chosen = TrainSettings(**SETTINGS | settings)
    task = TrainingTask.of_run(run, model or ModelSettings(), chosen, resume=resume, restart=restart)
    return finetune(task, tiny_vlm())


@pytest.fixture
def trained(tmp_path: Path) -> RunDir:
    run = tiny_run(tmp_path)
    train(run)
    return run


def contents(run: RunDir) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.root.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "other",
    [
        {"batch_questions": 3}, {"learning_rate": 1e-3}, {"accumulate": 2}, {"seed": 1}, {"questions_per_image": 1},
        {"scheduler": "linear"}, {"text_token_budget": 100}, {"weight_decay": 0.1}, {"warmup_ratio": 0.5},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_another_plan_is_refused_by_name_and_nothing_is_written(trained: RunDir, other: dict[str, Any]) -> None:
    before = contents(trained)
    (name,) = other
    flag = "--" + name.replace("_", "-")
    with pytest.raises(InputError, match=rf"other settings: {flag} .*--init-from .*checkpoint-\d+, or begin again"):
        train(trained, resume=True, **other)
    assert contents(trained) == before


def test_a_setting_of_the_model_is_part_of_the_plan(trained: RunDir) -> None:
    with pytest.raises(InputError, match=r"other settings: --instruction 'Answer briefly\.', not ''"):
        train(trained, resume=True, model=ModelSettings(instruction="Answer briefly."))


def test_what_may_change_takes_effect_and_the_steps_stay_the_same(tmp_path: Path) -> None:
    one, other = tiny_run(tmp_path / "1"), tiny_run(tmp_path / "2")
    train(one, max_steps=6)
    train(other, max_steps=3)
    train(other, resume=True, max_steps=6, log_every=2, save_every=2)
    ours = [row["step"] for row in read_json_lines(other.metrics) if "loss" in row]
    assert ours == [1, 2, 3, 4, 6]
    plans = [read_json(run.checkpoints / "checkpoint-6" / PLAN) for run in (one, other)]
    assert plans[0] == plans[1]
    recorded = other.read_config()["train"]
    assert (recorded["log_every"], recorded["save_every"], recorded["max_steps"]) == (2, 2, 6)


def test_the_same_plan_gives_the_same_weights_whatever_may_change(tmp_path: Path) -> None:
    one, other = tiny_run(tmp_path / "1"), tiny_run(tmp_path / "2")
    train(one, max_steps=6, scheduler="constant_with_warmup", warmup_ratio=0)
    train(other, max_steps=3, scheduler="constant_with_warmup", warmup_ratio=0)
    train(other, resume=True, max_steps=6, scheduler="constant_with_warmup", warmup_ratio=0, log_every=3, eval_every=0)
    ours, theirs = (load_file(run.checkpoints / "checkpoint-6" / "trained.safetensors") for run in (other, one))
    assert all(bool((ours[name] == theirs[name]).all()) for name in theirs)


def test_more_epochs_say_before_the_first_step_what_the_rate_will_be(
    trained: RunDir, caplog: pytest.LogCaptureFixture
) -> None:
    (last, *_) = sorted(trained.checkpoints.iterdir(), key=lambda path: -int(path.name.rpartition("-")[2]))
    done = int(last.name.rpartition("-")[2])
    with caplog.at_level(logging.INFO, logger="vqa"):
        outcome = train(trained, resume=True, epochs=2.0)
    (said,) = [record.getMessage() for record in caplog.records if "follows the new length" in record.getMessage()]
    settings = TrainSettings(**SETTINGS)
    assert f"planned for {done} steps, has done {done} and now goes on to {outcome.steps}" in said
    assert f"{rate_at(settings, done, done - 1):.1e} in the last step and is" in said
    assert f"is {rate_at(settings, outcome.steps, done):.1e} in the next" in said
    first = next(row for row in read_json_lines(trained.metrics) if row["step"] == done + 1)
    assert first["learning_rate"] == pytest.approx(rate_at(settings, outcome.steps, done))


def test_fewer_steps_than_are_done_are_refused(trained: RunDir) -> None:
    with pytest.raises(InputError, match=r"is at step \d+ already, and --epochs and --max-steps plan 2 steps"):
        train(trained, resume=True, max_steps=2)


def test_another_number_of_processes_is_another_plan(trained: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "process_count", lambda: 2)
    with pytest.raises(InputError, match="made by 1 processes, and this is a training of 2"):
        train(trained, resume=True)


def test_other_questions_are_another_plan(trained: RunDir) -> None:
    config = trained.read_config()
    write_json(trained.config, config | {"dataset": config["dataset"] | {"fingerprint": "other"}})
    with pytest.raises(InputError, match="trained on other questions"):
        train(trained, resume=True)


def test_a_checkpoint_of_an_older_version_is_held_against_the_settings_of_its_run(trained: RunDir) -> None:
    for checkpoint in trained.checkpoints.iterdir():
        (checkpoint / PLAN).unlink()
        manifest = read_json(checkpoint / MANIFEST)
        write_json(checkpoint / MANIFEST, {name: digest for name, digest in manifest.items() if name != PLAN})
    with pytest.raises(InputError, match="other settings: --batch-questions 3, not 5"):
        train(trained, resume=True, batch_questions=3)
    assert train(trained, resume=True).finished


def test_restart_sets_the_earlier_model_aside_once_the_new_training_is_sure_to_start(trained: RunDir) -> None:
    weights = (trained.model / "trained.safetensors").read_bytes()
    before = contents(trained)
    with pytest.raises(InputError):
        train(trained, restart=True, epochs=0.0)
    assert contents(trained) == before
    train(trained, restart=True, max_steps=1)
    assert (trained.root / "model.earlier-1" / "trained.safetensors").read_bytes() == weights
    assert read_json(trained.model / "vqa.json")["train"]["max_steps"] == 1
