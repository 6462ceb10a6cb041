import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.support.answered import answered
from tests.support.tiny import tiny_picture
from tests.support.workspaces import easy_workspace
from ui.ask.scene import find_subject
from ui.components.tab import Page, View, change_view
from ui.components.wiring import Wiring
from ui.components.words import FOLDER, LANGUAGES, Words
from ui.errors import tab as errors
from ui.errors.moves import CHOICES, CLICKS, PICKS
from ui.errors.panels import percent
from ui.errors.scene import PAGE, read_scene
from ui.predict.newest import find_picture, list_newest
from ui.workspace.workspace import Workspace
from vqa_core.analysis.errors import answers_of
from vqa_core.files import InputError, read_json, write_json
from vqa_core.runs.examples import write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog, read_predictions
from vqa_core.runs.tags import TAGS, Tags

T = Words("en")
FIRST = {"run": "first", "split": "test"}


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Parts of easy-VQA with two runs, `first` better than `second`."""
    return Workspace(*easy_workspace(tmp_path_factory.mktemp("easy")))


def draw(workspace: Workspace, view: View, t: Words = T) -> dict[str, Any]:
    return errors.draw(workspace, t, view)


def move(workspace: Workspace, view: View, change: Any, *values: Any) -> View:
    return change_view(view, **change(read_scene(workspace, T, view), *values))


def chosen_image(workspace: Workspace) -> str:
    """The picture of the sample that FIRST shows."""
    question_id = draw(workspace, FIRST)["gallery"]["chosen"]
    return next(e.image for e in workspace.run("first").examples("test") if e.question_id == question_id)


def labels(rows: list[dict[str, Any]]) -> list[str]:
    return [row["label"] for row in rows]


def test_the_headline_has_metric_n_interval_and_the_baseline_beside_it(easy: Workspace) -> None:
    headline = draw(easy, FIRST)["headline"]
    answers = answers_of(easy.run("first"), "test")
    assert answers.overall is not None
    assert f"Exact match (95% interval) · {len(answers)} questions about 12 images" == headline["title"]
    assert labels(headline["rows"]) == ["This run", "Question-only baseline"]
    run, baseline = headline["rows"]
    assert run["share"] == answers.overall.value
    assert run["low"] < run["share"] < run["high"]
    assert f"{answers.overall.value:.2%} (" in run["text"]
    assert "this run +" in baseline["text"]


def test_wrong_answers_are_shown_first_the_most_confident_at_the_head(easy: Workspace) -> None:
    drawn = draw(easy, FIRST)
    answers = answers_of(easy.run("first"), "test")
    assert answers.right is not None
    wrong = {example.question_id for example, right in zip(answers.examples, answers.right) if not right}
    keys = [cell["key"] for cell in drawn["gallery"]["cells"]]
    assert set(keys) == wrong
    given = read_predictions(easy.run("first").predictions("test"))
    assert keys == sorted(keys, key=lambda key: -(given[key].probability or 0))
    assert drawn["gallery"]["chosen"] == keys[0]
    assert all(cell["mark"] == "wrong" and "≠" in cell["note"] for cell in drawn["gallery"]["cells"])
    assert draw(easy, FIRST | {"show": "right"})["gallery"]["cells"][0]["mark"] == "right"


def test_a_wrong_answer_is_found_through_the_confusion_matrix(easy: Workspace) -> None:
    matrix = draw(easy, FIRST)["matrix"]
    row, column = next(
        (r, c) for r, cells in enumerate(matrix["cells"]) for c, count in enumerate(cells) if count and r != c
    )
    view = move(easy, FIRST, PICKS["matrix"], f"{row}:{column}")
    assert (view["wanted"], view["given"]) == (matrix["rows"][row], matrix["columns"][column])
    cells = draw(easy, view)["gallery"]["cells"]
    assert len(cells) == matrix["cells"][row][column]
    facts = dict(map(tuple, draw(easy, view)["facts"]["rows"]))
    assert (facts["Correct answer"], facts["Prediction"]) == (matrix["rows"][row], matrix["columns"][column])
    assert move(easy, view, PICKS["matrix"], f"{row}:{column}") == {**FIRST, "show": "all"}  # once more: off
    assert move(easy, FIRST, PICKS["matrix"], "99:x") == FIRST


def test_a_bar_filters_and_its_second_click_does_not(easy: Workspace) -> None:
    for by in ("question_type", "answer", "confidence"):
        view = FIRST | {"by": by, "show": "all"}
        bar = draw(easy, view)["slices"]["rows"][-1]
        chosen = move(easy, view, PICKS["slices"], bar["key"])
        drawn = draw(easy, chosen)
        assert f" {len(read_scene(easy, T, chosen).found):,}" in drawn["slices"]["rows"][-1]["text"]
        assert [row["key"] for row in drawn["slices"]["rows"] if row["chosen"]] == [bar["key"]]
        assert len(drawn["filters"]["rows"]) == 1
        assert move(easy, chosen, PICKS["slices"], bar["key"]) == view
        assert move(easy, chosen, PICKS["filters"], drawn["filters"]["keys"][0]) == view


def test_every_bar_s_text_has_interval_and_n(easy: Workspace) -> None:
    for row in draw(easy, FIRST | {"by": "confidence"})["slices"]["rows"]:
        assert {"low", "high"} <= row.keys()
        assert "· n " in row["text"]
        assert "· confidence " in row["text"]


def test_j_and_k_walk_over_the_pages_and_stop_at_the_ends(easy: Workspace) -> None:
    view: View = FIRST | {"show": "all", "sort": "order"}
    ids = [example.question_id for example in easy.run("first").examples("test")]
    assert len(ids) > PAGE
    seen = []
    for _ in range(len(ids) + 2):
        scene = read_scene(easy, T, view)
        assert scene.chosen in scene.on_page
        seen.append(ids[scene.chosen])
        view = move(easy, view, CLICKS["sample_next"])
    assert seen == [*ids, ids[-1], ids[-1]]
    assert move(easy, view, CLICKS["sample_previous"])["sample"] == ids[-2]
    assert move(easy, FIRST | {"show": "all", "sort": "order"}, CLICKS["sample_previous"]).get("sample") is None


def test_pages_are_the_server_s_and_a_sample_alone_leads_to_its_page(easy: Workspace) -> None:
    view: View = FIRST | {"show": "all", "sort": "order"}
    ids = [example.question_id for example in easy.run("first").examples("test")]
    second = draw(easy, move(easy, view, CLICKS["page_next"]))["gallery"]
    assert [cell["key"] for cell in second["cells"]] == ids[PAGE : 2 * PAGE]
    assert second["chosen"] == ids[PAGE]
    assert read_scene(easy, T, view | {"sample": ids[2 * PAGE + 1]}).page == 3
    picked = move(easy, view | {"page": "2"}, PICKS["gallery"], ids[PAGE + 3])
    assert (picked["page"], picked["sample"]) == ("2", ids[PAGE + 3])


def test_tags_are_kept_in_the_run_shown_and_filtered_by(easy: Workspace) -> None:
    tagged = partial(errors.toggle, "ambiguous")
    view = move(easy, FIRST, tagged)
    assert Tags(easy.run("first"), "test").read() == {view["sample"]: ["ambiguous"]}
    buttons = {tag: draw(easy, view)[f"tag_{tag}"] for tag in TAGS}
    assert [tag for tag, button in buttons.items() if button.variant == "primary"] == ["ambiguous"]
    assert buttons["ambiguous"].value == "2 Ambiguous ✓"
    found = draw(easy, FIRST | {"tag": "ambiguous"})["gallery"]
    assert [cell["key"] for cell in found["cells"]] == [view["sample"]]
    view = move(easy, FIRST | {"tag": "ambiguous"}, tagged)  # it is lost from the gallery and stays in status
    drawn = draw(easy, view)
    assert drawn["gallery"]["cells"] == []
    assert drawn["facts"]["rows"]
    assert Tags(easy.run("first"), "test").read() == {}


def test_all_questions_about_the_picture_are_there_with_their_answers(easy: Workspace) -> None:
    image = chosen_image(easy)
    same = draw(easy, FIRST)["same_image"]
    asked = [example.question for example in easy.run("first").examples("test") if example.image == image]
    assert [row[0] for row in same["rows"]] == asked
    assert same["keys"].count("") == 1  # the chosen one leads nowhere
    key = next(key for key in same["keys"] if key)
    assert move(easy, FIRST, PICKS["same_image"], key)["sample"] == key


def test_the_link_to_ask_leads_to_the_picture(easy: Workspace) -> None:
    ask, explore = draw(easy, FIRST)["links"]["links"]
    view = {name: value for name, value in ask["view"].items() if name != "tab"}
    subject = find_subject(easy, view)
    assert subject is not None
    assert subject.path == easy.run("first").data_root() / chosen_image(easy)
    assert explore["view"] == {"tab": "explore", "run": "first", "split": "test", "sample": ask["view"]["sample"]}


def test_two_runs_are_compared_and_a_right_b_wrong_found(easy: Workspace) -> None:
    view = move(easy, FIRST, CHOICES["with"], "second")
    drawn = draw(easy, view)
    assert labels(drawn["headline"]["rows"]) == ["This run", "The other run", "Question-only baseline"]
    counts = {row["key"]: int(row["text"].partition(" ")[0]) for row in drawn["pairs"]["rows"]}
    assert sum(counts[name] for name in ("only_a", "only_b", "both_wrong", "both_right")) == len(
        easy.run("first").examples("test")
    )
    verdict = dict(map(tuple, drawn["verdict"]["rows"]))
    assert verdict["Verdict"] == "This run is better: the interval of the difference excludes 0."
    assert verdict["Exact McNemar test"].startswith("p ")
    view = move(easy, view, PICKS["pairs"], "only_a")
    scene = read_scene(easy, T, view)
    assert len(scene.found) == counts["only_a"] > 0
    facts = dict(map(tuple, draw(easy, view)["facts"]["rows"]))
    assert facts["Prediction"] == facts["Correct answer"] != facts["Other run's prediction"]


def test_near_misses_have_their_count_and_points_and_open_their_samples(tmp_path: Path) -> None:
    rows = [("a", "what?", "cat", given, 0.5) for given in ("cat", "cats", "Cat", "dog")]
    answered(tmp_path / "runs" / "a", rows)
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    drawn = draw(workspace, {})
    assert [(row["label"], row["text"]) for row in drawn["near"]["rows"]] == [
        ("Upper and lower case", "1 · +25.00 points"), ("Plural", "1 · +25.00 points"),
    ]  # fmt: skip
    assert "2 of 3 wrong answers" in drawn["near_note"]
    view = move(workspace, {}, PICKS["near"], "plural")
    assert [cell["note"] for cell in draw(workspace, view)["gallery"]["cells"]] == ["cats ≠ cat · 50.0%"]


def test_the_review_csv_has_the_samples_found(easy: Workspace) -> None:
    path = errors.review(easy, T, FIRST)["file"]
    lines = Path(str(path)).read_text(encoding="utf-8-sig").splitlines()
    assert [line.partition(",")[0].strip('"') for line in lines[1:]] == [
        cell["key"] for cell in draw(easy, FIRST)["gallery"]["cells"]
    ]
    assert Path(str(path)).name == "review-first-test.csv"


def test_questions_without_a_right_answer_are_counted_and_not_shown(tmp_path: Path) -> None:
    rows = [("a", "is it?", "yes", "no", 0.5), ("b", "is it?", "", "yes", 0.5), ("c", "is it?", "", "no", 0.5)]
    answered(tmp_path / "runs" / "half", [*rows, ("d", "is it?", "no", None, None)], "test")
    drawn = draw(Workspace(tmp_path / "runs", tmp_path / "data"), {"run": "half", "split": "test"})
    assert "2 of 4 questions have no right answer and are not shown." in drawn["notices"]["empty"]
    assert "Answered so far: 3 of 4 questions." in drawn["notices"]["empty"]
    assert [cell["key"] for cell in drawn["gallery"]["cells"]] == ["q0"]


def test_empty_states_name_the_next_step(easy: Workspace, tmp_path: Path) -> None:
    drawn = draw(Workspace(tmp_path / "none", tmp_path), {})
    assert [drawn[name].visible for name in ("demo", "next", "body")] == [True, False, False]
    shutil.copytree(easy.runs / "first", tmp_path / "runs" / "fresh")
    shutil.rmtree(tmp_path / "runs" / "fresh" / "predictions")
    drawn = draw(Workspace(tmp_path / "runs", easy.data), {})
    assert (drawn["next"].link, drawn["body"].visible) == ("?tab=predict&run=fresh&split=val", False)
    assert not drawn["demo"].visible
    answered(tmp_path / "runs" / "unscored", [("a", "is it?", "yes", "yes", 0.5)], "test", solution=False)
    drawn = draw(Workspace(tmp_path / "runs", easy.data), {"run": "unscored"})
    assert (drawn["next"].link, drawn["body"].visible) == ("?tab=predict&run=unscored&split=val", True)
    assert "solution.csv" in drawn["notices"]["empty"]
    assert (drawn["scored"].visible, drawn["show"].visible) == (False, False)
    assert drawn["gallery"]["cells"][0]["note"] == "yes · 50.0%"


NAMES = (
    "run",
    "split",
    "type",
    "slice",
    "by",
    "given",
    "wanted",
    "show",
    "sort",
    "with",
    "pair",
    "page",
    "sample",
    "tag",
)
NONSENSE = ("../..", "99999999999999999999", "<img src=x onerror=alert(1)>", "*")


def test_whatever_an_address_says_the_tab_is_drawn(easy: Workspace) -> None:
    sound = FIRST | {"with": "second", "by": "confidence", "show": "all"}
    parts = draw(easy, sound).keys()
    for name in NAMES:
        for text in NONSENSE:
            assert draw(easy, sound | {name: text}).keys() == parts
    for language in LANGUAGES:
        assert draw(easy, dict.fromkeys([*NAMES, "form"], "\0"), Words(language)).keys() == parts
    for view in ({"run": "x"}, {"split": "x"}):
        assert "x" in draw(easy, FIRST | view)["notices"]["empty"]


@pytest.mark.parametrize("name", ["{outside}", "../secret.png", "image/../../secret.png", "", "image/\0.png"])
def test_no_file_of_a_run_shows_a_picture_outside_its_dataset(name: str, tmp_path: Path) -> None:
    tiny_picture(0).save(tmp_path / "secret.png")
    run = answered(tmp_path / "runs" / "a", [("a", "is it?", "yes", "no", 0.5)])
    run.write_section("dataset", {"root": str(tmp_path / "data")})
    image = name.format(outside=tmp_path / "secret.png")
    write_examples(run.val, [replace(example, image=image) for example in run.examples("val")])
    workspace = Workspace(tmp_path / "runs", tmp_path)
    drawn = draw(workspace, {"show": "all", "sample": "q0"})
    assert [cell["src"] for cell in drawn["gallery"]["cells"]] == [""]
    assert drawn["picture"] == {}
    assert [cell["src"] for cell in list_newest(workspace, T, run, "val")] == [""]
    assert find_picture(workspace, T, run, "val", "q0") == {}
    with pytest.raises(InputError, match="is gone"):
        find_subject(workspace, {"of": "a", "split": "val", "sample": "q0"})


def test_a_damaged_file_is_a_sentence_not_a_trace(tmp_path: Path) -> None:
    run = answered(tmp_path / "runs" / "a", [("a", "is it?", "yes", "yes", 0.5)])
    run.predictions("val").write_text('{"no": "prediction"}\n{}\n')
    drawn = draw(Workspace(tmp_path / "runs", tmp_path), {})
    assert "not a prediction" in drawn["notices"]["empty"]
    for config in ({}, {"dataset": {}}, {"dataset": None}, [1], "x", None):
        write_json(run.config, config)
        drawn = draw(Workspace(tmp_path / "runs", tmp_path), {})
        assert drawn["picture"] == {}


def test_why_an_answer_is_not_the_model_s_is_said_in_the_reader_s_language(tmp_path: Path) -> None:
    run = answered(tmp_path / "runs" / "a", [("a", "is it?", "yes", None, None)])
    with PredictionLog.open(run.predictions("val")) as log:
        log.append([Prediction("q0", "no", "", None, "bad_image", "a.png is cut short.")])
    told = {
        "en": "The image can't be used. a.png is cut short.",
        "ko": "이미지를 사용할 수 없습니다. a.png: 이미지 파일이 중간에 끊겼습니다.",
    }
    for language, text in told.items():
        t = Words(language)
        facts = dict(map(tuple, draw(Workspace(tmp_path / "runs", tmp_path), {}, t)["facts"]["rows"]))
        assert facts[t("errors.status")] == text


def test_an_answer_that_is_cut_is_the_model_s_own_and_said_to_be_cut(tmp_path: Path) -> None:
    run = answered(tmp_path / "runs" / "a", [("a", "is it?", "yes", None, None)])
    detail = "cut off by --max-new-tokens; the question was cut from 90 to 40 tokens: the model has 64 positions"
    with PredictionLog.open(run.predictions("val")) as log:
        log.append([Prediction("q0", "ye", "ye", 0.5, "cut", detail)])
    told = {
        "en": f"The answer was cut off. {detail}",
        "ko": "답이 중간에 잘렸습니다. --max-new-tokens에서 잘렸습니다; "
        "질문을 90토큰에서 40토큰으로 잘랐습니다(모델의 최대 길이: 64토큰)",
    }
    for language, text in told.items():
        t = Words(language)
        facts = dict(map(tuple, draw(Workspace(tmp_path / "runs", tmp_path), {}, t)["facts"]["rows"]))
        assert facts[t("errors.shortened")] == text
        assert t("errors.status") not in facts


def test_a_view_draws_every_part_of_the_tab(easy: Workspace) -> None:
    for language in LANGUAGES:
        t = Words(language)
        with gr.Blocks(analytics_enabled=False):
            tab = errors.build(Page(easy, t, Wiring(t)))
        assert tab.parts.checked(tab.show({}))
        for name in (*CHOICES, *CLICKS, *PICKS):
            assert tab.parts[name].elem_id == f"errors-{name.replace('_', '-')}"


def test_a_share_below_one_is_never_said_to_be_all() -> None:
    assert [percent(share) for share in (1.0, 0.99999, 0.9994, 0.5)] == ["100.0%", ">99.9%", "99.9%", "50.0%"]


def test_the_texts_are_in_both_languages_and_none_is_spare() -> None:
    texts = read_json(FOLDER / "errors.json")
    code = "".join(path.read_text(encoding="utf-8") for path in Path(errors.__file__).parent.glob("*.py"))
    built = (
        "split_",
        "by_",
        "form_",
        "tag_",
        "show_",
        "sort_",
        "pair_",
        "verdict_",
        "page_",
        "sample_",
        "status_",
        "to_",
    )
    for key, text in texts.items():
        assert set(text) == set(LANGUAGES), key
        assert key == "tab" or f'"{key}"' in code or f'"errors.{key}' in code or key.startswith(built), key


def test_a_sample_shows_its_options_with_the_given_and_the_right_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    run = answered(workspace.runs / "mc", [("a", "which?", "B", "C", 0.6), ("a", "what?", "A", "A", 0.9)])
    rows = run.examples("val")
    write_examples(run.root / "val.jsonl", [replace(rows[0], choices=("red", "", "blue"), answer_form="A"), rows[1]])
    view = {"run": "mc", "split": "val"}
    drawn = draw(workspace, view | {"sample": "q0"})
    assert drawn["facts"]["rows"][0][1] == "which?\nA. red\nC. blue · predicted"
    write_examples(run.root / "val.jsonl", [replace(rows[0], choices=("red", "teal"), answer_form="A"), rows[1]])
    drawn = draw(workspace, view | {"sample": "q0", "by": "choices"}, Words("ko"))
    assert drawn["facts"]["rows"][0][1] == "which?\nA. red\nB. teal · 정답"
    assert [row["label"] for row in drawn["slices"]["rows"]] == ["2", "선택지 없음"]
    assert {by for _, by in drawn["by"].choices} >= {"choices", "letter"}
    write_examples(run.root / "val.jsonl", rows)
    drawn = draw(workspace, view | {"sample": "q0", "by": "choices"})
    assert not {by for _, by in drawn["by"].choices} & {"choices", "letter"}
