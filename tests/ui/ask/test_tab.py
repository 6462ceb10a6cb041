"""The Ask tab's handlers, called as the page calls them; and asking, as the API does."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.support.tiny import QUESTIONS, TINY_MODEL, tiny_competition, tiny_parts, tiny_picture
from ui.ask import tab
from ui.ask.about import describe_model
from ui.ask.answering import answer
from ui.ask.examples import list_examples
from ui.ask.model_input import draw_input
from ui.ask.panel import draw_answers, format_percent
from ui.ask.scene import find_subject
from ui.components.parts import Drawn
from ui.components.tab import Page
from ui.components.wiring import Wiring
from ui.components.words import Words
from ui.workspace import models as models_module
from ui.workspace.history import Answer
from ui.workspace.workspace import Workspace
from vqa_core.config import DataSettings, ModelSettings
from vqa_core.data.images import open_image
from vqa_core.data.pixels import PixelTransform
from vqa_core.data.prepare import prepare
from vqa_core.files import InputError, read_json, write_json
from vqa_core.model.folder import save_model_folder
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import build_vlm
from vqa_core.runs.model_folder import Stage
from vqa_core.runs.run_dir import RunDir

EN, KO = Words("en"), Words("ko")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One run with random weights, called `tiny`; nothing shipped."""
    folder = tmp_path_factory.mktemp("ask")
    tower, language_model = tiny_parts(folder)
    run = RunDir(folder / "runs" / "tiny")
    prepare(run, str(tiny_competition(folder / "data", train_images=3, test_images=2)), DataSettings())
    vlm = build_vlm(ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language_model)))
    prepare_stage(vlm, Stage("align"))
    save_model_folder(run.model, vlm, Stage("align"), about={})
    run.write_section("predict", {"max_new_tokens": 5, "precision": "fp32"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models_module, "SHIPPED_FOLDER", folder / "shipped")
        yield Workspace(folder / "runs", folder / "data")


@pytest.fixture
def view(workspace: Workspace, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """A view of a picture that was just uploaded; no other test has the same."""
    path = tmp_path / "한글 사진 (1).png"
    tiny_picture(abs(hash(request.node.name)) % 10_000).save(path)
    return tab.upload_picture(workspace, EN, {"run": "tiny"}, str(path))["view"]  # type: ignore[no-any-return]


def ask(workspace: Workspace, view: dict[str, str], text: str, t: Words = EN) -> list[Drawn]:
    """The view and what is drawn of the answers, each time that something arrives."""
    arrivals = [drawn["arrival"] for drawn in tab.ask(workspace, t, view, text, "tiny")]
    assert [arrival["begins"] for arrival in arrivals] == [True] + [False] * (len(arrivals) - 1)
    return [{"view": arrival["view"], **arrival["drawn"]} for arrival in arrivals]


@pytest.mark.parametrize("t", [EN, KO], ids=["en", "ko"])
def test_every_handler_draws_the_parts_of_its_event(workspace: Workspace, view: dict[str, str], t: Words) -> None:
    with gr.Blocks(analytics_enabled=False):
        built = tab.build(Page(workspace, t, Wiring(t)))
    drawn = ask(workspace, view, QUESTIONS[0], t)
    for given in ({}, {"picture": "0" * 32}, view, drawn[-1]["view"]):
        assert built.parts.checked(built.show(given))
    parts = {"view", *tab.ANSWERS}
    assert {name for each in drawn for name in each} == parts
    assert tab.look_at_answer(workspace, t, view, "0").keys() == tab.forget_answers(workspace, t, view).keys() == parts
    assert tab.clear_picture(workspace, t, view).keys() == parts | {"examples"}
    assert tab.choose_run(workspace, t, view, "tiny").keys() == {"view", *tab.MODEL, "notices"}


def test_answers_stream_and_end_with_what_the_api_answers(workspace: Workspace, view: dict[str, str]) -> None:
    drawn = ask(workspace, view, "\n".join(QUESTIONS))
    subject = find_subject(workspace, view)
    assert subject
    by_api = answer(workspace.models, open_image(subject.path), QUESTIONS, "tiny")
    table = drawn[-1]["answers"]
    assert [row[0] for row in table["rows"]] == list(QUESTIONS)
    assert [row[1] for row in table["rows"]] == [each.answer or EN("ask.empty") for each in by_api]
    seen = [[row[1] for row in each["answers"]["rows"]] for each in drawn]
    assert seen[0] == ["…"] * len(QUESTIONS)
    assert len({tuple(answers) for answers in seen}) > 3


def test_what_is_drawn_is_what_was_answered(workspace: Workspace, view: dict[str, str]) -> None:
    drawn = ask(workspace, view, QUESTIONS[0])[-1]
    (kept,) = json.loads(drawn["json"])
    assert Answer(**kept).question == QUESTIONS[0]
    assert (
        drawn["prompt"]
        == kept["prompt"]
        == f"<|im_start|>user\n<image>\n{QUESTIONS[0]}<|im_end|>\n<|im_start|>assistant\n"
    )
    bars = drawn["likeliest"]["rows"]
    assert len(bars) == 5
    assert [bar["share"] for bar in bars] == [each["probability"] for each in kept["likeliest"]]
    assert all(0 <= bar["share"] <= 1 for bar in bars)
    assert drawn["answers"]["rows"] == [[QUESTIONS[0], kept["answer"], format_percent(kept["probability"]), "tiny"]]
    assert drawn["result"]["visible"]
    assert drawn["view"]["q"] == QUESTIONS[0]
    assert drawn["view"]["run"] == "tiny"


def test_a_reload_shows_the_same(workspace: Workspace, view: dict[str, str]) -> None:
    drawn = ask(workspace, view, f"{QUESTIONS[0]}\n{QUESTIONS[1]}")[-1]
    again = tab.show(workspace, EN, drawn["view"])
    assert {name: again[name] for name in tab.ANSWERS} == {name: drawn[name] for name in tab.ANSWERS}
    assert again["picture"].size[0] > 0
    assert again["question"] == f"{QUESTIONS[0]}\n{QUESTIONS[1]}"


def test_earlier_answers_on_the_same_picture_stay_and_can_be_looked_at(
    workspace: Workspace, view: dict[str, str]
) -> None:
    first = ask(workspace, view, f"{QUESTIONS[0]}\n{QUESTIONS[1]}")[-1]
    second = ask(workspace, first["view"], QUESTIONS[2])[-1]
    assert [row[0] for row in second["answers"]["rows"]] == [QUESTIONS[2], QUESTIONS[0], QUESTIONS[1]]
    key = second["answers"]["keys"][2]
    looked = tab.look_at_answer(workspace, EN, second["view"], key)
    assert QUESTIONS[1] in looked["likeliest"]["title"]
    assert QUESTIONS[1] in looked["prompt"]
    assert looked["view"]["at"] == key
    assert "at" not in ask(workspace, looked["view"], QUESTIONS[3])[-1]["view"]
    cleaned = tab.forget_answers(workspace, EN, looked["view"])
    assert cleaned["answers"]["rows"] == []
    assert not cleaned["result"]["visible"]
    assert "at" not in cleaned["view"]


def test_a_new_picture_starts_a_new_history(workspace: Workspace, view: dict[str, str], tmp_path: Path) -> None:
    old = ask(workspace, view, QUESTIONS[0])[-1]["view"]
    tiny_picture(77_777).save(tmp_path / "new.png")
    given = old | {"at": "0", "data": "x", "sample": "3"}
    new = tab.upload_picture(workspace, EN, given, str(tmp_path / "new.png"))
    assert new["answers"]["rows"] == []
    assert new["view"].keys() == {"run", "q", "picture"}
    assert new["view"]["picture"] != old["picture"]
    cleared = tab.clear_picture(workspace, EN, new["view"])
    assert "picture" not in cleared["view"]
    assert cleared["status"] == EN("ask.no_picture_yet")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no question"),
        (" \n\t\n", "no question"),
        ("x" * 2001, "2,001 characters"),
        ("왜?\n" * 700, "questions; at most 32"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused_in_a_sentence(
    text: str, said: str, workspace: Workspace, view: dict[str, str]
) -> None:
    with pytest.raises(InputError, match=said):
        ask(workspace, view, text)
    assert not workspace.models.busy


def test_2000_characters_are_answered(workspace: Workspace, view: dict[str, str]) -> None:
    drawn = ask(workspace, view, "a" * 400)[-1]
    assert drawn["answers"]["rows"][0][0] == "a" * 400
    assert "q" in drawn["view"]
    assert "q" not in ask(workspace, view, " ".join(["한"] * 300))[-1]["view"]  # too long for an address


def test_half_a_character_in_a_question_breaks_nothing(workspace: Workspace, view: dict[str, str]) -> None:
    drawn = ask(workspace, view, "is \ud83d it?")[-1]
    assert drawn["answers"]["rows"][0][0] == "is \ufffd it?"


def test_without_a_picture_nothing_is_asked(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="no picture"):
        ask(workspace, {}, QUESTIONS[0])


@pytest.mark.parametrize("run", ["nobody", "", "../tiny", None])
def test_an_unknown_model_is_refused_and_the_tab_left_as_it_was(
    run: Any, workspace: Workspace, view: dict[str, str]
) -> None:
    with pytest.raises(InputError, match="no trained model"):
        list(tab.ask(workspace, EN, view, QUESTIONS[0], run))


@pytest.mark.parametrize("content", [b"", b"<svg onload=alert(1)>", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(content: bytes, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "사진.png").write_bytes(content)
    with pytest.raises(InputError):
        tab.upload_picture(workspace, EN, {}, str(tmp_path / "사진.png"))
    with pytest.raises(InputError, match="no picture that was uploaded"):
        tab.upload_picture(workspace, EN, {}, None)


@pytest.mark.parametrize(
    ("nonsense", "said"),
    [
        ({"picture": "../../etc/passwd"}, "not kept any more"),
        ({"picture": "0" * 32}, "not kept any more"),
        ({"example": "-1"}, "no example '-1'"),
        ({"example": "<script>"}, "no example '<script>'"),
        ({"data": "nowhere", "sample": "5"}, "no dataset 'nowhere'"),
        ({"sample": "9" * 5000}, "no sample"),
        ({"sample": "²"}, "no sample '²'"),
        ({"of": "gone", "sample": "TEST_0"}, "no run 'gone'"),
        ({"at": "99999", "run": "../x", "q": "\x00", "page": "-3"}, "no trained model ../x"),
        ({"run": "gone", "picture": "0" * 32}, "no trained model gone"),
        ({"page": "-3"}, ""),
    ],
)
def test_what_of_an_address_is_gone_is_told_and_left_out_of_the_next(
    nonsense: dict[str, str], said: str, workspace: Workspace
) -> None:
    for t in (EN, KO):
        drawn = tab.show(workspace, t, nonsense)
        assert drawn["status"] == t("ask.no_picture_yet")
        assert drawn["run"].value == "tiny"
        notice = drawn["notices"]
        assert said in (notice.get("title", "") if t is EN else said)
        assert bool(notice) == bool(said)
    after = tab.look_at_answer(workspace, EN, nonsense, "0")
    assert not after["view"].keys() & {"picture", "example", "sample", "run"}
    assert after["notices"] == {}


@pytest.mark.parametrize("at", ["-1", "7", "x", "²", "9" * 5000])
def test_an_answer_that_is_not_there_is_the_last_one(at: str, workspace: Workspace, view: dict[str, str]) -> None:
    drawn = ask(workspace, view, QUESTIONS[0])[-1]
    assert draw_answers(workspace, EN, drawn["view"] | {"at": at})["prompt"] == drawn["prompt"]


def test_an_example_brings_its_picture_and_its_question(workspace: Workspace) -> None:
    for key, example in list_examples().items():
        drawn = tab.choose_example(workspace, EN, {"picture": "0" * 32, "at": "1"}, key)
        assert drawn["view"] == {"example": key, "q": example.questions}
        assert drawn["question"] == example.questions
        assert drawn["picture"].width >= 256
        assert drawn["examples"]["chosen"] == key
        assert drawn.keys() == {"view", "question", "options", "picture", "examples", *tab.ANSWERS}
    assert len(list_examples()) == 6
    with pytest.raises(InputError, match="no example"):
        tab.choose_example(workspace, EN, {}, "../1")


def test_without_any_model_the_next_step_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "SHIPPED_FOLDER", tmp_path / "shipped")
    empty = Workspace(tmp_path / "runs", tmp_path / "data")
    for t in (EN, KO):
        drawn = tab.show(empty, t, {})
        assert drawn["about"]["empty"] == t("ask.no_model")
        assert (drawn["demo"].visible, drawn["submit"].interactive) == (True, False)
        assert drawn["run"].choices == []


@pytest.mark.parametrize("aspect", ["square", "pad", "stretch"])
def test_the_part_that_is_shown_as_seen_is_the_part_that_is_seen(aspect: str) -> None:
    transform = PixelTransform(32, aspect, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
    for seed, size in enumerate([(96, 32), (32, 96), (64, 64), (640, 320)]):
        picture = tiny_picture(seed).resize(size)
        left, top, right, bottom = transform.kept(size)
        if aspect == "square":
            part = picture.crop((round(left), round(top), round(right), round(bottom)))
            assert part.size == (min(size),) * 2
            difference = max(
                abs(a - b) for a, b in zip(transform.square(picture).tobytes(), transform.square(part).tobytes())
            )
            assert difference <= 40  # the resampling looks over the edge
        else:
            assert (left, top, right, bottom) == (0, 0, *size)


def test_what_is_cut_off_is_said_and_shown(workspace: Workspace, view: dict[str, str]) -> None:
    subject = find_subject(workspace, view)
    assert subject
    ask(workspace, view, QUESTIONS[0])
    (given,) = workspace.history.answers(subject.key)
    drawn = draw_input(workspace, EN, subject, given)  # the picture is 50 x 40
    assert "50 × 40" in drawn["whole"]["caption"]
    assert "20%" in drawn["whole"]["caption"]
    assert "32 × 32" in drawn["seen"]["caption"]
    assert drawn["whole"]["src"].startswith("data:image/webp;base64,")
    padded = Answer(**asdict(given) | {"pixels": given.pixels | {"aspect": "pad"}})
    assert EN("ask.padded") in draw_input(workspace, EN, subject, padded)["whole"]["caption"]


def test_it_is_said_what_a_model_was_trained_on(workspace: Workspace) -> None:
    run = RunDir(workspace.runs / "tiny")
    assert describe_model(EN, workspace.models, "tiny").startswith(EN("ask.about_unknown", stage=EN("ask.stage_align")))
    before, made = run.config.read_bytes(), read_json(run.model / "vqa.json")
    try:
        run.write_section("train", {})
        run.write_section("dataset", run.read_config()["dataset"] | {"source": "<img src=x onerror=alert(1)>"})
        questions = run.read_config()["dataset"]["questions"]["train"]
        line = describe_model(EN, workspace.models, "tiny")
        assert f"Trained on <img src=x onerror=alert(1)>: {questions} of its" in line
        assert "; ? questions seen" in line
        # stopped at step 8 of what would have been 1,000, the weights of step 6 kept
        write_json(
            run.model / "vqa.json", made | {"trained": {"steps": 8, "step": 6, "epochs": 0.1, "questions": 4000}}
        )
        assert "3,000 questions seen" in describe_model(EN, workspace.models, "tiny")
        assert "about 3 images" in line
        assert EN("ask.guesses") in line
        for nonsense in ('{"train": 1, "dataset": []}', '{"train": 1, "dataset": {"questions": "many"}}', "[", "[]"):
            run.config.write_text(nonsense)
            assert describe_model(KO, workspace.models, "tiny")
    finally:
        run.config.write_bytes(before)
        write_json(run.model / "vqa.json", made)


@pytest.mark.parametrize(
    ("probability", "shown"), [(1.0, "100.00%"), (0.00004, "<\u00a00.01%"), (0, "0.00%"), (None, "")]
)
def test_a_probability_is_shown_in_percent(probability: float | None, shown: str) -> None:
    assert format_percent(probability) == shown


def test_with_options_the_answer_is_one_of_them(workspace: Workspace, view: dict[str, str]) -> None:
    arrivals = list(tab.ask(workspace, EN, view, QUESTIONS[0], "tiny", "red\n\n blue \nteal"))
    last = arrivals[-1]["arrival"]
    options = {"A. red", "B. blue", "C. teal"}
    assert last["drawn"]["answers"]["rows"][0][1] in options
    bars = last["drawn"]["likeliest"]["rows"]
    assert {bar["label"] for bar in bars} == options
    assert sum(bar["share"] for bar in bars) == pytest.approx(1, abs=1e-5)
    assert bars[0]["chosen"]
    assert "B. blue\n" in last["drawn"]["prompt"]
    shown = tab.show(workspace, EN, last["view"])
    assert shown["options"] == "red\n\n blue \nteal"
    assert shown["answers"] == last["drawn"]["answers"]  # kept, and drawn again as it was
    with pytest.raises(InputError, match="one option"):
        list(tab.ask(workspace, EN, view, QUESTIONS[0], "tiny", "red"))
