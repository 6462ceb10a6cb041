import pytest

from vqa_core.runs.choices import FORMS, find_choice, write_choice
from vqa_core.runs.examples import Example

CHOICES = ("red", "blue", "2", "a")


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_names_the_choice_that_it_was_written_for(form: str) -> None:
    for index in range(len(CHOICES)):
        assert find_choice(write_choice(index, CHOICES, form), CHOICES, form) == index


@pytest.mark.parametrize(
    ("answer", "form", "index"),
    [
        ("B", "A", 1),
        (" b ", "A", 1),
        ("B", "a", 1),
        ("2", "1", 1),
        ("2", "0", 2),
        ("2", "text", 2),
        ("A", "text", None),
    ],
)
def test_the_form_decides_what_an_answer_names(answer: str, form: str, index: int | None) -> None:
    assert find_choice(answer, CHOICES, form) == index


def test_what_names_no_choice_or_two_is_none() -> None:
    assert find_choice("E", CHOICES, "A") is None
    assert find_choice(None, CHOICES, "1") is None
    assert find_choice("red", ("red", "red"), "text") is None


def test_an_open_question_is_written_without_choices_and_both_kinds_are_read_back() -> None:
    plain = Example("1", "i", "i.png", "Q?", "red")
    assert set(plain.to_dict()) == {"question_id", "image_id", "image", "question", "answer"}
    chosen = Example("1", "i", "i.png", "Q?", "B", ("red", "blue"), "A")
    for example in (plain, chosen):
        assert Example.from_dict(example.to_dict()) == example
