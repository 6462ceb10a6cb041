"""Past submissions: none is lost, none is kept twice, a public score stays with its file, and two can be set against
each other."""

import re
from pathlib import Path

import pytest

from vqa_core.files import InputError, read_json, write_json
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.card import card_path
from vqa_core.submission.history import (
    difference,
    keep_submission,
    list_submissions,
    set_public_score,
    submission_by_id,
)
from vqa_core.submission.submission import Submission, write_submission

QUESTIONS = ["is there a circle?", "is it red?", "what color is it?", "what shape is it?"]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "run")
    run.write_section("predict", {"answers": "open"})
    write_examples(run.test, [Example(f"T{n}", f"i{n}", f"i{n}.png", text) for n, text in enumerate(QUESTIONS)])
    return run


def submit(run: RunDir, answers: list[str], out: Path | None = None, **card: object) -> str:
    out = out or run.submission
    write_submission(out, Submission(("ID", "answer"), [[f"T{n}", text] for n, text in enumerate(answers)], {}))
    settings = {"config": {"settings": run.read_config()}, "weights": {"trained.safetensors": "a" * 64}}
    write_json(card_path(out), settings | card)
    return keep_submission(run, out).id


def test_every_submission_is_kept_with_its_card_and_the_same_bytes_once(run: RunDir, tmp_path: Path) -> None:
    first = submit(run, ["yes", "no", "red", "none"])
    second = submit(run, ["yes", "yes", "red", "none"], tmp_path / "elsewhere.csv")
    assert submit(run, ["yes", "no", "red", "none"], warnings=["another card"]) == first
    assert {kept.id for kept in list_submissions(run)} == {first, second}
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", first)
    kept = submission_by_id(run, first)
    assert kept.path.read_bytes() == run.submission.read_bytes()
    assert kept.card["config"]["settings"] == {"predict": {"answers": "open"}}
    assert "warnings" not in kept.card
    assert kept.created.tzinfo is not None


def test_the_newest_comes_first_and_foreign_files_are_none(run: RunDir) -> None:
    ids = ["20250102T000000Z-00000000", "20260101T000000Z-00000000", "20250101T235959Z-ffffffff"]
    for name in [*ids, "notes", "20250101T235959Z-FFFFFFFF"]:
        (run.submissions / f"{name}.csv").parent.mkdir(exist_ok=True)
        (run.submissions / f"{name}.csv").write_text("ID,answer\n")
    assert [kept.id for kept in list_submissions(run)] == [ids[1], ids[0], ids[2]]
    assert list_submissions(RunDir(run.root / "none")) == []


@pytest.mark.parametrize("score", ["0.9123", "91.20", "-1.5e-3", ".5", "100"])
def test_a_public_score_stays_as_it_was_typed_until_it_is_taken_back(run: RunDir, score: str) -> None:
    id = submit(run, ["yes", "no", "red", "none"])
    assert set_public_score(run, id, f" {score} ").public_score == score
    submit(run, ["yes", "no", "red", "none"])
    assert list_submissions(run)[0].public_score == score
    assert set_public_score(run, id, "").public_score == ""
    assert list_submissions(run)[0].public_score == ""


@pytest.mark.parametrize("score", ["nan", "inf", "0,91", "91 %", "first", "1_0", "٣", "0x1", "-", "."])
def test_a_public_score_that_is_no_number_is_refused_and_the_old_one_stays(run: RunDir, score: str) -> None:
    id = submit(run, ["yes", "no", "red", "none"])
    set_public_score(run, id, "0.5")
    with pytest.raises(InputError, match=f"{re.escape(repr(score))} is not a number"):
        set_public_score(run, id, score)
    assert submission_by_id(run, id).public_score == "0.5"


def test_an_id_is_never_a_path(run: RunDir) -> None:
    submit(run, ["yes", "no", "red", "none"])
    for id in ("../submission", "", "../../run/submission", str(run.submission.with_suffix(""))):
        for use in (submission_by_id, lambda run, id: set_public_score(run, id, "1")):
            with pytest.raises(InputError, match="has no submission"):
                use(run, id)
    with pytest.raises(InputError, match=r"python -m eval\.submit"):
        submission_by_id(RunDir(run.root / "none"), "a")


def test_two_submissions_differ_by_answers_of_a_type_by_transition_and_by_settings(run: RunDir) -> None:
    a = submit(run, ["no", "no", "red", "none"])
    run.write_section("predict", {"answers": "train"})
    b = submit(run, ["yes", "yes", "red", "square"], weights={"trained.safetensors": "b" * 64})
    found = difference(run, a, b)
    assert (found.changed, found.questions) == (3, 4)
    assert found.transitions == {("no", "yes"): 2, ("none", "square"): 1}
    assert sum(found.changed_types.values()) == 3
    assert found.settings == {
        "predict.answers": ("open", "train"),
        "weights.trained.safetensors": ("a" * 12, "b" * 12),
    }
    assert found.paired is None
    assert difference(run, a, a).changed == 0


def test_submissions_of_other_questions_are_not_set_against_each_other(run: RunDir) -> None:
    a, b = submit(run, ["no", "no", "red", "none"]), submit(run, ["no", "no", "red"])
    with pytest.raises(InputError, match="'T3' are in one only"):
        difference(run, a, b)
    write_examples(run.test, run.examples("test")[:2])
    with pytest.raises(InputError, match="no question 'T2', 'T3'"):
        difference(run, a, a)


def test_a_card_that_is_no_object_is_named(run: RunDir) -> None:
    id = submit(run, ["no", "no", "red", "none"])
    card = card_path(run.submissions / f"{id}.csv")
    card.write_text("[1]")
    with pytest.raises(InputError, match=re.escape(card.name)):
        list_submissions(run)
    card.unlink()
    assert list_submissions(run)[0].card == {}
    assert difference(run, id, id).settings == {}
    assert read_json(run.config) == {"predict": {"answers": "open"}}
