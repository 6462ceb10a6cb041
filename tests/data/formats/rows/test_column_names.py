"""Columns are those that are set, else those that people usually call so; what is unclear is refused or told."""

import pytest

from vqa_core.data.formats.rows.column_names import KNOWN_AS, UNCLEAR, UNUSED, answers_optional, find_columns
from vqa_core.data.formats.split_data import SplitData
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap

NAMES = ("question_id", "image_id", "image", "question", "answer", "answers")


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ("ID image_id image question answer answers", "ID image_id image question answer answers"),
        ("question_id image question answer", "question_id  image question answer "),
        ("id img query label", "id  img query label "),
        ("qid file_name jpg prompt response", "qid file_name jpg prompt response "),
        ("uid img_id pixel instruction output", "uid img_id pixel instruction output "),
        ("index image text answer", "index  image text answer "),
        ("questionId imageId Image Question Answer Answers", "questionId imageId Image Question Answer Answers"),
        ("id idx url question multiple_choice_answer answers", "id  url question multiple_choice_answer answers"),
        ("image question answers label", "  image question  answers"),
        ("image question text prompt answer response", "  image question answer "),
        ("이미지 질문 답변", "  이미지 질문 답변 "),
    ],
)  # fmt: skip
def test_a_column_is_found_by_every_usual_name(there: str, found: str) -> None:
    names = find_columns("train", there.split(), ColumnMap()).names
    assert [names[name] for name in NAMES] == found.split(" ")


def test_the_only_column_of_pictures_is_the_picture_whatever_its_name() -> None:
    assert find_columns("train", ["scan", "question"], ColumnMap(), ["scan"]).names["image"] == "scan"
    assert find_columns("train", ["scan", "image", "question"], ColumnMap(), ["scan"]).names["image"] == "image"


@pytest.mark.parametrize(
    ("there", "columns", "message"),
    [
        ("img jpg question", ColumnMap(), "'img' and 'jpg' could each hold the image.*--image-column"),
        ("img text prompt", ColumnMap(), "'text' and 'prompt' could each hold the question.*--question-column"),
        ("img text label output", ColumnMap(), "'label' and 'output' could each hold the answer.*--answer-column"),
        ("img about", ColumnMap(), "has no column 'question'; it has 'img', 'about'.*--question-column"),
        ("img text label", ColumnMap(answer="gold"), "has no column 'gold'; it has .*--answer-column"),
    ],
)
def test_what_is_missing_or_unclear_is_refused_with_all_columns(there: str, columns: ColumnMap, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_columns("train", there.split(), columns)


def test_a_name_that_is_set_wins() -> None:
    there = ["img", "jpg", "text", "prompt", "label", "output"]
    names = find_columns("train", there, ColumnMap(image="jpg", question="prompt", answer="output")).names
    assert (names["image"], names["question"], names["answer"]) == ("jpg", "prompt", "output")


def test_a_split_to_answer_may_lack_the_answer_column() -> None:
    assert answers_optional(ColumnMap(answer="gold"), ["gold"]).answer == "gold"
    assert answers_optional(ColumnMap(answer="gold"), ["image"]).answer == "answer"


def test_what_was_taken_made_up_and_passed_over_is_told_once() -> None:
    told: set[str] = set()
    first, second = SplitData(), SplitData()
    for data in (first, second):
        find_columns("train", ["qid", "uid", "img", "question", "answer", "category"], ColumnMap()).tell(data, told)
    assert first.notes == {
        ("note", KNOWN_AS): ["img as image"],
        ("note", UNCLEAR): ["qid or uid as question id (--question-id-column)"],
        ("note", UNUSED): ["qid", "uid", "category"],
    }
    assert not second.notes
