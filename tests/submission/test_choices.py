"""Multiple choice in a submission: an answer that is no choice is refused, the form is the sample's."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from vqa_core.files import InputError, write_json
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.choices import in_form_of_sample, refuse_other_answers
from vqa_core.submission.results import write_run_results
from vqa_core.submission.submission import submission_of

CHOICES = ("red", "green", "blue")
ASKED = [Example(f"q{at}", "i", "i.png", "which?", None, CHOICES, "A") for at in range(2)]


def given(*answers: str) -> dict[str, Prediction]:
    return {f"q{at}": Prediction(f"q{at}", answer, answer, 0.9) for at, answer in enumerate(answers)}


def submitted(
    folder: Path, sample: Mapping[str, str], predictions: Mapping[str, Prediction]
) -> tuple[list[str], list[str]]:
    run = RunDir(folder / "run")
    lines = ["ID,answer", *(f"{question_id},{answer}" for question_id, answer in sample.items())]
    (folder / "sample_submission.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(run.config, {})
    write_examples(run.test, ASKED)
    write_examples(run.train, [Example("t", "i", "i.png", "which?", "A", CHOICES, "A")])
    submission, warnings = submission_of(run, folder, predictions)
    return submission.answers, warnings


def test_answers_stay_letters_if_the_sample_has_letters_or_nothing(tmp_path: Path) -> None:
    for sample in ({"q0": "A", "q1": "A"}, {"q0": "", "q1": ""}, {"q0": "none", "q1": "none"}):
        assert submitted(tmp_path, sample, given("C", "A")) == (["C", "A"], [])


def test_answers_become_what_the_sample_has(tmp_path: Path) -> None:
    answers, warnings = submitted(tmp_path, {"q0": "green", "q1": "red"}, given("C", "A"))
    assert answers == ["blue", "red"]
    assert "as in the sample" in warnings[0]
    assert submitted(tmp_path, {"q0": "3", "q1": "1"}, given("C", "A"))[0] == ["3", "1"]
    answers, warnings = submitted(tmp_path, {"q0": "0", "q1": "0"}, given("C", "A"))
    assert answers == ["C", "A"]
    assert "placeholder" in warnings[0]


def test_an_answer_that_is_no_choice_is_refused(tmp_path: Path) -> None:
    for wrong in ("D", "blue", "cat"):
        with pytest.raises(InputError, match=f"1 answers are none of the choices of their questions: 'q1': '{wrong}'"):
            submitted(tmp_path, {"q0": "A", "q1": "A"}, given("C", wrong))
        with pytest.raises(InputError, match="none of the choices"):
            write_run_results(tmp_path / "answers.jsonl", "llava", ASKED, given("C", wrong), "model")
    blank = [Example("q0", "i", "i.png", "which?", None, ("red", "", "blue"), "A")]
    with pytest.raises(InputError, match="none of the choices"):
        refuse_other_answers(blank, given("B"))
    refuse_other_answers(blank, given("C"))


def test_open_questions_stay_as_they_are() -> None:
    asked = [Example("q0", "i", "i.png", "which?", None)]
    refuse_other_answers(asked, given("anything"))
    assert in_form_of_sample(asked, given("1"), {"q0": "A"}) == (given("1"), [])
