"""VQA's questions and annotations belong together; their pictures are COCO's; one odd record does not cost the file."""

import json
from pathlib import Path
from typing import Any

import pytest

from vqa_core.data.columns.values import WHOLE
from vqa_core.data.formats.readers import read_files
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.formats.vqav2 import ODD_ANNOTATION, ODD_QUESTION, REPEATED, UNASKED
from vqa_core.files import InputError
from vqa_core.runs.examples import Example


def question(number: int, **more: Any) -> dict[str, Any]:
    return {"question_id": number, "image_id": number // 10, "question": f"Q{number}?", **more}


def annotation(number: int, *answers: str, **more: Any) -> dict[str, Any]:
    texts = [{"answer": text, "raw_answer": text, "answer_confidence": "yes"} for text in answers]
    return {"question_id": number, "image_id": number // 10, "answers": texts, **more}


def read(tmp_path: Path, *contents: Any, role: str = "train") -> dict[str, SplitData]:
    paths = []
    for number, content in enumerate(contents):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(content))
    return read_files(paths, tmp_path, role)


def notes(found: dict[str, SplitData]) -> dict[str, list[str]]:
    return {sentence: cases for data in found.values() for (_, sentence), cases in data.notes.items()}


@pytest.mark.parametrize("folder", ["", "coco/"])
def test_questions_of_train_and_val_go_to_their_splits_with_the_pictures_of_both(folder: str, tmp_path: Path) -> None:
    for subset, number in (("train2014", 1), ("val2014", 2)):
        (tmp_path / folder / subset).mkdir(parents=True)
        (tmp_path / folder / subset / f"COCO_{subset}_{number:012d}.jpg").touch()
    found = read(
        tmp_path,
        {"data_subtype": "train2014", "questions": [question(10)]},
        {"data_subtype": "val2014", "questions": [question(20)]},
        {"data_subtype": "val2014", "annotations": [annotation(20, "a", "b", "b", multiple_choice_answer="a")]},
        {"data_subtype": "train2014", "annotations": [annotation(10, "a", "b", "b")]},
    )
    train, val = (
        f"{folder}{subset}/COCO_{subset}_{number:012d}.jpg" for subset, number in (("train2014", 1), ("val2014", 2))
    )
    assert found["train"].examples == [Example("10", "1", train, "Q10?", "b")]
    assert found["val"].examples == [Example("20", "2", val, "Q20?", "a")]
    assert found["val"].references == {"20": ["a", "b", "b"]}


def test_a_question_of_vqa_v1_has_its_choices_and_the_text_of_the_right_one(tmp_path: Path) -> None:
    choices = ["yes", "2", "red", "2"]
    found = read(
        tmp_path,
        {"task_type": "Multiple-Choice", "questions": [question(10, multiple_choices=choices)]},
        {"annotations": [annotation(10, "red", "blue", multiple_choice_answer="red")]},
    )
    assert found["train"].examples == [Example("10", "1", "", "Q10?", "red", ("yes", "2", "red"))]


def test_lists_without_the_object_around_them_and_both_in_one_file_are_the_same(tmp_path: Path) -> None:
    questions, annotations = (
        [question(10, coco_split="val2014"), question(20)],
        [annotation(10, "a"), annotation(20, "b")],
    )
    (tmp_path / "x").mkdir()
    (tmp_path / "x/COCO_val2014_000000000001.jpg").touch()
    expected = [
        Example("10", "1", "x/COCO_val2014_000000000001.jpg", "Q10?", "a"),
        Example("20", "2", "", "Q20?", "b"),
    ]
    assert read(tmp_path, questions, annotations)["train"].examples == expected
    assert read(tmp_path, {"questions": questions, "annotations": annotations})["train"].examples == expected


def test_one_odd_question_or_annotation_is_left_out_and_not_the_file(tmp_path: Path) -> None:
    odd_questions = [{"question_id": 1}, question(2, question=None), "text"]
    odd_annotations = [{"question_id": 3}, annotation(4) | {"answers": [{"a": {}}]}, None]
    good, known = [question(10 + n) for n in range(5)], [annotation(10 + n, "a") for n in range(5)]
    found = read(
        tmp_path,
        {"questions": [*good, *odd_questions]},
        {"annotations": [*known, *odd_annotations, annotation(10, "a"), annotation(99, "b")]},
    )
    assert [row.question_id for row in found["train"].examples] == [str(10 + n) for n in range(5)]
    left_out = found["train"].left_out
    assert [record["why"] for record in left_out] == [ODD_QUESTION] * 3 + [ODD_ANNOTATION] * 3 + [UNASKED]
    assert [record["record"] for record in left_out] == [
        *odd_questions, *odd_annotations, {"question_id": "99", "answers": ["b"]},
    ]  # fmt: skip
    assert notes(found)[REPEATED] == ["10"]


def test_numbers_as_answers_are_texts_and_a_question_without_answers_has_none(tmp_path: Path) -> None:
    annotations = [annotation(10) | {"answers": [3, 3, "4"]}, annotation(20)]
    found = read(tmp_path, {"questions": [question(10), question(20)]}, {"annotations": annotations})
    assert [row.answer for row in found["train"].examples] == ["3", None]
    assert found["train"].references == {"10": ["3", "3", "4"]}


def test_questions_and_annotations_that_do_not_belong_together_are_refused_with_the_file_to_name(
    tmp_path: Path,
) -> None:
    questions, others = {"questions": [question(10)]}, {"annotations": [annotation(20, "a")]}
    with pytest.raises(InputError, match=r"0.json holds questions without answers. Name the file with its annotations"):
        read(tmp_path, questions)
    with pytest.raises(InputError, match=r"No question of .*0.json has an answer in .*1.json. Name the annotations of"):
        read(tmp_path, questions, others)
    with pytest.raises(InputError, match=r"0.json has answers but no questions. Also name the file with its questions"):
        read(tmp_path, others)
    with pytest.raises(InputError, match=r"2.json has other answers to question '20' than were read before"):
        read(tmp_path, questions, others, {"annotations": [annotation(20, "b")]})
    assert read(tmp_path, questions, role="test")["test"].examples == [Example("10", "1", "", "Q10?")]


def test_questions_that_call_themselves_test_are_to_be_answered(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"data_subtype": "train2014", "questions": [question(10)]},
        {"data_subtype": "test-dev2015", "questions": [question(20)]},
        {"annotations": [annotation(10, "a")]},
    )
    assert [row.question_id for row in found["test"].examples] == ["20"]


def test_ids_that_pandas_made_floating_point_meet_those_of_the_other_file(tmp_path: Path) -> None:
    asked = question(10) | {"question_id": 10.0, "image_id": 1.0}
    found = read(tmp_path, {"questions": [asked]}, {"annotations": [annotation(10, "a")]})["train"]
    assert [(row.question_id, row.image_id, row.answer) for row in found.examples] == [("10", "1", "a")]
    assert {("note", f"{key}: {WHOLE}"): ["10"] for key in ("question_id", "image_id")} == found.notes
