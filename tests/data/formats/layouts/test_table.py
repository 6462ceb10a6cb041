"""Each layout of the table on a few rows made by hand, with the keys, pictures and splits that the data set has.

The name of the file is the same for all: a layout is recognised by what its records hold.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from vqa_core.data.formats.layouts.reader import ODD_CHOICES
from vqa_core.data.formats.layouts.table import LAYOUTS
from vqa_core.data.formats.readers import read_files
from vqa_core.data.formats.split_data import SplitData
from vqa_core.files import InputError
from vqa_core.runs.choices import TEXT
from vqa_core.runs.examples import Example

Splits = dict[str, list[Example]]
TEN = [*["dog"] * 4, *["cat"] * 5, "a dog"]


def read(tmp_path: Path, content: Any, *pictures: str, role: str = "train") -> dict[str, SplitData]:
    for name in pictures:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "data.json"
    path.write_text(json.dumps(content, ensure_ascii=False))
    return read_files([path], tmp_path, role)


def examples(found: dict[str, SplitData]) -> Splits:
    return {split: data.examples for split, data in found.items() if data.examples}


def notes(found: dict[str, SplitData]) -> dict[str, list[str]]:
    return {sentence: cases for data in found.values() for (_, sentence), cases in data.notes.items()}


def read_as(found: dict[str, SplitData]) -> str:
    return next(note.removeprefix("files read as ") for note in notes(found) if note.startswith("files read as "))


CASES: dict[str, tuple[Any, list[str], Splits]] = {
    "A-OKVQA": (
        [
            {"split": "train", "image_id": 7, "question_id": "q1", "question": "What?", "choices": ["a", "b", "c", "d"],
             "correct_choice_idx": 2, "direct_answers": ["c", "cc"], "difficult_direct_answer": False, "rationale": []},
            {"split": "test", "image_id": 8, "question_id": "q2", "question": "Who?", "choices": ["a", "b", "c", "d"],
             "difficult_direct_answer": True},
        ],
        ["train2017/000000000007.jpg", "test2017/000000000008.jpg"],
        {
            "train": [Example("q1", "7", "train2017/000000000007.jpg", "What?", "2", ("a", "b", "c", "d"), "0")],
            "test": [Example("q2", "8", "test2017/000000000008.jpg", "Who?", None, ("a", "b", "c", "d"), "0")],
        },
    ),
    "ScienceQA": (
        {
            "1": {"question": "Which?", "choices": ["north", "south"], "answer": 1, "hint": "", "image": "image.png",
                  "task": "closed choice", "lecture": "...", "solution": "...", "split": "train"},
            "2": {"question": "Why?", "choices": ["x", "y", "z"], "answer": 0, "hint": "A magnet.",
                  "image": "image.png", "lecture": "", "split": "val"},
            "3": {"question": "No picture?", "choices": ["x", "y"], "answer": 0, "hint": "", "image": None,
                  "lecture": "", "split": "train"},
        },
        ["images/train/1/image.png", "images/val/2/image.png"],
        {
            "train": [Example("1", "images/train/1/image.png", "images/train/1/image.png", "Which?", "1",
                              ("north", "south"), "0")],
            "val": [Example("2", "images/val/2/image.png", "images/val/2/image.png", "A magnet.\nWhy?", "0",
                            ("x", "y", "z"), "0")],
        },
    ),
    "Visual7W": (
        {"dataset": "v7w_telling", "images": [
            {"image_id": 5, "filename": "v7w_5.jpg", "split": "val", "qa_pairs": [
                {"qa_id": 50, "image_id": 5, "question": "What?", "answer": "A tree.", "type": "what",
                 "multiple_choices": ["A cat.", "The sky.", "A dog."]},
                {"qa_id": 51, "image_id": 5, "question": "Where?", "answer": "Home.", "type": "where",
                 "multiple_choices": ["Here.", "There.", "Away."]},
            ]},
        ]},
        ["images/v7w_5.jpg"],
        {"val": [
            Example("50", "5", "images/v7w_5.jpg", "What?", "A tree.", ("A cat.", "A dog.", "A tree.", "The sky.")),
            Example("51", "5", "images/v7w_5.jpg", "Where?", "Home.", ("Away.", "Here.", "Home.", "There.")),
        ]},
    ),
    "Visual Genome": (
        [{"id": 9, "qas": [{"qa_id": 90, "image_id": 9, "question": "What?", "answer": "Sky.", "a_objects": []}]}],
        ["VG_100K_2/9.jpg"],
        {"train": [Example("90", "9", "VG_100K_2/9.jpg", "What?", "Sky.")]},
    ),
    "OCR-VQA": (
        {
            "0123456789": {"imageURL": "http://x/a.gif", "questions": ["Who?", "When?"], "answers": ["Kim", "1999"],
                           "title": "T", "split": 1},
            "B00": {"imageURL": "http://x/b.jpg", "questions": ["Who?"], "answers": ["Lee"], "split": 3},
        },
        ["images/0123456789.gif", "images/B00.jpg"],
        {
            "train": [
                Example("0123456789", "0123456789", "images/0123456789.gif", "Who?", "Kim"),
                Example("0123456789#2", "0123456789", "images/0123456789.gif", "When?", "1999"),
            ],
            "test": [Example("B00", "B00", "images/B00.jpg", "Who?", "Lee")],
        },
    ),
    "GQA": (
        {"01": {"imageId": "n7", "question": "Is it?", "answer": "yes", "fullAnswer": "Yes.", "isBalanced": True}},
        ["images/n7.jpg"],
        {"train": [Example("01", "n7", "images/n7.jpg", "Is it?", "yes")]},
    ),
    "CLEVR": (
        {"info": {"split": "val"}, "questions": [
            {"image_filename": "C_0.png", "image_index": 0, "split": "val", "question_index": 0,
             "question": "How many?", "answer": 3, "program": [], "question_family_index": 2}]},
        ["images/val/C_0.png"],
        {"val": [Example("0", "images/val/C_0.png", "images/val/C_0.png", "How many?", "3")]},
    ),
    "FigureQA or PlotQA": (
        {"qa_pairs": [{"question_string": "Is it?", "image_index": 4, "question_id": 3, "answer": 1, "color1_id": 2}]},
        ["png/4.png"],
        {"train": [Example("3", "4", "png/4.png", "Is it?", "1")]},
    ),
    "DocVQA": (
        {"dataset_name": "docvqa", "dataset_split": "val", "data": [
            {"questionId": 9, "question": "Total?", "image": "documents/x_1.png", "docId": 1, "answers": ["$1", "1 $"],
             "data_split": "val"}]},
        ["spdocvqa_images/x_1.png"],
        {"val": [Example("9", "spdocvqa_images/x_1.png", "spdocvqa_images/x_1.png", "Total?", "$1")]},
    ),
    "TextVQA": (
        {"dataset_type": "train", "dataset_version": "0.5.1", "data": [
            {"question": "Brand?", "image_id": "00a", "image_classes": ["Bottle"], "question_id": 1, "answers": TEN,
             "flickr_original_url": "http://x", "set_name": "train"}]},
        ["train_images/00a.jpg"],
        {"train": [Example("1", "00a", "train_images/00a.jpg", "Brand?", "cat")]},
    ),
    "VizWiz": (
        [{"image": "VizWiz_train_0.jpg", "question": "색?", "answers": [{"answer": "파랑", "answer_confidence": "yes"}],
          "answer_type": "other", "answerable": 1}],
        ["train/VizWiz_train_0.jpg"],
        {"train": [Example("data_1", "train/VizWiz_train_0.jpg", "train/VizWiz_train_0.jpg", "색?", "파랑")]},
    ),
    "SLAKE": (
        [{"img_id": 1, "img_name": "xmlab1/source.jpg", "question": "Which?", "answer": "MRI", "q_lang": "en", "qid": 0,
          "location": "Abdomen", "modality": "MRI", "answer_type": "OPEN"}],
        ["imgs/xmlab1/source.jpg", "imgs/xmlab2/source.jpg"],
        {"train": [Example("0", "1", "imgs/xmlab1/source.jpg", "Which?", "MRI")]},
    ),
    "VQA-RAD": (
        [{"qid": 0, "image_name": "s1.jpg", "question": "How many?", "answer": 3, "answer_type": "OPEN",
          "phrase_type": "freeform"},
         {"qid": 1, "image_name": "s1.jpg", "question": "Is it?", "answer": "No", "phrase_type": "test_para"}],
        ["VQA_RAD Image Folder/s1.jpg"],
        {
            "train": [Example("0", "VQA_RAD Image Folder/s1.jpg", "VQA_RAD Image Folder/s1.jpg", "How many?", "3")],
            "test": [Example("1", "VQA_RAD Image Folder/s1.jpg", "VQA_RAD Image Folder/s1.jpg", "Is it?", "No")],
        },
    ),
    "LXMERT": (
        [{"answer_type": "other", "img_id": "COCO_val2014_000000000007", "label": {"nets": 0.3, "net": 1},
          "question_id": 7000, "question_type": "what", "sent": "What?"},
         {"img_id": "COCO_val2014_000000000007", "label": {}, "question_id": 7001, "sent": "Why?"}],
        ["val2014/COCO_val2014_000000000007.jpg"],
        {"train": [
            Example("7000", "COCO_val2014_000000000007", "val2014/COCO_val2014_000000000007.jpg", "What?", "net"),
            Example("7001", "COCO_val2014_000000000007", "val2014/COCO_val2014_000000000007.jpg", "Why?", None),
        ]},
    ),
    "LAVIS": (
        [{"question_id": 1, "question": "What?", "answer": TEN, "image": "val2014/c.jpg", "dataset": "vqa"}],
        ["coco/images/val2014/c.jpg"],
        {"train": [Example("1", "coco/images/val2014/c.jpg", "coco/images/val2014/c.jpg", "What?", "cat")]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_layout_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    content, pictures, expected = CASES[name]
    found = read(tmp_path, content, *pictures)
    assert read_as(found) == name
    assert examples(found) == expected


def test_every_layout_of_the_table_is_tested_and_names_its_source() -> None:
    assert [layout.name for layout in LAYOUTS] == list(CASES)
    assert all(layout.source.startswith("https://") for layout in LAYOUTS)


@pytest.mark.parametrize("name", [name for name, (content, _, _) in CASES.items() if isinstance(content, list)])
def test_json_lines_of_the_same_records_are_the_same_layout(name: str, tmp_path: Path) -> None:
    content, pictures, expected = CASES[name]
    read(tmp_path, content, *pictures)
    (tmp_path / "data.json").write_text("\n".join(map(json.dumps, content)))
    assert examples(read_files([tmp_path / "data.json"], tmp_path, "train")) == expected


def test_all_answers_are_references_and_the_commonest_is_trained_on(tmp_path: Path) -> None:
    for name in ("TextVQA", "LAVIS"):
        content, pictures, _ = CASES[name]
        assert read(tmp_path, content, *pictures)["train"].references == {"1": TEN}


def test_what_a_layout_does_not_read_is_named_and_the_order_of_choices_tells_nothing(tmp_path: Path) -> None:
    content, pictures, _ = CASES["A-OKVQA"]
    assert "direct_answers" in notes(read(tmp_path, content, *pictures))["keys of A-OKVQA that nothing is read from"]
    content, pictures, _ = CASES["Visual7W"]
    found = read(tmp_path, content, *pictures)
    assert any("choices are sorted" in note for note in notes(found))
    assert all(row.answer_form == TEXT for row in found["val"].examples)


def test_where_all_are_to_be_answered_no_record_goes_to_another_split(tmp_path: Path) -> None:
    content, pictures, expected = CASES["VQA-RAD"]
    found = read(tmp_path, content, *pictures, role="test")
    assert examples(found) == {"test": [row for rows in expected.values() for row in rows]}


def test_boxes_that_are_pointed_at_are_no_choices(tmp_path: Path) -> None:
    pair = {"qa_id": 1, "question": "Which?", "answer": 7, "multiple_choices": [1, 2, 3]}
    content = {"boxes": [{"box_id": 7}], "images": [{"image_id": 5, "filename": "a.jpg", "qa_pairs": [pair]}]}
    assert [record["why"] for record in read(tmp_path, content)["train"].left_out] == [ODD_CHOICES]


FLAT: list[tuple[dict[str, Any], Example]] = [
    ({"id": 7, "image": "0.png", "question": "Q", "answer": "A"}, Example("7", "0.png", "0.png", "Q", "A")),
    ({"qid": "x", "img": "0.png", "query": "Q", "response": "A"}, Example("x", "0.png", "0.png", "Q", "A")),
    ({"uid": "x", "img_path": "0", "prompt": "Q", "label": 4}, Example("x", "0.png", "0.png", "Q", "4")),
    ({"file_name": "0.png", "text": "Q", "output": "A"}, Example("data_1", "0.png", "0.png", "Q", "A")),
    ({"ID": "1", "Image Path": "0.png", "Question": "Q", "Answer": "A"}, Example("1", "0.png", "0.png", "Q", "A")),
    ({"id": "1", "images": ["0.png"], "query": "<image>\nQ", "response": "A"},
     Example("1", "0.png", "0.png", "Q", "A")),
    ({"id": "1", "image_id": "0", "question": "Q", "answer": "A"}, Example("1", "0", "0.png", "Q", "A")),
    ({"id": "1", "image_id": "9", "image": "0.png", "question": "Q", "answer": "A"},
     Example("1", "9", "0.png", "Q", "A")),
    ({"id": "1", "이미지": "0.png", "질문": "무엇?", "정답": "사과"}, Example("1", "0.png", "0.png", "무엇?", "사과")),
    ({"id": "1", "image": "gone.png", "question": "Q", "answer": ""}, Example("1", "gone.png", "gone.png", "Q", "")),
    ({"id": "1", "image": "0.png", "question": "Q", "answers": ["b", "a", "a"]},
     Example("1", "0.png", "0.png", "Q", "a")),
    ({"id": "1", "image": "0.png", "question": "Q", "answers": [["b"], [{"answer": "a"}, None]], "label": 3},
     Example("1", "0.png", "0.png", "Q", "b")),
    ({"id": "1", "image": "0.png", "question": "Q", "options": ["x", "y"], "answer": "B"},
     Example("1", "0.png", "0.png", "Q", "B", ("x", "y"))),
    ({"id": "1", "image": "0.png", "question": "Q", "choice_a": "x", "choice_b": "y", "answer": "A"},
     Example("1", "0.png", "0.png", "Q", "A", ("x", "y"))),
    ({"question_id": 1, "image": "0.png", "text": "Q", "label": "yes"}, Example("1", "0.png", "0.png", "Q", "yes")),
    ({"instruction": "I", "input": "Q", "output": "A", "images": ["0.png"]},
     Example("data_1", "0.png", "0.png", "I\nQ", "A")),
    ({"instruction": "<image>Q", "input": "", "output": "A", "images": ["0.png"]},
     Example("data_1", "0.png", "0.png", "Q", "A")),
    ({"question_id": "s", "data_id": "0", "question": "Q", "choice_a": "x", "choice_b": "y", "answer": "B"},
     Example("s", "0.png", "0.png", "Q", "B", ("x", "y"))),
    ({"imgname": "0.png", "query": "Q", "label": "3"}, Example("data_1", "0.png", "0.png", "Q", "3")),
    ({"id": "1", "image": "0.png", "question": "Q", "choices": {"A": "x", "B": "y"}, "correct_choice_idx": 1},
     Example("1", "0.png", "0.png", "Q", "1", ("x", "y"), "0")),
]  # fmt: skip


@pytest.mark.parametrize(("record", "expected"), FLAT)
def test_flat_records_are_read_by_the_usual_names_of_their_keys(
    record: dict[str, Any], expected: Example, tmp_path: Path
) -> None:
    assert examples(read(tmp_path, [record], "0.png")) == {"train": [expected]}


@pytest.mark.parametrize(
    "content",
    [
        {"question": {"0": "Q", "1": "R"}, "image": {"0": "0.png", "1": "0.png"}, "answer": {"0": "A", "1": "B"}},
        {"question": ["Q", "R"], "image": ["0.png", "0.png"], "answer": ["A", "B"]},
        {"columns": ["question", "image", "answer"], "data": [["Q", "0.png", "A"], ["R", "0.png", "B"]]},
        {"version": 1, "data": [{"image": "0.png", "question": "Q", "answer": "A"},
                                {"image": "0.png", "question": "R", "answer": "B"}]},
        {"data_1": {"image": "0.png", "question": "Q", "answer": "A"},
         "data_2": {"image": "0.png", "question": "R", "answer": "B"}},
    ],
)  # fmt: skip
def test_records_are_found_by_column_by_id_and_inside_an_object(content: Any, tmp_path: Path) -> None:
    rows = [Example("data_1", "0.png", "0.png", "Q", "A"), Example("data_2", "0.png", "0.png", "R", "B")]
    assert examples(read(tmp_path, content, "0.png")) == {"train": rows}


def test_lists_by_split_are_the_splits(tmp_path: Path) -> None:
    record = {"image": "0.png", "question": "Q", "answer": "A"}
    found = read(tmp_path, {split: [record | {"id": split}] for split in ("train", "validation", "test")}, "0.png")
    assert {split: rows[0].question_id for split, rows in examples(found).items()} == {
        "train": "train", "val": "validation", "test": "test",
    }  # fmt: skip


def test_one_odd_record_is_left_out_and_not_the_file(tmp_path: Path) -> None:
    good = {"id": 1, "image": "0.png", "question": "Q", "answer": "A"}
    odd: list[Any] = [
        "text", None, {"id": 2, "image": "0.png"}, good | {"id": 3, "question": None}, good | {"id": 4, "question": 5},
        good | {"id": 5, "image": None}, good | {"id": 6, "image": ["0.png", "1.png"]},
        good | {"id": 7, "answer": {"a": {"b": 1}}},
    ]  # fmt: skip
    found = read(tmp_path, [good, *odd, good | {"id": 8}, *[good | {"id": 10 + n} for n in range(9)]], "0.png")
    assert len(found["train"].examples) == 11
    assert [record["record"] for record in found["train"].left_out] == odd
    assert len({record["why"] for record in found["train"].left_out}) == 6


def test_numbers_that_pandas_made_fractions_are_the_whole_numbers_they_were(tmp_path: Path) -> None:
    rows = [{"id": float(n), "image": "0.png", "question": "Q", "answer": value} for n, value in ((1, 2.0), (2, None))]
    found = read(tmp_path, rows, "0.png")
    assert [(row.question_id, row.answer) for row in found["train"].examples] == [("1", "2"), ("2", None)]
    assert any(note.startswith("answer: ") for note in notes(found))


def test_a_question_without_any_answer_is_told_from_one_whose_answer_has_another_name(tmp_path: Path) -> None:
    record = {"image": "0.png", "question": "Q"}
    for content in ([record], [record | {"answer": None}], [record | {"Antwort": "A"}]):
        with pytest.raises(InputError, match=r"holds questions without answers; their keys are 'image', 'question'"):
            read(tmp_path, content, "0.png")
    assert examples(read(tmp_path, [record], "0.png", role="test"))["test"][0].answer is None


def test_a_picture_that_two_files_could_be_is_told_and_not_guessed(tmp_path: Path) -> None:
    record = {"id": "1", "image": "0.png", "question": "Q", "answer": "A"}
    found = read(tmp_path, [record], "a/0.png", "b/0.png")
    assert found["train"].examples[0].image == "0.png"
    assert any(note.startswith("pictures that several files could be") for note in notes(found))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"image": "a", "question": "Q", "answers": [], "x": 1}] * 6 + [{"image": "a"}] * 14,
         "nearest is records with image, question and answer: 14 of 20 records have no 'question', 'answer'"),
        ([{"questionId": 1, "question": "Q"}] * 3,
         "nearest is DocVQA: 3 of 3 records have no 'image or image_local_name'"),
        ([{"q": "Q", "a": "A", "image": "0.png"}],
         "nearest is records with image, question and answer: 1 of 1 records have no 'question', 'answer'; "
         "their keys are 'q', 'a', 'image'"),
        ({"a": 1, "b": [1]}, "in no format that is read here .LLaVA, VQA, A-OKVQA, "),
        ([1, 2], "holds no objects with keys"),
        ("text", "holds no objects with keys, but 'text'"),
        ({"train": ["1"], "val": ["2"]}, "holds no objects with keys"),
    ],
)  # fmt: skip
def test_a_file_in_no_format_is_compared_with_all_and_told_what_the_nearest_lacks(
    content: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_the_keys_that_a_refusal_names_may_be_renamed_as_it_says(tmp_path: Path) -> None:
    assert examples(read(tmp_path, [{"question": "Q", "answer": "A", "image": "0.png"}], "0.png"))
