"""The form of Train in the address: what is typed is in it, and comes back from it; what can't be is said."""

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.support.tiny import tiny_competition
from ui.components.form import Form
from ui.components.parts import Drawn
from ui.components.tab import View
from ui.components.words import Words
from ui.train import tab as train
from ui.train.layout import draw_form
from ui.train.plan import Source, list_sources, preset_sections
from ui.train.view import FIRST_PRESET, NOTHING, draw_form_of_view, keep_form, keep_name, read_wish
from ui.train.wish import DEFAULTS, with_columns
from ui.workspace.workspace import Workspace
from vqa_core.config import DataSettings, ModelSettings, TrainSettings
from vqa_core.data.prepare import prepare
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.run_dir import RunDir

T, KO = Words("en"), Words("ko")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    tiny_competition(tmp_path / "data" / "toy")
    return Workspace(Path("runs"), Path("data"))


@pytest.fixture(scope="module")
def form() -> Form:
    with gr.Blocks(analytics_enabled=False):
        return draw_form(T)


def toy(workspace: Workspace) -> str:
    return next(key for key, source in list_sources(workspace).items() if source.name == "toy")


def entered(view: View, data: str, preset: str, name: str, settings: Drawn) -> Drawn:
    """What the form sends."""
    return {"view": view, "data": data, "preset": preset, "name": name, "way": "", **settings}


def test_what_differs_from_the_preset_is_in_the_address_and_comes_back(workspace: Workspace, form: Form) -> None:
    sections = {
        "data": DataSettings(question_column="질문"),
        "model": ModelSettings(vision_feature_layer=-1, instruction='a "b" & c'),
        "train": TrainSettings(epochs=3.0, learning_rate=1e-5, lora_targets=("q_proj", "v_proj"), tf32=True),
    }
    settings = form.show(sections)
    values = entered({"run": "x", "old": "y"}, toy(workspace), DEFAULTS, "내 것", settings)
    view = keep_form(workspace, form, values)
    assert view == {
        "run": "x", "data": toy(workspace), "preset": DEFAULTS, "name": "내 것", "question_column": "질문",
        "vision_feature_layer": "-1", "instruction": 'a "b" & c', "epochs": "3", "learning_rate": "1e-05",
        "lora_targets": "q_proj v_proj", "tf32": "true",
    }  # fmt: skip
    wish = read_wish(workspace, T, view)
    assert (wish.data, wish.preset, wish.name, wish.wrong) == (toy(workspace), DEFAULTS, "내 것", ())
    assert wish.chosen == sections
    values["view"] = view
    assert draw_form_of_view(workspace, T, form, values) is None
    untouched = form.show(preset_sections(FIRST_PRESET))
    assert draw_form_of_view(workspace, T, form, values | untouched) == settings
    # a form that nobody has touched leaves no trace
    assert keep_form(workspace, form, entered({}, "easy-vqa", FIRST_PRESET, "", untouched)) == {}


def test_an_emptied_setting_comes_back_empty(workspace: Workspace, form: Form) -> None:
    base = preset_sections("demo")
    sections = base | {"model": ModelSettings(**base["model"].to_dict() | {"projector": ""})}
    view = keep_form(workspace, form, entered({}, "easy-vqa", "demo", "", form.show(sections)))
    assert view == {"preset": "demo", "projector": NOTHING}
    assert read_wish(workspace, T, view).chosen == sections


def test_as_long_as_a_value_can_not_be_the_settings_stay(workspace: Workspace, form: Form) -> None:
    settings = form.show(preset_sections(FIRST_PRESET)) | {"train.epochs": -1}
    values = entered({"epochs": "2"}, "easy-vqa", FIRST_PRESET, "b", settings)
    view = keep_form(workspace, form, values)
    assert view == {"epochs": "2", "name": "b"}
    assert draw_form_of_view(workspace, T, form, values | {"view": view}) is None


def test_what_can_not_be_in_an_address_is_said_and_left_out(workspace: Workspace) -> None:
    odd: dict[str, Any] = {
        "data": "../x", "preset": "<b>", "epochs": "-1", "max_steps": "many", "tf32": "perhaps", "stage": "all",
        "trust_remote_code": "some/model", "nonsense": "1", "lora_rank": "4", "learning_rate": "nan",
    }  # fmt: skip
    for t in (T, KO):
        wish = read_wish(workspace, t, odd)
        assert len(wish.wrong) == len(odd) - 1
        assert (wish.data, wish.preset) == ("easy-vqa", FIRST_PRESET)
        assert wish.chosen["train"] == TrainSettings(
            **preset_sections(FIRST_PRESET)["train"].to_dict() | {"lora_rank": 4}
        )
        said = train.draw_head(workspace, t, odd)["lost"]
        assert said["mark"] == "wrong"
        assert "nonsense" in said["text"]
    assert not any("Choose" in line or "takes" in line for line in wish.wrong), "Korean all of it"


def test_a_prepared_run_needs_neither_data_nor_name_in_its_address(workspace: Workspace) -> None:
    prepare(RunDir(workspace.runs / "a"), "data/toy", DataSettings())
    wish = read_wish(workspace, T, {"run": "a"})
    assert (wish.data, wish.name) == (toy(workspace), "a")
    assert keep_name(workspace, {"run": "a"}, "a") == {"run": "a"}
    cleared = keep_name(workspace, {"run": "a"}, "")
    assert read_wish(workspace, T, cleared).name == ""


def test_a_datasets_columns_fill_the_form_that_of_the_picture_too() -> None:
    columns = ColumnMap("id", "img", "q", "a", "picture")
    named = with_columns(preset_sections(FIRST_PRESET), Source("k", "n", "x", Path("x"), columns=columns))["data"]
    assert isinstance(named, DataSettings)
    assert (named.image_column, named.question_column) == ("picture", "q")
