"""The settings of every stage, and the presets in configs/."""

import argparse
import json
from dataclasses import fields
from pathlib import Path

import pytest

from vqa_core import ROOT
from vqa_core.benchmarks.settings import GpuBench, InferBench, PrepareBench, RecipeBench, TrainBench
from vqa_core.config import SECTIONS, read_config, settings_of
from vqa_core.files import InputError
from vqa_core.settings import Settings, add_arguments, flag_of

PRESETS = sorted((ROOT / "configs").glob("*.json"))
KINDS = [*SECTIONS.values(), InferBench, TrainBench, PrepareBench, RecipeBench, GpuBench]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_read_into_settings_that_build_a_model(path: Path) -> None:
    from vqa_core.model.projectors import PROJECTORS
    from vqa_core.prompts.styles import PROMPT_STYLES

    config = read_config(path)
    for name, kind in SECTIONS.items():
        assert config.get(name, {}).items() <= settings_of(kind, config, {}).to_dict().items()
    assert config["model"]["projector"] in PROJECTORS
    assert config["model"]["prompt_style"] in PROMPT_STYLES
    assert json.loads(path.read_text())["_about"], "a preset says what it is for"


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_help_and_a_flag_of_its_name(kind: type[Settings]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, kind)
    actions = {action.dest: action for action in parser._actions if action.dest != "help"}
    assert list(actions) == [item.name for item in fields(kind)]
    for item in fields(kind):
        assert item.metadata["help"].strip()
        assert flag_of(item.name) in actions[item.name].option_strings


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_within_the_limits_and_come_back_from_their_record(kind: type[Settings]) -> None:
    assert kind(**kind().to_dict()) == kind()


def test_data_model_and_training_settings_share_no_flag_so_that_a_command_may_take_them_together() -> None:
    names = [item.name for section in ("data", "model", "train") for item in fields(SECTIONS[section])]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"trian": {}}, "'trian' is not a section. Sections are data, model, train, predict, each an object."),
        ({"train": 3}, "'train' is not a section"),
        ([1], "is not a section"),
    ],
)
def test_what_is_no_config_is_refused_with_the_sections_there_are(content: object, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        read_config(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_an_unknown_setting_of_a_config_is_refused_with_the_nearest_there_is(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"_note": "text", "train": {"lerning_rate": 1}}')
    with pytest.raises(InputError, match=r"no setting 'lerning_rate'\. Did you mean 'learning_rate'"):
        settings_of(SECTIONS["train"], read_config(path), {})


def test_no_config_at_all_means_the_defaults() -> None:
    assert settings_of(SECTIONS["train"], read_config(None), {}) == SECTIONS["train"]()
