"""The form of answers is found over all rows, never guessed from one; what is unclear is told or refused."""

from collections.abc import Sequence

import pytest

from vqa_core.config import CHOICE_INSTRUCTION
from vqa_core.data.choices.forms import AUTO, OPEN, Hints, names_no_choice, right_choice, settle_choices
from vqa_core.files import InputError
from vqa_core.runs.choices import TEXT
from vqa_core.runs.examples import Example

COLOURS = ("red", "green", "blue", "teal")


def rows(
    answers: Sequence[str | None], choices: Sequence[tuple[str, ...]] | tuple[str, ...] = COLOURS
) -> list[Example]:
    each = choices if choices and isinstance(choices[0], tuple) else [choices] * len(answers)
    return [
        Example(f"q{at}", "i", "i.png", "which?", answer, tuple(options))
        for at, (answer, options) in enumerate(zip(answers, each, strict=True))
    ]


def form_of(train: Sequence[Example], hints: Hints | None = None, form: str = AUTO) -> str:
    settled, _ = settle_choices({"train": train}, hints=hints, form=form)
    return settled["train"][0].answer_form


@pytest.mark.parametrize(
    ("answers", "form"),
    [
        (["A", "C", "d"], "A"),
        (["a", "c", "b"], "a"),
        ([" B ", "A"], "A"),
        (["1", "2", "4"], "1"),  # 4 is the number of choices, and there is no 0
        (["0", "2", "3"], "0"),
        (["red", "teal"], TEXT),
        (["red", "teal", "purple"], TEXT),  # one that names nothing does not change the others
    ],
)
def test_the_form_that_all_answers_have(answers: list[str], form: str) -> None:
    assert form_of(rows(answers)) == form


def test_numbers_that_may_count_from_0_or_from_1_are_refused_with_a_way_that_works() -> None:
    train = rows(["1", "2", "3"])
    with pytest.raises(InputError, match=r"may count the choices from 0 or from 1.*--answer-form 0"):
        settle_choices({"train": train})
    assert form_of(train, form="0") == "0"
    assert form_of(train, form="1") == "1"
    assert form_of(train, Hints(first="1")) == "1"  # the columns are called choice1, choice2 ...
    assert form_of(train, Hints(indexed=True)) == "0"  # the answers are called correct_choice_idx


def test_choices_that_are_numbers_are_named_by_text_if_every_answer_is_one() -> None:
    train = rows(["3", "2", "5"], [("2", "3", "4", "5"), ("2", "4", "6", "8"), ("5", "1", "3", "2")])
    assert form_of(train) == TEXT
    alike = rows(["3", "2"], [("2", "3", "4", "5"), ("1", "2", "3", "4")])
    settled, notes = settle_choices({"train": alike})
    assert settled["train"][0].answer_form == TEXT
    assert "could also be numbers from 1" in notes[0]["message"]
    assert "--answer-form" in notes[0]["message"]
    same = rows(["3", "2"], [("1", "2", "3", "4"), ("1", "2", "3", "4")])
    assert form_of(same) == TEXT  # either reading means the same


def test_letters_as_choices_go_by_letter_with_a_note() -> None:
    train = rows(["B", "A"], [("B", "A"), ("A", "B")])
    settled, notes = settle_choices({"train": train}, hints=Hints(first="A"))
    assert settled["train"][0].answer_form == "A"
    assert "could also be the texts" in notes[0]["message"]


def test_answers_that_name_nothing_leave_open_questions_and_say_so() -> None:
    settled, notes = settle_choices({"train": rows(["(B)", "(A)", "A"])})
    assert settled["train"][0].choices == ()
    assert notes[0]["severity"] == "warning"
    assert "1 of 3 answers" in notes[0]["message"]
    assert notes[0]["examples"][0] == "'(B)'"
    assert settle_choices({"train": rows(["A", "B"])}, form=OPEN)[0]["train"][0].choices == ()


def test_test_questions_take_the_form_of_training_then_of_the_sample() -> None:
    test = rows([None, None])
    trained, _ = settle_choices({"train": rows(["1", "4"]), "test": test})
    assert trained["test"][0].answer_form == "1"

    def alone(**sample: str) -> str:
        return settle_choices({"test": test}, hints=Hints(sample=sample))[0]["test"][0].answer_form

    assert alone(q0="A", q1="A") == "A"
    assert alone(q0="b", q1="a") == "a"
    assert alone(q0="red", q1="red") == TEXT
    assert alone(q0="0", q1="0") == "0"
    assert alone(q0="", q1="") == "A"
    assert settle_choices({"test": test}, hints=Hints(first="1"))[0]["test"][0].answer_form == "1"


def test_a_sample_in_another_form_decides_for_test_unless_it_is_a_placeholder() -> None:
    splits = {"train": rows(["red", "teal"]), "test": rows([None, None])}
    settled, notes = settle_choices(splits, hints=Hints(sample={"q0": "A", "q1": "A"}))
    assert (settled["train"][0].answer_form, settled["test"][0].answer_form) == (TEXT, "A")
    assert "as in the sample" in notes[0]["message"]
    settled, notes = settle_choices(splits, hints=Hints(sample={"q0": "0", "q1": "0"}))
    assert settled["test"][0].answer_form == TEXT
    assert "placeholder" in notes[0]["message"]
    settled, notes = settle_choices(splits, hints=Hints(sample={"q0": "none", "q1": "none"}))
    assert settled["test"][0].answer_form == TEXT
    assert not notes


def test_a_form_that_a_reader_knows_stays() -> None:
    known = [Example("q", "i", "i.png", "which?", "1", COLOURS, "0")]
    assert settle_choices({"train": known}) == ({"train": known}, [])


def test_choices_in_all_questions_are_read_if_the_answers_are_their_labels() -> None:
    asked = [
        Example("q0", "i", "i.png", "which? (A) red (B) blue", "B"),
        Example("q1", "i", "i.png", "which? (A) one (B) two (C) three", "A"),
    ]
    settled, notes = settle_choices({"train": asked, "test": []})
    assert settled["train"][0] == Example("q0", "i", "i.png", "which?", "B", ("red", "blue"), "A")
    assert len(settled["train"][1].choices) == 3
    assert "2 questions contain their choices" in notes[0]["message"]
    for other in (
        Example("q2", "i", "i.png", "how many?", "two"),
        Example("q2", "i", "i.png", "which? (A) red (B) blue", "blue"),
        Example("q2", "i", "i.png", "which? (A) red (B) blue", "C"),
    ):
        assert settle_choices({"train": [*asked, other]}) == ({"train": [*asked, other]}, [])


def test_a_question_with_llavas_instruction_is_read_among_open_ones() -> None:
    open_question = Example("q0", "i", "i.png", "what is it?", "a cat")
    asked = Example("q1", "i", "i.png", f"which?\nA. red\nB. blue\n{CHOICE_INSTRUCTION}", "B")
    settled, _ = settle_choices({"train": [open_question, asked]})
    assert settled["train"] == [open_question, Example("q1", "i", "i.png", "which?", "B", ("red", "blue"), "A")]


def test_letters_in_front_of_all_choices_go_unless_the_answers_have_them() -> None:
    labelled = ("A. red", "B. blue")
    assert settle_choices({"train": rows(["red", "blue"], labelled)})[0]["train"][0].choices == ("red", "blue")
    assert settle_choices({"train": rows(["A", "B"], labelled)})[0]["train"][0].choices == ("red", "blue")
    kept = settle_choices({"train": rows(["A. red", "B. blue"], labelled)})[0]["train"][0]
    assert (kept.choices, kept.answer_form) == (labelled, TEXT)


def test_the_right_choice() -> None:
    assert right_choice(Example("q", "i", "", "?", "b", ("x", "y"), "A")) == 1
    blank = Example("q", "i", "", "?", "B", ("x", "", "z"), "A")
    assert right_choice(blank) is None
    assert names_no_choice(blank)
    assert not names_no_choice(Example("q", "i", "", "?", "B"))
    assert not names_no_choice(Example("q", "i", "", "?", None, ("x", "y"), "A"))
