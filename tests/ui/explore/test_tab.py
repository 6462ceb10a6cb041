"""The Explore tab's handlers, called without a browser."""

import shutil
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.support.tiny import tiny_competition, tiny_run
from ui.components.tab import Page, View
from ui.components.wiring import Wiring
from ui.components.words import LANGUAGES, Words
from ui.explore import tab as explore
from ui.explore.panel import draw_sample
from ui.explore.scene import Scene, quoted, scene_of, unquoted
from ui.workspace.datasets import IndexStatus
from ui.workspace.index_job import IndexState
from ui.workspace.workspace import Workspace
from vqa_core.data.index import selection as data_selection
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.tags import Tags

T = Words("en")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run `one` with predictions for its validation questions, and another dataset without a run."""
    folder = tmp_path_factory.mktemp("explore")
    workspace = Workspace(folder / "runs", folder / "data")
    run = tiny_run(folder / "first", train_images=60)
    shutil.copytree(run.root, workspace.runs / "one")
    shutil.copytree(folder / "first" / "data", workspace.data / "second")
    val = workspace.run("one").examples("val")
    with PredictionLog.open(workspace.run("one").predictions("val")) as log:
        log.append(Prediction(e.question_id, "yes", "yes", 0.75) for e in val)
    Tags(workspace.run("one")).toggle(val[0].question_id, "ambiguous")
    deadline = time.monotonic() + 60
    while any(workspace.datasets.update_index(dataset).state for dataset in workspace.datasets.all()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return workspace


def scene(workspace: Workspace, **view: str) -> Scene:
    return scene_of(workspace, T, view)


def drawn(workspace: Workspace, **view: str) -> dict[str, Any]:
    return explore.draw(workspace, T, scene(workspace, **view))


def keys(drawn: dict[str, Any]) -> list[str]:
    return [cell["key"] for cell in drawn["gallery"]["cells"]]


def test_the_address_of_a_page_shows_the_same_page_again(workspace: Workspace) -> None:
    first = scene(workspace, run="one")
    second = scene_of(workspace, T, explore.turn_page(1, first))
    assert second.view == {"run": "one", "data": first.view["data"], "page": "2"}
    again = explore.draw(workspace, T, scene_of(workspace, T, second.view))
    assert keys(again) == keys(explore.draw(workspace, T, second)) == [str(number) for number in range(24, 48)]
    assert scene_of(workspace, T, explore.turn_to(second, 1e8)).page == 3
    assert scene_of(workspace, T, explore.turn_to(second, None)).page == 1


def test_a_filter_is_set_by_one_click_and_taken_away_by_the_next(workspace: Workspace) -> None:
    view = explore.toggle_filter({"run": "one", "page": "2", "sample": "3"}, "split", "val")
    assert view == {"run": "one", "split": "val"}
    shown = drawn(workspace, **view)
    val = workspace.run("one").examples("val")
    assert len(keys(shown)) == len({example.image for example in val})
    [chosen] = [row for row in shown["split"]["value"]["rows"] if row["chosen"]]
    assert (chosen["key"], chosen["text"]) == ("val", f"{len(val):,}")
    assert explore.toggle_filter(view, "split", "val") == {"run": "one"}
    assert explore.clear_filters(view | {"q": "x", "answer": "no"}) == {"run": "one"}
    assert explore.with_run(view | {"tag": "ambiguous", "q": "is"}, "") == {"q": "is"}


def test_a_list_that_is_not_whole_says_how_many_are_missing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drawn(workspace, run="one", q="i")["answer"]["value"]["rows"]
    assert all("key" in row for row in whole)
    monkeypatch.setattr(data_selection, "SHOWN", 2)
    rows = drawn(workspace, run="one", q="is")["answer"]["value"]["rows"]
    assert [row["key"] for row in rows[:2]]
    assert rows[2:] == [{"label": f"… and {len(whole) - 2} more (use the search)"}]


@pytest.mark.parametrize("answer", ["", '"', '""', "yes", '"yes"', " ", "001"])
def test_every_answer_can_be_an_address(answer: str) -> None:
    assert quoted(answer)
    assert unquoted(quoted(answer)) == answer


def test_a_sample_shows_all_its_questions_and_what_the_run_said(workspace: Workspace) -> None:
    val = workspace.run("one").examples("val")
    image = val[0].image
    mine = [example for example in val if example.image == image]
    shown = drawn(workspace, run="one", split="val", sample=val[0].question_id)  # as another tab names a sample
    assert shown["detail"].visible
    rows = shown["facts"]["rows"]
    assert [(row[0], row[1]) for row in rows] == [(example.question, example.answer) for example in mine]
    assert shown["facts"]["marks"] == ["right" if example.answer == "yes" else "wrong" for example in mine]
    assert {row[3][2:] for row in rows} == {"75.0%"}
    assert {row[-1] for row in rows} == {"Ambiguous", ""}
    assert "/picture/2048/" in shown["picture"]["value"]["src"]
    assert "/picture/16383/" in shown["picture"]["value"]["whole"]
    [ask, _] = shown["links"]["links"]
    number = int(ask["view"]["sample"])
    assert workspace.datasets.image_path(ask["view"]["data"], number) == workspace.run("one").data_root() / image


def test_steps_go_from_sample_to_sample_of_the_filter_and_stop_at_its_ends(workspace: Workspace) -> None:
    here = scene(workspace, run="one", split="val")
    assert here.selection is not None
    wanted = [str(number) for number in here.selection.images]
    here = scene_of(workspace, T, here.view | {"sample": wanted[0]})
    walked = []
    for _ in wanted:
        assert here.image is not None
        walked.append(str(here.image.number))
        here = scene_of(workspace, T, explore.step_to(1, here))
    assert walked == wanted
    assert here.view["sample"] == wanted[-1]
    assert not draw_sample(workspace, T, here)["next"].interactive


@pytest.mark.parametrize(
    "view",
    [
        {"data": "../etc", "run": "no such run"},
        {"page": "9999", "sample": "9999", "data": "nonsense"},
        {"page": "-1", "sample": "\ud800", "q": "\ud800\0"},
        {"split": "x", "type": "x", "answer_type": "x", "answer": '"\\', "tag": "x", "finding": "x", "length": "x"},
        {"run": "<script>", "sample": "٣", "page": "²"},
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_nonsense_in_an_address_is_drawn_without_an_error(workspace: Workspace, view: View, language: str) -> None:
    here = scene_of(workspace, Words(language), view)
    explore.draw(workspace, Words(language), here)
    assert here.image is None
    assert bool(here.notices) == bool({"data", "run", "sample"} & view.keys())
    assert scene_of(workspace, Words(language), here.view).notices == ()


def test_a_damaged_file_of_a_run_is_told_and_the_data_shown(workspace: Workspace) -> None:
    run = workspace.run("one")
    kept = run.tags.read_text(encoding="utf-8")
    run.tags.write_text("{")
    try:
        here = scene(workspace, run="one")
        assert "tags.json" in here.notices[0]
        assert keys(explore.draw(workspace, T, here))
    finally:
        run.tags.write_text(kept, encoding="utf-8")


def test_every_column_that_a_dataset_may_name_has_a_field(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    folder = tiny_competition(tmp_path / "odd", train_images=2, test_images=1)
    typed = [f" {field.name}" for field in fields(ColumnMap)]
    view = explore.open_data(workspace, {"path": str(folder), **dict(zip(explore.COLUMN_FIELDS, typed, strict=True))})
    assert asdict(workspace.datasets.get(view["data"]).columns) == {name.strip(): name for name in typed}
    with gr.Blocks(analytics_enabled=False):
        parts = explore.lay_out(T, "explore")
    placeholders = {name: parts[field].placeholder for field, name in explore.COLUMN_FIELDS.items()}
    assert placeholders == asdict(ColumnMap())


def test_what_went_wrong_unforeseen_says_where_its_log_is(workspace: Workspace) -> None:
    here = scene(workspace)
    assert here.dataset is not None
    failed = replace(here, status=IndexStatus(None, IndexState("failed")))
    text = explore.draw(workspace, T, failed)["status"]["value"]["text"]
    assert f"indexes/{here.dataset.key}/log.txt" in text
    assert (workspace.cache / "indexes" / here.dataset.key / "log.txt").is_file()


def test_without_a_dataset_there_is_one_button(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    shown = drawn(workspace, sample="3")
    assert (shown["empty"].visible, shown["choice"].visible, shown["body"].visible) == (True, False, False)
    with pytest.raises(InputError):
        explore.open_data(workspace, {"path": "", **dict.fromkeys(explore.COLUMN_FIELDS, "")})
    view = explore.open_demo(workspace)
    shown = drawn(workspace, **view)
    assert shown["timer"].active
    assert not shown["body"].visible
    deadline = time.monotonic() + 120
    while scene_of(workspace, T, view).status.state:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    shown = drawn(workspace, **view)
    assert not shown["timer"].active
    assert shown["found"] == "All **5,000** images · 48,248 questions"
    assert shown["findings"]["rows"] == []


def test_a_view_draws_every_part_of_the_tab(workspace: Workspace, tmp_path: Path) -> None:
    for shown in (workspace, Workspace(tmp_path / "runs", tmp_path / "data")):
        with gr.Blocks(analytics_enabled=False):
            tab = explore.build(Page(shown, T, Wiring(T)))
        for view in ({}, {"run": "one"}, {"run": "one", "sample": "TRAIN_00000"}):
            assert tab.parts.checked(tab.show(view))


def test_options_stand_below_their_question(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    workspace.runs.mkdir()
    (workspace.data / "mc").mkdir(parents=True)
    (workspace.data / "mc/train.csv").write_text("ID,image_id,question,A,B,answer\n0,a,which?,red,teal,B\n", "utf-8")
    deadline = time.monotonic() + 60
    while any(workspace.datasets.update_index(dataset).state for dataset in workspace.datasets.all()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shown = drawn(workspace, sample="0")
    assert shown["facts"]["rows"][0][:2] == ["which?\nA. red\nB. teal", "B"]
