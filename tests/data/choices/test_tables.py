"""Multiple choice in the CSV files of a competition: choices of each row, one form over all files."""

from pathlib import Path

import pytest

from vqa_core.config import DataSettings
from vqa_core.data.competition import read_competition, read_test
from vqa_core.data.prepare import prepare
from vqa_core.files import InputError, read_json
from vqa_core.runs.choices import TEXT
from vqa_core.runs.run_dir import RunDir

TRAIN = "ID,image_id,question,A,B,C,D,answer\n0,a,which?,red,green,blue,,A\n1,a,how?,one,two,three,four,D\n"
TEST = "ID,image_id,question,A,B,C,D\n7,b,which?,red,green,,\n"
PICTURES = {"image/train/a.png": "", "image/test/b.png": ""}


def folder_with(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root


def test_each_row_has_its_own_choices_and_test_the_form_of_training(tmp_path: Path) -> None:
    read = read_competition(folder_with(tmp_path, PICTURES | {"train.csv": TRAIN, "test.csv": TEST}))
    assert [row.choices for row in read.train] == [("red", "green", "blue"), ("one", "two", "three", "four")]
    assert [(row.choices, row.answer, row.answer_form) for row in read.test] == [(("red", "green"), None, "A")]
    assert read.imported == []


def test_a_list_with_an_index_beside_it(tmp_path: Path) -> None:
    train = "ID,image_id,question,choices,correct_choice_idx\n0,a,which?,\"['red', 'blue']\",1\n"
    read = read_competition(folder_with(tmp_path, PICTURES | {"train.csv": train}))
    (row,) = read.train
    assert (row.choices, row.answer, row.answer_form) == (("red", "blue"), "1", "0")  # an index counts from 0
    assert "numbers from 0" in read.imported[0]["message"]


def test_test_questions_alone_take_the_form_from_train_csv_or_the_sample(tmp_path: Path) -> None:
    numbered = TRAIN.replace(",A\n", ",1\n").replace(",D\n", ",4\n")
    folder = folder_with(tmp_path, PICTURES | {"train.csv": numbered, "test.csv": TEST})
    assert read_test(folder).test[0].answer_form == "1"
    (folder / "train.csv").unlink()
    folder_with(folder, {"sample_submission.csv": "ID,answer\n7,green\n"})
    assert read_test(folder).test[0].answer_form == TEXT
    assert read_test(folder, answer_form="a").test[0].answer_form == "a"


def test_a_hint_is_read_before_its_question(tmp_path: Path) -> None:
    train = "ID,hint,image_id,question,A,B,answer\n0,Look left.,a,which?,red,blue,A\n1,,a,how?,one,two,B\n"
    read = read_competition(folder_with(tmp_path, PICTURES | {"train.csv": train}))
    assert [row.question for row in read.train] == ["Look left.\nwhich?", "how?"]


def test_columns_that_answers_do_not_name_stay_unread(tmp_path: Path) -> None:
    train = "ID,hint,image_id,question,A,B,answer\n0,left,a,which?,0.5,0.7,cat\n1,up,a,how?,0.1,0.2,dog\n"
    read = read_competition(folder_with(tmp_path, PICTURES | {"train.csv": train}))
    assert [(row.question, row.choices) for row in read.train] == [("which?", ()), ("how?", ())]
    assert read.imported[0]["severity"] == "warning"
    assert not read_competition(tmp_path, answer_form="open").imported


def test_rows_that_name_no_choice_are_listed_and_not_trained_on(tmp_path: Path) -> None:
    train = (
        "ID,image_id,question,A,B,C,answer\n0,a,q0,red,blue,,A\n1,b,q1,red,blue,teal,C\n2,c,q2,red,blue,,C\n"
        "3,d,q3,red,,,A\n4,e,q4,red,red,blue,C\n5,f,q5,red,,blue,C\n6,g,q6,red,,blue,B\n7,h,q7,,,,a cat\n"
    )
    pictures = {f"image/train/{name}.png": "" for name in "abcdefgh"}
    folder = folder_with(tmp_path / "data", pictures | {"train.csv": train})
    run = RunDir(tmp_path / "run")
    splits = prepare(run, str(folder), DataSettings(val_fraction=0, verify_images="none"))
    assert [row.question_id for row in splits.train] == ["0", "1", "4", "5", "7"]
    assert splits.train[3].choices == ("red", "", "blue")
    report = read_json(run.report)
    found = {case["code"]: (case["count"], case["examples"]) for case in report["findings"]}
    assert found["no-train-choice"] == (2, ["2: 'C'", "6: 'B'"])
    assert found["few-train-choices"] == (1, ["3"])
    assert found["repeated-train-choices"] == (1, ["4: 'red'"])
    assert found["blank-train-choices"] == (2, ["5", "6"])
    assert found["open-train-questions"] == (1, ["7"])
    assert report["answers"]["choices"] == {
        "questions": 7,
        "numbers": {"1": 1, "2": 4, "3": 2},
        "forms": {"A": 7},
        "right": {"A": 2, "C": 3},
    }


def test_other_choices_are_other_data(tmp_path: Path) -> None:
    def fingerprint(train: str) -> str:
        folder = folder_with(tmp_path / "data", PICTURES | {"train.csv": train})
        run = RunDir(tmp_path / "run")
        return prepare(run, str(folder), DataSettings(val_fraction=0, verify_images="none")).fingerprint

    assert fingerprint(TRAIN) != fingerprint(TRAIN.replace("green", "teal"))


def test_the_form_is_recorded_only_where_a_person_sets_it(tmp_path: Path) -> None:
    ambiguous = TRAIN.replace(",A\n", ",1\n").replace(",D\n", ",2\n")
    folder = folder_with(tmp_path / "data", PICTURES | {"train.csv": ambiguous})
    run, settings = RunDir(tmp_path / "run"), DataSettings(val_fraction=0, verify_images="none")
    with pytest.raises(InputError, match="--answer-form"):
        prepare(run, str(folder), settings)
    prepare(run, str(folder), DataSettings(val_fraction=0, verify_images="none", answer_form="1"))
    assert run.read_config()["data"]["answer_form"] == "1"
    folder_with(folder, {"train.csv": TRAIN})
    prepare(run, str(folder), settings)
    assert "answer_form" not in run.read_config()["data"]
