"""The Ask tab's handlers, called as the page calls them; and asking, as the API does."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny import QUESTIONS, TINY_MODEL, tiny_competition, tiny_parts, tiny_picture
from ui.ask import tab as tab
from ui.ask.about import about
from ui.ask.answering import answer
from ui.ask.examples import ask_examples
from ui.ask.scene import percent, seen_pictures, subject_of
from ui.components.words import Words
from ui.workspace import models as models_module
from ui.workspace.asked import Answered
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
STATUS, TABLE, RESULT, BARS, WHOLE, SEEN, PROMPT, JSON, NOTICES = range(9)  # of what `draw` returns


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
    return tab.uploaded(workspace, EN, {"run": "tiny"}, str(path))[0]  # type: ignore[no-any-return]


def asked(workspace: Workspace, view: dict[str, str], text: str, t: Words = EN) -> list[list[Any]]:
    """The view and the scene of each time that something came."""
    return [[coming["view"], *coming["scene"]] for (coming,) in tab.ask(workspace, t, view, text, "tiny")]


def test_answers_stream_and_end_with_what_the_api_answers(workspace: Workspace, view: dict[str, str]) -> None:
    drawn = asked(workspace, view, "\n".join(QUESTIONS))
    subject = subject_of(workspace, view)
    assert subject
    by_api = answer(workspace.models, open_image(subject.path), QUESTIONS, "tiny")
    table = drawn[-1][1:][TABLE]
    assert [row[0] for row in table["rows"]] == list(QUESTIONS)
    assert [row[1] for row in table["rows"]] == [each.answer or EN("ask.empty") for each in by_api]
    seen = [[row[1] for row in values[1:][TABLE]["rows"]] for values in drawn]
    assert seen[0] == ["…"] * len(QUESTIONS)
    assert len({tuple(answers) for answers in seen}) > 3


def test_what_is_drawn_is_what_was_answered(workspace: Workspace, view: dict[str, str]) -> None:
    view, *drawn = asked(workspace, view, QUESTIONS[0])[-1]
    (kept,) = json.loads(drawn[JSON])
    assert Answered(**kept).question == QUESTIONS[0]
    assert (
        drawn[PROMPT]
        == kept["prompt"]
        == f"<|im_start|>user\n<image>\n{QUESTIONS[0]}<|im_end|>\n<|im_start|>assistant\n"
    )
    bars = drawn[BARS]["rows"]
    assert len(bars) == 5
    assert [bar["share"] for bar in bars] == [each["probability"] for each in kept["likeliest"]]
    assert all(0 <= bar["share"] <= 1 for bar in bars)
    assert drawn[TABLE]["rows"] == [[QUESTIONS[0], kept["answer"], percent(kept["probability"]), "tiny"]]
    assert drawn[RESULT]["visible"]
    assert view["q"] == QUESTIONS[0]
    assert view["run"] == "tiny"


def test_a_reload_shows_the_same(workspace: Workspace, view: dict[str, str]) -> None:
    after, *drawn = asked(workspace, view, f"{QUESTIONS[0]}\n{QUESTIONS[1]}")[-1]
    again = tab.shown(workspace, EN, after)[-9:]
    assert again[TABLE:RESULT] + again[BARS:] == drawn[TABLE:RESULT] + drawn[BARS:]
    preview, question = tab.shown(workspace, EN, after)[0], tab.shown(workspace, EN, after)[2]
    assert preview.size[0] > 0
    assert question == f"{QUESTIONS[0]}\n{QUESTIONS[1]}"


def test_earlier_answers_on_the_same_picture_stay_and_can_be_looked_at(
    workspace: Workspace, view: dict[str, str]
) -> None:
    first = asked(workspace, view, f"{QUESTIONS[0]}\n{QUESTIONS[1]}")[-1][0]
    second, *drawn = asked(workspace, first, QUESTIONS[2])[-1]
    assert [row[0] for row in drawn[TABLE]["rows"]] == [QUESTIONS[2], QUESTIONS[0], QUESTIONS[1]]
    key = drawn[TABLE]["keys"][2]
    looked, *drawn = tab.answer_chosen(workspace, EN, second, key)
    assert QUESTIONS[1] in drawn[BARS]["title"]
    assert QUESTIONS[1] in drawn[PROMPT]
    assert looked["at"] == key
    assert "at" not in asked(workspace, looked, QUESTIONS[3])[-1][0]
    cleaned, *drawn = tab.forgotten(workspace, EN, looked)
    assert drawn[TABLE]["rows"] == []
    assert not drawn[RESULT]["visible"]
    assert "at" not in cleaned


def test_a_new_picture_starts_a_new_history(workspace: Workspace, view: dict[str, str], tmp_path: Path) -> None:
    old = asked(workspace, view, QUESTIONS[0])[-1][0]
    tiny_picture(77_777).save(tmp_path / "new.png")
    new, _, _, *drawn = tab.uploaded(
        workspace, EN, old | {"at": "0", "data": "x", "sample": "3"}, str(tmp_path / "new.png")
    )
    assert drawn[TABLE]["rows"] == []
    assert new.keys() == {"run", "q", "picture"}
    assert new["picture"] != old["picture"]
    cleared, _, *drawn = tab.cleared(workspace, EN, new)
    assert "picture" not in cleared
    assert drawn[STATUS] == EN("ask.no_picture_yet")


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
        asked(workspace, view, text)
    assert not workspace.models.busy


def test_2000_characters_are_answered(workspace: Workspace, view: dict[str, str]) -> None:
    view, *drawn = asked(workspace, view, "a" * 400)[-1]
    assert drawn[TABLE]["rows"][0][0] == "a" * 400
    assert "q" in view
    assert "q" not in asked(workspace, view, " ".join(["한"] * 300))[-1][0]  # too long for an address


def test_half_a_character_in_a_question_breaks_nothing(workspace: Workspace, view: dict[str, str]) -> None:
    _, *drawn = asked(workspace, view, "is \ud83d it?")[-1]
    assert drawn[TABLE]["rows"][0][0] == "is \ufffd it?"


def test_without_a_picture_nothing_is_asked(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="no picture"):
        asked(workspace, {}, QUESTIONS[0])


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
        tab.uploaded(workspace, EN, {}, str(tmp_path / "사진.png"))
    with pytest.raises(InputError, match="no picture that was uploaded"):
        tab.uploaded(workspace, EN, {}, None)


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
        drawn = tab.shown(workspace, t, nonsense)
        assert drawn[-9:][STATUS] == t("ask.no_picture_yet")
        assert drawn[3].value == "tiny"
        notice = drawn[-9:][NOTICES]
        assert said in (notice.get("title", "") if t is EN else said)
        assert bool(notice) == bool(said)
    after, *drawn = tab.answer_chosen(workspace, EN, nonsense, "0")
    assert not after.keys() & {"picture", "example", "sample", "run"}
    assert drawn[NOTICES] == {}


@pytest.mark.parametrize("at", ["-1", "7", "x", "²", "9" * 5000])
def test_an_answer_that_is_not_there_is_the_last_one(at: str, workspace: Workspace, view: dict[str, str]) -> None:
    view, *drawn = asked(workspace, view, QUESTIONS[0])[-1]
    assert tab.draw(workspace, EN, view | {"at": at})[PROMPT] == drawn[PROMPT]


def test_an_example_brings_its_picture_and_its_question(workspace: Workspace) -> None:
    for key, example in ask_examples().items():
        view, preview, cells, text, *_ = tab.example_chosen(workspace, EN, {"picture": "0" * 32, "at": "1"}, key)
        assert view == {"example": key, "q": example.questions}
        assert text == example.questions
        assert preview.width >= 256
        assert cells["chosen"] == key
    assert len(ask_examples()) == 6
    with pytest.raises(InputError, match="no example"):
        tab.example_chosen(workspace, EN, {}, "../1")


def test_without_any_model_the_next_step_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "SHIPPED_FOLDER", tmp_path / "shipped")
    empty = Workspace(tmp_path / "runs", tmp_path / "data")
    for t in (EN, KO):
        *_, run, told, demo, button = tab.shown(empty, t, {})[:7]
        assert told["empty"] == t("ask.no_model")
        assert (demo.visible, button.interactive) == (True, False)
        assert run.choices == []


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
    subject = subject_of(workspace, view)
    assert subject
    asked(workspace, view, QUESTIONS[0])
    (given,) = workspace.asked.answers(subject.key)
    whole, seen = seen_pictures(workspace, EN, subject, given)  # the picture is 50 x 40
    assert "50 × 40" in whole["caption"]
    assert "20%" in whole["caption"]
    assert "32 × 32" in seen["caption"]
    assert whole["src"].startswith("data:image/webp;base64,")
    padded = Answered(**asdict(given) | {"pixels": given.pixels | {"aspect": "pad"}})
    assert EN("ask.padded") in seen_pictures(workspace, EN, subject, padded)[0]["caption"]


def test_it_is_said_what_a_model_was_trained_on(workspace: Workspace, tmp_path: Path) -> None:
    run = RunDir(workspace.runs / "tiny")
    assert about(EN, workspace.models, "tiny").startswith(EN("ask.about_unknown", stage=EN("ask.stage_align")))
    before, made = run.config.read_bytes(), read_json(run.model / "vqa.json")
    try:
        run.write_section("train", {})
        run.write_section("dataset", run.read_config()["dataset"] | {"source": "<img src=x onerror=alert(1)>"})
        questions = run.read_config()["dataset"]["questions"]["train"]
        line = about(EN, workspace.models, "tiny")
        assert f"Trained on <img src=x onerror=alert(1)>: {questions} of its" in line
        assert "; ? questions seen" in line
        # stopped at step 8 of what would have been 1,000, the weights of step 6 kept
        write_json(
            run.model / "vqa.json", made | {"trained": {"steps": 8, "step": 6, "epochs": 0.1, "questions": 4000}}
        )
        assert "3,000 questions seen" in about(EN, workspace.models, "tiny")
        assert "about 3 images" in line
        assert EN("ask.guesses") in line
        for nonsense in ('{"train": 1, "dataset": []}', '{"train": 1, "dataset": {"questions": "many"}}', "[", "[]"):
            run.config.write_text(nonsense)
            assert about(KO, workspace.models, "tiny")
    finally:
        run.config.write_bytes(before)
        write_json(run.model / "vqa.json", made)


@pytest.mark.parametrize(
    ("probability", "shown"), [(1.0, "100.00%"), (0.00004, "<\u00a00.01%"), (0, "0.00%"), (None, "")]
)
def test_a_probability_is_shown_in_percent(probability: float | None, shown: str) -> None:
    assert percent(probability) == shown
