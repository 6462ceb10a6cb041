"""A reader is chosen by what a file holds: several files at once, a folder of them, under any name."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support.exported import notes_of
from train.prepare import main
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.importing import Sources, import_data, is_foreign
from vqa_core.data.formats.readers import read_files
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError
from vqa_core.runs.examples import Example

TALK = {"id": "t", "image": "0.png", "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}
FLAT = {"id": "f", "image": "0.png", "question": "Q", "answer": "A"}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("0.png", "train/0.png", "test/0.png"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(tmp_path / "pictures" / name)
    return tmp_path / "pictures"


def test_conversations_in_lines_called_json_and_in_a_list_called_jsonl_are_read(pictures: Path) -> None:
    (pictures / "a.json").write_text("\n".join(json.dumps(TALK | {"id": name}) for name in "xy"))
    (pictures / "b.jsonl").write_text(json.dumps([TALK | {"id": "z"}], indent=1))
    (pictures / "c.jsonl").write_text(json.dumps(TALK))
    found = read_files([pictures / f"{name}" for name in ("a.json", "b.jsonl", "c.jsonl")], pictures, "train")
    assert [row.question_id for row in found["train"].examples] == ["x", "y", "z", "t"]


def test_files_of_different_formats_are_read_together(pictures: Path) -> None:
    (pictures / "a.json").write_text(json.dumps([TALK]))
    (pictures / "b.jsonl").write_text(json.dumps(FLAT))
    (pictures / "empty.json").write_text("[]")
    paths = [pictures / name for name in ("a.json", "b.jsonl", "empty.json")]
    assert read_files(paths, pictures, "train")["train"].examples == [
        Example("t", "0.png", "0.png", "Q", "A"),
        Example("f", "0.png", "0.png", "Q", "A"),
    ]


def test_an_imagefolder_with_metadata_in_each_folder_is_a_training_and_a_test_set(
    pictures: Path, tmp_path: Path
) -> None:
    """As `datasets` lays it out: `file_name` is relative to the folder of its metadata.jsonl."""
    record = {"file_name": "0.png", "question": "Q", "answer": "A"}
    for split in ("train", "test"):
        (pictures / split / "metadata.jsonl").write_text(json.dumps(record))
    assert is_foreign(str(pictures))
    read = read_competition(import_data(Sources([str(pictures)]), tmp_path / "out"))
    assert [len(rows) for rows in (read.train, read.test)] == [1, 1]
    for split, rows in (("train", read.train), ("test", read.test)):
        assert (read.root / rows[0].image).read_bytes() == (pictures / split / "0.png").read_bytes()


def test_the_splits_inside_one_file_of_choices_are_the_tables_of_the_folder(pictures: Path, tmp_path: Path) -> None:
    shared = {"question": "Which?", "choices": ["x", "y"], "hint": "", "lecture": "", "image": "image.png"}
    splits = {"1": "train", "2": "val", "3": "test", "4": "train"}
    for key, split in splits.items():
        (pictures / split / key).mkdir(parents=True)
        Image.new("RGB", (8, 8), (int(key), 0, 0)).save(pictures / split / key / "image.png")
    problems = {key: shared | {"answer": int(key) % 2, "split": split} for key, split in splits.items()}
    (pictures / "problems.json").write_text(json.dumps(problems))
    folder = import_data(Sources([str(pictures / "problems.json")]), tmp_path / "out")
    read = read_competition(folder)
    found = {row.question_id: row for row in (*read.train, *read.val, *read.test)}
    assert [[row.question_id for row in rows] for rows in (read.train, read.val, read.test)] == [
        ["1", "4"],
        ["2"],
        ["3"],
    ]
    assert {(row.choices, row.answer_form) for row in found.values()} == {(("x", "y"), "0")}
    assert [found[key].answer for key in "124"] == ["1", "0", "0"]
    assert (folder / "solution.csv").read_text() == '"ID","answer"\n"3","1"\n'


def test_validation_questions_of_vqa_are_never_trained_on(pictures: Path, tmp_path: Path) -> None:
    """Named by the split inside the files: their own names say nothing."""
    for number, subset in enumerate(("train2014", "val2014")):
        (pictures / subset).mkdir()
        Image.new("RGB", (8, 8), (9, number, 0)).save(pictures / subset / f"COCO_{subset}_{number:012d}.jpg")
        item = {"question_id": number, "image_id": number}
        for key, more in (("questions", {"question": "Q"}), ("annotations", {"answers": [{"answer": "A"}]})):
            content = {"data_subtype": subset, key: [item | more]}
            (pictures / f"{'ab'[number]}_{key}.json").write_text(json.dumps(content))
    read = read_competition(import_data(Sources([str(pictures)]), tmp_path / "out"))
    assert [row.question_id for row in read.train] == ["0"]
    assert [row.question_id for row in read.val] == ["1"]
    assert all((read.root / row.image).is_file() for row in (*read.train, *read.val))


def test_flat_records_are_prepared_end_to_end_and_the_report_says_how_they_were_read(
    pictures: Path, tmp_path: Path
) -> None:
    (pictures / "any.txt").write_text("\n".join(json.dumps(FLAT | {"id": n, "source": "web"}) for n in (1, 2)))
    folder = data_folder(str(pictures / "any.txt"), tmp_path / "out")
    assert [(row.question_id, row.answer) for row in read_competition(folder).train] == [("1", "A"), ("2", "A")]
    assert notes_of(folder) == {
        "files read as records with image, question and answer": 1,
        "keys of records with image, question and answer that nothing is read from": 1,
    }


def test_a_file_that_is_not_utf_8_is_read_and_its_encoding_told(pictures: Path) -> None:
    (pictures / "a.json").write_bytes(json.dumps([FLAT | {"answer": "빨강"}], ensure_ascii=False).encode("utf-16"))
    data = read_files([pictures / "a.json"], pictures, "train")["train"]
    assert data.examples[0].answer == "빨강"
    assert ("note", "files decoded as utf-16-le") in data.notes


def test_a_pickle_is_refused_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "train_vqa.pkl").write_bytes(b"\x80\x04N.")
    for more in ([], [str(tmp_path / "train_vqa.pkl")]):
        with pytest.raises(InputError, match="is a pickle, and opening one may run any program"):
            main(["--data", str(tmp_path / "train_vqa.pkl"), *more, "--run", str(tmp_path / "run")])
