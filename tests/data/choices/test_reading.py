"""Where choices are found: columns of any name and case, lists in any notation, the question itself."""

from typing import Any

import numpy as np
import pytest

from vqa_core.config import CHOICE_INSTRUCTION
from vqa_core.data.choices.reading import (
    answer_key,
    choices_of_record,
    find_options,
    is_index,
    parse_choices,
    split_question,
    strip_labels,
    with_hint,
)


@pytest.mark.parametrize(
    ("header", "columns", "first"),
    [
        ("ID,img_path,Question,A,B,C,D", "A,B,C,D", "A"),
        ("id,path,question,a,b,c,d,e,answer", "a,b,c,d,e", "a"),
        ("id,option_a,option_b", "option_a,option_b", "a"),
        ("id,opt A,opt B,opt C", "opt A,opt B,opt C", "A"),
        ("id,OptionA,OptionB", "OptionA,OptionB", "A"),
        ("id,Choice A,Choice B,Answer_label", "Choice A,Choice B", "A"),
        ("id,choice1,choice2,choice3", "choice1,choice2,choice3", "1"),
        ("id,choice0,choice1", "choice0,choice1", "0"),
        ("id,선택지1,선택지 2", "선택지1,선택지 2", "1"),
        ("id,보기 ①,보기 ②", "보기 ①,보기 ②", "1"),
        ("id,B,A", "A,B", "A"),  # in the order of their letters, not of the file
        ("id,option a,option b,A,B", "option a,option b", "a"),
        ("id,Options,answer", "Options", ""),
        ("id,A,B,C,D,E,F,G,H,I,J", "A,B,C,D,E,F,G,H,I,J", "A"),
    ],
)
def test_columns_of_choices_are_found_by_name(header: str, columns: str, first: str) -> None:
    found = find_options(header.split(","))
    assert found
    assert (",".join(found.columns), found.first) == (columns, first)


@pytest.mark.parametrize("header", ["id,A", "id,A,B,D", "id,B,C", "id,a,A,b,B", "0,1,2", "id,choice2,choice3", "Q,a"])
def test_other_columns_are_no_choices(header: str) -> None:
    assert find_options(header.split(",")) is None


def test_the_column_of_another_field_holds_no_choice() -> None:
    assert find_options(["a", "b", "c"], {"a"}) is None


@pytest.mark.parametrize(
    "value",
    [
        ["red", "light blue"],
        ("red", "light blue"),
        np.array(["red", "light blue"]),
        '["red", "light blue"]',
        "['red', 'light blue']",
        "['red' 'light blue']",
        "['red'\n 'light blue']",
        "array(['red', 'light blue'], dtype=object)",
        "('red', 'light blue')",
        "[red, light blue]",
        "red|light blue",
        "red\nlight blue",
        "red; light blue",
        "(A) red (B) light blue",
        "A. red\nB. light blue",
        "A: red, B: light blue",
        {"A": "red", "B": "light blue"},
        '{"A": "red", "B": "light blue"}',
        "{'A': 'red', 'B': 'light blue'}",
        {"label": ["A", "B"], "text": ["red", "light blue"]},
        [{"id": "A", "text": "red"}, {"id": "B", "text": "light blue"}],
    ],
)
def test_a_list_of_choices_is_read_in_any_notation(value: Any) -> None:
    assert parse_choices(value) == ("red", "light blue")


def test_choices_stay_the_text_they_are() -> None:
    assert parse_choices("['it\\'s', \"b's\"]") == ("it's", "b's")
    assert parse_choices("[1 2 3]") == parse_choices("[1, 2, 3]") == parse_choices([1.0, 2, "3"]) == ("1", "2", "3")
    assert parse_choices("[1.50, 2.0]") == ("1.50", "2.0")
    assert parse_choices("a, b") == ("a, b",)  # a comma may belong to a choice
    assert parse_choices(None) == parse_choices("") == parse_choices(float("nan")) == ()


def test_a_blank_choice_keeps_the_letters_of_those_behind_it() -> None:
    record = {"A": "red", "B": " ", "C": "blue", "D": "", "E": None}
    assert choices_of_record(record) == ("red", "", "blue")
    assert choices_of_record({"question": "open?"}) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Which? (A) red (B) blue", ("Which?", ("red", "blue"), "A")),
        ("Which?\nA. red\nB. 3.5 mm", ("Which?", ("red", "3.5 mm"), "A")),
        ("Which? A) red B) blue", ("Which?", ("red", "blue"), "A")),
        ("Which? (a) red, (b) blue", ("Which?", ("red", "blue"), "a")),
        ("Which?\nOptions:\n(A) red\n(B) blue\n", ("Which?", ("red", "blue"), "A")),
        (f"Which?\nA. red\nB. blue\n{CHOICE_INSTRUCTION}", ("Which?", ("red", "blue"), "A")),
        ("무슨 색인가? ① 빨강 ② 파랑", ("무슨 색인가?", ("빨강", "파랑"), "1")),
        ("무슨 색?\n1. 빨강\n2. 파랑\n정답을 고르시오.", ("무슨 색?", ("빨강", "파랑"), "1")),
        ("What is (A) here? (A) red (B) blue", ("What is (A) here?", ("red", "blue"), "A")),
        ("What is (A)?", None),
        ("Is vitamin A. good?", None),
        ("(A) red (B) blue", None),  # no question
        ("Which? (A) red (B) blue\nThe second picture is older.", None),
        ("Which? (A) (B) blue", None),
    ],
)
def test_choices_in_a_question(text: str, found: Any) -> None:
    assert split_question(text) == found


def test_labels_are_stripped_only_from_all_choices() -> None:
    assert strip_labels(["A. red", "B: blue"]) == ("red", "blue")
    assert strip_labels([" A:red ", " B:blue "]) == ("red", "blue")
    assert strip_labels(["1) red", "2) blue"]) == ("red", "blue")
    for kept in (("A. red", "blue"), ("1.5", "2.5"), ("1:30", "2:30"), ("A. red", "C. blue"), ("A. red",)):
        assert strip_labels(kept) == kept


def test_the_column_of_the_right_choice() -> None:
    assert answer_key(["image", "question", "choices", "correct_choice_idx"]) == "correct_choice_idx"
    assert answer_key(["id", "Label"]) == "Label"
    assert answer_key(["id", "question"]) == ""
    assert is_index("correct_choice_idx")
    assert is_index("Label")
    assert not is_index("answer")


def test_a_hint_stands_before_its_question() -> None:
    assert with_hint({"hint": "Look left.", "A": "x"}, "Which?") == "Look left.\nWhich?"
    assert with_hint({"hint": "nan"}, "Which?") == with_hint({"hint": None}, "Which?") == "Which?"
