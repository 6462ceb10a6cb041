"""Datasets on disk: any split and column, pictures as their bytes, pictures that come twice written once."""

import base64
import math
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from tests.support.exported import notes_of
from vqa_core.data.columns.values import WHOLE
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.importing import Sources, import_data
from vqa_core.data.formats.parquet import write_parquet
from vqa_core.data.formats.picture_paths import WEB
from vqa_core.data.formats.rows.reader import NUMBERED
from vqa_core.data.pictures.inline import BROKEN
from vqa_core.data.references import read_annotations
from vqa_core.files import InputError, read_json
from vqa_core.runs.examples import ColumnMap, Example


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    for number in range(2):
        Image.new("RGB", (8, 8), (200 * number, 0, 0)).save(tmp_path / f"{number}.jpg")
    return [str(tmp_path / f"{number}.jpg") for number in range(2)]


def save(folder: Path, splits: dict[str, dict[str, list[Any]]], **features: Any) -> str:
    made = {}
    for name, columns in splits.items():
        made[name] = datasets.Dataset.from_dict(columns)
        for column, feature in features.items():
            made[name] = made[name].cast_column(column, feature)
    datasets.DatasetDict(made).save_to_disk(folder)
    return str(folder)


def test_columns_are_those_named_and_a_split_may_be_chosen(pictures: list[str], tmp_path: Path) -> None:
    train = {"qid": [1, 2], "photo": pictures, "text": ["Q", "Q"], "label": ["NA", "001"]}
    source = save(tmp_path / "set", {"train": train, "validation": train}, photo=datasets.Image())
    columns = ColumnMap("qid", "image_id", "text", "label", "photo")
    folder = import_data(Sources([f"{source}#train"], [f"{source}#validation"], columns=columns), tmp_path / "out")
    read = read_competition(folder)
    assert [(row.question_id, row.question, row.answer) for row in read.train] == [("1", "Q", "NA"), ("2", "Q", "001")]
    assert [(row.question_id, row.answer) for row in read.test] == [("1", None), ("2", None)]
    assert {row.image for row in read.train} == {row.image for row in read.test}
    stored = sorted((folder / "image").iterdir())
    assert [path.suffix for path in stored] == [".jpg", ".jpg"]
    assert {path.read_bytes() for path in stored} == {Path(path).read_bytes() for path in pictures}
    assert [row.image_id for row in read.train] == [Path(row.image).stem for row in read.train]
    assert (folder / "solution.csv").is_file()


def test_lists_of_answers_in_every_usual_shape_are_all_kept(pictures: list[str], tmp_path: Path) -> None:
    shapes = [["a", "b", "b"], [{"answer": "a"}, {"answer": "b"}, {"answer": "b"}]]
    for number, answers in enumerate(shapes):
        rows = {"question_id": ["x"], "image": pictures[:1], "question": ["Q"], "answers": [answers]}
        source = save(tmp_path / f"set{number}", {"train": rows}, image=datasets.Image())
        folder = import_data(Sources([source]), tmp_path / f"out{number}")
        assert read_competition(folder).train[0].answer == "b"
        assert read_annotations(folder / "annotations.json") == {"x": ["a", "b", "b"]}


def test_rows_without_ids_are_numbered_and_lost_pictures_reported(pictures: list[str], tmp_path: Path) -> None:
    rows = {"image": [*pictures, None, str(tmp_path / "gone.png")], "question": ["Q"] * 4, "answer": [0, 1, 1, 1]}
    source = save(tmp_path / "set", {"train": rows}, answer=datasets.ClassLabel(names=["no", "none"]))
    read = read_competition(import_data(Sources([source]), tmp_path / "out"))
    assert [(row.question_id, row.answer) for row in read.train] == [
        *[("train_0", "no"), ("train_1", "none"), ("train_2", "none"), ("train_3", "none")]
    ]
    assert [bool(row.image) for row in read.train] == [True, True, False, False]
    assert [case["message"] for case in read.imported] == [
        "rows without an id, named by split and row number: 4",
        "rows without a picture: 1",
        "rows whose picture cannot be read at the path that the dataset gives: 1",
    ]


def test_lists_of_one_picture_are_that_picture_and_rows_with_several_are_reported(
    pictures: list[str], tmp_path: Path
) -> None:
    lists = [pictures[:1], pictures, [], None]
    rows = {"question_id": ["a", "b", "c", "d"], "images": lists, "question": ["Q"] * 4, "answer": ["A", "B", "C", "D"]}
    for number, kind in enumerate((datasets.List, datasets.LargeList)):
        source = save(tmp_path / f"set{number}", {"train": rows}, images=kind(datasets.Image()))
        folder = import_data(Sources([source], columns=ColumnMap(image="images")), tmp_path / f"out{number}")
        read = read_competition(folder)
        assert [row.question_id for row in read.train] == ["a", "c", "d"]
        assert (folder / read.train[0].image).read_bytes() == Path(pictures[0]).read_bytes()
        assert [case["message"] for case in read.imported] == [
            "left out, kept in left_out.json: rows with several pictures; a question here is about one: 1",
            "rows without a picture: 2",
        ]
        (kept,) = read_json(folder / "left_out.json")
        assert kept["record"] == {"question_id": "b", "pictures": 2, "question": "Q", "answer": "B"}


def test_nan_and_none_are_no_answer_and_the_word_nan_is_one(pictures: list[str], tmp_path: Path) -> None:
    rows = {"question_id": ["a", "b", "c"], "image": [pictures[0]] * 3, "question": ["Q"] * 3}
    for number, answers in enumerate(([2.5, math.nan, None], ["nan", "None", None])):
        source = save(tmp_path / f"set{number}", {"train": rows | {"answer": answers}}, image=datasets.Image())
        read = read_competition(import_data(Sources([source]), tmp_path / f"out{number}"))
        assert [row.answer for row in read.train] == [["2.5"], ["nan", "None"]][number]
    source = save(tmp_path / "lists", {"train": rows | {"answers": [["a", None], [None], []]}}, image=datasets.Image())
    read = read_competition(import_data(Sources([source]), tmp_path / "out"))
    assert [(row.question_id, row.answer) for row in read.train] == [("a", "a")]


def test_a_missing_column_or_split_or_dataset_is_named(pictures: list[str], tmp_path: Path) -> None:
    rows = {"question_id": ["x"], "image": pictures[:1], "question": ["Q"], "answer": [True]}
    source = save(tmp_path / "set", {"train": rows})
    for sources, message in (
        (Sources([source], columns=ColumnMap(question="text")), "no column 'text'.*--question-column"),
        (Sources([source], columns=ColumnMap(question_id="key")), "no column 'key'.*--question-id-column"),
        (Sources([f"{source}#dev"]), "there is no split 'dev'; there are train"),
        (Sources(["hub:no-such-org/no-such-set"]), "cannot be read as a dataset"),
        (Sources(["hub:"]), "is not a dataset"),
    ):
        with pytest.raises(InputError, match=message):
            import_data(sources, tmp_path / "out")


def test_numbers_of_every_split_become_the_text_that_they_were(pictures: list[str], tmp_path: Path) -> None:
    rows = {"image": [pictures[0]] * 2, "question": ["Q"] * 2}
    ids = {"question_id": [1000.0, None], "image_id": [7.0, 8.0]}
    whole = {"train": rows | ids | {"answer": [2.0, 3.0]}, "test": rows | ids | {"answer": [1.0, None]}}
    folder = import_data(Sources([save(tmp_path / "whole", whole, image=datasets.Image())]), tmp_path / "out0")
    read = read_competition(folder)
    assert [(row.question_id, row.image_id, row.answer) for row in read.train] == [
        ("1000", "7", "2"),
        ("train_1", "8", "3"),
    ]
    assert (folder / "solution.csv").read_text() == '"ID","answer"\n"1000","1"\n'
    assert {f"column {name!r}: {WHOLE}" for name in ("question_id", "image_id", "answer")} < set(notes_of(folder))
    parts = {"train": rows | {"answer": [2.0, 3.0]}, "test": rows | {"answer": [1.0, 2.5]}}
    folder = import_data(Sources([save(tmp_path / "parts", parts, image=datasets.Image())]), tmp_path / "out1")
    assert [row.answer for row in read_competition(folder).train] == ["2.0", "3.0"]
    assert set(notes_of(folder)) == {NUMBERED}


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pyarrow.array([0.1, 2.5], pyarrow.float32()), ["0.1", "2.5"]),
        (pyarrow.array([True, False]), ["true", "false"]),
        (pyarrow.array([2**64 - 1, 2**53 + 1], pyarrow.uint64()), [str(2**64 - 1), str(2**53 + 1)]),
        (pyarrow.array([Decimal("2.50"), Decimal("1.00")]), ["2.50", "1.00"]),
        (pyarrow.array([date(2024, 5, 1), date(2024, 5, 2)]), ["2024-05-01", "2024-05-02"]),
        (pyarrow.array([datetime(2024, 5, 1)] * 2, pyarrow.timestamp("ns")), ["2024-05-01"] * 2),
        (pyarrow.array(["NA", "001"], pyarrow.large_string()), ["NA", "001"]),
        (pyarrow.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pyarrow.array([[2.0, 3.0, 3.0], [1.0]]), ["3", "1"]),
        (pyarrow.array([{"text": ["x"], "start": [1]}] * 2), ["x", "x"]),
    ],
    ids=str,
)
def test_answers_of_every_type_of_column_become_text(values: Any, texts: list[str], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    stored = [{"bytes": (tmp_path / "a.png").read_bytes(), "path": None}] * 2
    rows = {"question_id": ["a", "b"], "image": stored, "question": ["Q", "R"], "answer": values}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "train.parquet")
    folder = import_data(Sources([str(tmp_path / "train.parquet")]), tmp_path / "out")
    assert [row.answer for row in read_competition(folder).train] == texts


def test_pictures_come_as_base64_as_paths_of_any_machine_and_never_from_the_web(
    pictures: list[str], tmp_path: Path
) -> None:
    data = Path(pictures[0]).read_bytes()
    coded = base64.b64encode(data).decode()
    given = [
        coded,
        f"data:image/jpeg;base64,{coded}",
        "0.jpg",
        "C:\\me\\0.png",
        "http://example.org/x.jpg",
        f"{coded}!{coded}",
    ]
    rows = {"id": list("abcdef"), "img": given, "query": ["Q"] * 6, "label": [["x"], *[["y"]] * 5]}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "train.parquet")
    folder = import_data(Sources([str(tmp_path / "train.parquet")]), tmp_path / "out")
    read = read_competition(folder)
    assert [(row.question_id, row.question, row.answer) for row in read.train] == [
        ("a", "Q", "x"),
        *[(name, "Q", "y") for name in "bcd"],
    ]
    assert {(folder / row.image).read_bytes() for row in read.train} == {data}
    assert {f"left out, kept in left_out.json: {why}" for why in (WEB, BROKEN)} < set(notes_of(folder))


def test_a_dataset_saved_in_another_format_is_read_as_plain_values(pictures: list[str], tmp_path: Path) -> None:
    rows = {"question_id": [1, 2], "image": pictures, "question": ["Q", "R"], "answer": [1.0, None]}
    made = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()).with_format("numpy")
    made.save_to_disk(tmp_path / "set")
    read = read_competition(import_data(Sources([str(tmp_path / "set")]), tmp_path / "out"))
    assert [(row.question_id, row.answer) for row in read.train] == [("1", "1")]


def test_rows_that_name_their_split_belong_to_it_unless_all_name_the_same(pictures: list[str], tmp_path: Path) -> None:
    rows = {"id": [1, 2], "image": pictures, "question": ["Q", "R"], "answer": ["x", "y"]}
    for splits, counts in ((["train", "val"], [1, 1]), (["val", "val"], [2, 0])):
        source = save(tmp_path / f"set{counts}", {"train": rows | {"split": splits}}, image=datasets.Image())
        read = read_competition(import_data(Sources([source]), tmp_path / f"out{counts}"))
        assert [len(read.train), len(read.val)] == counts


def test_training_data_without_answers_is_refused_with_its_columns(pictures: list[str], tmp_path: Path) -> None:
    source = save(tmp_path / "set", {"train": {"image": pictures, "question": ["Q", "R"], "reply to": ["x", "y"]}})
    with pytest.raises(
        InputError, match=r"no column of answers; it has 'image', 'question', 'reply to'.*--answer-column"
    ):
        import_data(Sources([source]), tmp_path / "out")
    read = read_competition(import_data(Sources([source], columns=ColumnMap(answer="reply to")), tmp_path / "out"))
    assert [row.answer for row in read.train] == ["x", "y"]


def test_parquet_is_read_by_datasets_with_pictures_and_stores_one_of_many_questions_once(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(tmp_path / "noise.png")
    size = (tmp_path / "noise.png").stat().st_size
    rows = [Example(f"{n:03d}", "i", "noise.png", "Q", None if n else "NA") for n in range(500)]
    rows.append(Example("last", "j", "", "Q", None))
    assert write_parquet(tmp_path / "train.parquet", rows, tmp_path, {"000": ["NA", "none"]}) == 501
    assert (tmp_path / "train.parquet").stat().st_size < 4 * size
    loaded = datasets.load_dataset("parquet", data_files=str(tmp_path / "train.parquet"), streaming=True)["train"]
    assert isinstance(loaded.features["image"], datasets.Image)
    first, *_, last = loaded
    assert first["image"].size == (64, 64)
    assert (first["question_id"], first["answer"], first["answers"]) == ("000", "NA", ["NA", "none"])
    assert (last["image"], last["answer"], last["answers"]) == (None, None, [])
