"""RunDir: a value that names files, creates none before something is written, and says what is missing."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vqa_core.files import InputError, read_json
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.run_dir import RunDir, list_runs, with_model


def test_naming_a_run_creates_nothing(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs" / "mine")
    values = [getattr(run, name) for name in dir(RunDir) if isinstance(getattr(RunDir, name), property)]
    named = [value for value in values if isinstance(value, Path)]
    assert [value for value in values if value not in named] == [False, "mine"]  # has_model, name
    assert all(run.root in path.parents for path in [*named, run.predictions("val")])
    assert len({*named, run.predictions("val"), run.predictions("test")}) == len(named) + 2
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_a_name_wherever_it_is_named_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert RunDir(Path(".")).name == "mine"


def test_stages_write_their_sections_beside_each_other(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "mine")
    run.write_section("dataset", {"root": "/data", "source": "none"})
    run.write_section("train", {"seed": 1})
    run.write_section("train", {"seed": 2})
    assert run.read_config() == {"dataset": {"root": "/data", "source": "none"}, "train": {"seed": 2}}
    assert run.data_root() == Path("/data")
    run.drop_section("dataset")
    assert read_json(run.config) == {"train": {"seed": 2}}
    with pytest.raises(InputError, match=r"has no data.*python -m train\.prepare --data DIR --run"):
        run.data_root()


def test_a_folder_that_is_no_run_is_said_with_the_command_that_makes_one(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "nowhere")
    for ask in (run.read_config, run.data_root, lambda: run.examples("train")):
        with pytest.raises(InputError, match=rf"python -m train\.prepare --data DIR --run {run.root}"):
            ask()
    run.drop_section("dataset")
    assert not run.root.exists()


@pytest.mark.parametrize(
    "text", ['{"dataset": {}}', '{"dataset": null}', '{"dataset": {"root": null}}', "[1]", '"x"', "null"]
)
def test_a_damaged_config_is_a_sentence_that_names_the_file(tmp_path: Path, text: str) -> None:
    run = RunDir(tmp_path)
    run.config.write_text(text)
    with pytest.raises(InputError, match=rf"{run.config} is damaged.*python -m train\.prepare"):
        run.data_root()


def test_the_examples_of_a_split_are_read(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    given = [Example("1", "a", "a.png", "?", "none")]
    write_examples(run.val, given)
    assert run.examples("val") == given


def test_runs_are_listed_newest_first_and_other_folders_are_not(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "middle", "oldest")):
        RunDir(tmp_path / name).write_section("data", {})
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    (tmp_path / "other").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["newest", "middle", "oldest"]
    assert list(list_runs(tmp_path / "missing")) == []


def test_two_stages_that_write_their_sections_at_once_lose_none(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "mine")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: run.write_section(f"s{number}", {"n": number}), range(24)))
    assert run.read_config() == {f"s{number}": {"n": number} for number in range(24)}


def test_what_a_model_was_trained_with_stands_in_its_own_folder() -> None:
    config = {"dataset": {}, "model": {"projector": "new"}, "train": {"seed": 2}}
    described = {"model": {"projector": "old"}, "train": {"seed": 1}, "stage": {"name": "lora"}}
    assert with_model(config, described) == {"dataset": {}, "model": {"projector": "old"}, "train": {"seed": 1}}
    assert with_model({"dataset": {}}, described) == {"dataset": {}}, "a run that has not trained it"
    assert with_model(config, {"model": {"projector": "old"}, "stage": {"name": "lora"}}) == config, "an older folder"
    assert with_model(config, {"stage": {"name": "base"}}) == {"dataset": {}, "model": {"projector": "new"}}
    assert with_model(config, {}) == config
