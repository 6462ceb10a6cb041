"""The names of columns."""

import pytest

from vqa_core.data.columns.column_names import fields_named, key_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ID", "id"),
        ("image_id", "Image ID"),
        ("image_id", "image-id"),
        ("image_id", "imageId"),
        ("answer", " Answer\u00a0"),
        ("ID", "\ufeffid"),
        ("answer", "ａｎｓｗｅｒ"),
        ("질문", "질문 "),
        ("질문", "\u110c\u1175\u11af\u1106\u116e\u11ab"),  # as macOS writes it
    ],
)
def test_names_are_the_same_without_case_blanks_and_marks(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(("one", "other"), [("id", "ids"), ("answer", "answers"), ("image", "image_id"), ("a.b", "ab")])
def test_other_words_are_other_names(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("질문", {"question"}),
        ("정답", {"answer"}),
        ("아이디", {"question_id"}),
        ("이미지 ID", {"image_id"}),
        ("img_path", {"image_id", "image"}),
        ("Label", {"answer"}),
        ("Usage", set()),
        ("A", set()),
    ],
)
def test_usual_names_say_what_a_column_holds(name: str, fields: set[str]) -> None:
    assert fields_named(name) == fields
