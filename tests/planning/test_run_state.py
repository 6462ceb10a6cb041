"""What a run's folder holds for somebody who wants to train in it, read from its files alone."""

import shutil
from pathlib import Path

import pytest

from tests.support.tiny import tiny_competition
from vqa_core.config import DataSettings
from vqa_core.data.prepare import prepare
from vqa_core.files import InputError, write_json, write_json_lines
from vqa_core.locks import try_lock
from vqa_core.planning.run_state import RunState, can_resume, checkpoint_progress, discard_training, inspect_run
from vqa_core.runs.checkpoints import PLAN
from vqa_core.runs.run_dir import RunDir

DATA = DataSettings(val_fraction=0.2)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run that is prepared and not trained."""
    run = RunDir(tmp_path / "runs" / "a")
    prepare(run, str(tiny_competition(tmp_path / "toy")), DATA)
    return run


def checkpoint(run: RunDir, step: int, steps: int = 9) -> None:
    """A checkpoint, as far as its step is concerned."""
    write_json(run.checkpoints / f"checkpoint-{step}" / "trainer_state.json", {"max_steps": steps})


def inspect(run: RunDir, data: DataSettings = DATA) -> RunState:
    return inspect_run(run, run.root.parent.parent / "toy", data)


def test_a_folder_is_free_until_something_else_lies_in_it(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs" / "a")
    assert inspect(run) == RunState("free")
    run.root.mkdir(parents=True)
    assert inspect(run) == RunState("free")
    (run.root / "notes.txt").write_text("mine", encoding="utf-8")
    assert inspect(run) == RunState("files", ("anew",))
    write_json_lines(run.predictions("test"), [{}])
    assert inspect(run) == RunState("trained_other")


def test_what_an_interrupted_preparation_leaves_keeps_a_folder_free(run: RunDir) -> None:
    run.drop_section("dataset")
    assert run.unanswered.is_file()
    assert inspect(run) == RunState("free")


def test_a_prepared_run_names_its_data(run: RunDir) -> None:
    questions = len(run.examples("train"))
    assert inspect(run) == RunState("prepared", (), str(run.data_root()), questions)


@pytest.mark.parametrize(("step", "ways"), [(3, ("resume", "restart")), (9, ("restart",))])
def test_a_training_is_resumed_unless_it_is_finished(step: int, ways: tuple[str, ...], run: RunDir) -> None:
    checkpoint(run, step)
    state = inspect(run)
    assert (state.kind, state.ways, state.step) == ("trained", ways, step)
    assert can_resume(run) is ("resume" in ways)


def test_a_model_without_checkpoints_can_only_be_started_over(run: RunDir) -> None:
    run.model.mkdir()
    state = inspect(run)
    assert (state.kind, state.ways, state.step) == ("trained", ("restart",), 0)


def test_another_split_another_folder_or_changed_tables_are_other_data(run: RunDir, tmp_path: Path) -> None:
    other = (inspect(run, DataSettings(val_fraction=0.3)), inspect_run(run, tmp_path / "elsewhere", DATA))
    assert [(state.kind, state.ways) for state in other] == [("other", ("anew",))] * 2
    table = tmp_path / "toy" / "train.csv"
    table.touch()
    assert inspect(run).kind == "prepared"
    table.write_bytes(table.read_bytes().rstrip().rpartition(b"\n")[0] + b"\n")
    assert inspect(run).kind == "other"


@pytest.mark.parametrize("made", ["model", "predictions"])
def test_other_data_are_not_put_under_a_model_or_predictions(made: str, run: RunDir) -> None:
    (run.root / made).mkdir()
    state = inspect(run, DataSettings(val_fraction=0.3))
    assert (state.kind, state.ways) == ("trained_other", ())


@pytest.mark.parametrize("damage", [{"root": 7}, {"root": None}, {"questions": []}, {"source": None}])
def test_a_damaged_record_is_no_error(damage: dict[str, object], run: RunDir) -> None:
    run.write_section("dataset", run.read_config()["dataset"] | damage)
    assert inspect(run).kind == ("other" if "root" in damage else "prepared")


def test_progress_is_that_of_the_newest_checkpoint_that_can_be_read(run: RunDir) -> None:
    assert checkpoint_progress(run) is None
    assert not can_resume(run)
    checkpoint(run, 3)
    checkpoint(run, 6)
    assert checkpoint_progress(run) == (6, 9)
    (run.checkpoints / "checkpoint-6" / "trainer_state.json").write_text("{")
    assert checkpoint_progress(run) == (3, 9)
    shutil.rmtree(run.checkpoints)
    assert checkpoint_progress(run) is None


def test_a_training_at_its_last_step_without_its_model_is_resumed(run: RunDir) -> None:
    checkpoint(run, 9)
    write_json(run.checkpoints / "checkpoint-9" / PLAN, {})
    assert can_resume(run)
    write_json(run.model / "vqa.json", {"trained": {"steps": 6}})
    (run.model / "trained.safetensors").touch()
    assert can_resume(run), "the model is that of the end before"
    write_json(run.model / "vqa.json", {"trained": {"steps": 9}})
    assert not can_resume(run)


def test_what_an_earlier_model_has_made_is_set_aside_with_it_under_one_number(run: RunDir) -> None:
    def make() -> None:
        for path in run.of_model():
            path.mkdir() if not path.suffix else path.touch()

    made = {path.name for path in run.of_model()}
    (run.root / "results.earlier-1.json").touch()
    for number in (2, 3):
        make()
        discard_training(run)
        names = {path.name for path in run.root.iterdir()}
        assert {name.replace(f".earlier-{number}", "") for name in names if f".earlier-{number}" in name} == made
    assert not [path for path in run.of_model() if path.exists()]


def test_answers_that_are_being_written_are_not_set_aside(run: RunDir) -> None:
    checkpoint(run, 3)
    path = run.predictions("test")
    path.parent.mkdir()
    lock = try_lock(path)
    assert lock
    with lock, pytest.raises(InputError, match=r"test\.jsonl is being written by another process"):
        discard_training(run)
    assert checkpoint_progress(run) == (3, 9)
