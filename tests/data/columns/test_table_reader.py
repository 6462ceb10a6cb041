"""Tables become examples, each by its own names; what has no ids is numbered or refused."""

from pathlib import Path

import pytest

from tests.support.tables import SAMPLE, TEST, TRAIN, write_folder
from vqa_core.data.columns.table_reader import COLUMN, NUMBERS
from vqa_core.data.columns.table_reader import SAMPLE as OF_SAMPLE
from vqa_core.data.competition import Competition, read_competition, read_test
from vqa_core.data.report import DataReport, examine
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap


def read(folder: Path, columns: ColumnMap | None = None) -> Competition:
    return read_competition(folder, columns, required=())


def said(competition: Competition) -> dict[str, str]:
    """Code -> the sentence of a finding; of several, the last."""
    report: DataReport = examine(competition, {})
    return {finding.code: str(finding) for finding in report.findings}


def test_each_file_has_its_own_names(tmp_path: Path) -> None:
    train = "번호,이미지,질문,정답,출처\nA0,a,q0,red,x\nA1,b,q1,blue,x\n"
    test = "question_id;Image ID; question;A\nT0;c;q, q;1\nT1;c;p;2\n"
    sample = "id\timage_id\tlabel\nT0\tc\t\nT1\tc\t\n"
    found = read(write_folder(tmp_path, train=train, test=test, sample_submission=sample))
    assert [(row.question_id, row.image, row.answer) for row in found.train] == [
        ("A0", "image/train/a.png", "red"),
        ("A1", "image/train/b.png", "blue"),
    ]
    assert [(row.question_id, row.image, row.question) for row in found.test] == [
        ("T0", "image/test/c.png", "q, q"),
        ("T1", "image/test/c.png", "p"),
    ]
    assert found.sample_ids == ["T0", "T1"]
    assert found.unused == {"train.csv": ("출처",), "test.csv": ("A",)}
    assert found.tables["train.csv"].renamed == {
        "번호": "question_id",
        "이미지": "image_id",
        "질문": "question",
        "정답": "answer",
    }
    assert found.tables["sample_submission.csv"].renamed == {"id": "question_id", "label": "answer"}
    assert {name: facts.separator for name, facts in found.tables.items()} == {
        "train.csv": ",",
        "test.csv": ";",
        "sample_submission.csv": "\t",
    }


def test_the_report_says_what_was_taken_for_what_and_what_was_not_read(tmp_path: Path) -> None:
    train = "ID,image_id,질문,answer,출처,x\nA0,a,q,red,s,1\n,,,,,\n"
    found = said(read(write_folder(tmp_path, train=train, test=TEST.replace(",", ";"), sample_submission=SAMPLE)))
    assert found["renamed-columns"] == "train.csv has other names for its columns: '질문' as question"
    assert found["unused-columns"] == "train.csv has columns that nothing is read from: '출처', 'x'"
    assert found["blank-rows"] == "1 row of train.csv with nothing but separators, skipped"
    assert found["separators"] == "test.csv is separated by semicolons"
    assert len(found) == 4


def test_one_setting_need_not_fit_all_files(tmp_path: Path) -> None:
    """The answer's name is that of train.csv, the id's that of the sample: no file has both."""
    train = TRAIN.replace("answer", "label")
    sample = SAMPLE.replace("ID", "key")
    folder = write_folder(tmp_path, train=train, test=TEST, sample_submission=sample)
    found = read(folder, ColumnMap(question_id="key", answer="label"))
    assert [row.answer for row in found.train] == ["red", "blue"]
    assert found.sample_ids == ["T0", "T1"]
    spaced = TRAIN.replace(",", ", ")
    folder = write_folder(tmp_path, train=spaced, test=TEST)
    for columns in (ColumnMap(), ColumnMap(image_id=" image_id"), ColumnMap(image_id="image_id")):
        assert [row.image for row in read(folder, columns).train] == ["image/train/a.png", "image/train/b.png"]


def test_a_flag_that_makes_one_file_clear_leaves_the_others_readable(tmp_path: Path) -> None:
    train = TRAIN.replace("ID", "id,Id").replace("A0", "A0,1").replace("A1", "A1,1")
    folder = write_folder(tmp_path, train=train, test=TEST, sample_submission=SAMPLE)
    with pytest.raises(InputError, match=r"train\.csv .*'id', 'Id'\. Name the right one with --question-id-column"):
        read(folder)
    found = read(folder, ColumnMap(question_id="id"))
    assert [row.question_id for row in (*found.train, *found.test)] == ["A0", "A1", "T0", "T1"]
    assert found.sample_ids == ["T0", "T1"]


def test_a_name_that_no_file_has_is_a_slip(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, train=TRAIN, test=TEST, sample_submission=SAMPLE.replace("answer", "pred"))
    with pytest.raises(InputError, match=r"train\.csv has no column 'anwser'; it has .* Did you mean 'answer'\?"):
        read(folder, ColumnMap(answer="anwser"))
    assert read(folder, ColumnMap(answer="pred")).train[0].answer == "red"
    assert read_competition(folder, ColumnMap(answer="pred"), splits=("train",)).train  # the sample has it
    assert read_test(folder, ColumnMap(question="text"), insist=()).test
    with pytest.raises(InputError, match="no column 'text'"):
        read_test(folder, ColumnMap(question="text"), insist=["question"])


def test_training_rows_without_ids_are_numbered(tmp_path: Path) -> None:
    train = "question,answer,image_id\nq,red,a\np,blue,b\n"
    found = read(write_folder(tmp_path, train=train, val=train, test=TEST))
    assert [row.question_id for row in found.train] == ["train_0", "train_1"]
    assert [row.question_id for row in found.val] == ["val_0", "val_1"]
    assert [found.tables[f"{split}.csv"].ids for split in ("train", "val", "test")] == [NUMBERS, NUMBERS, COLUMN]
    assert said(found)["numbered-rows"].endswith("has no column of ids, so its rows were numbered")


@pytest.mark.parametrize(
    ("test", "sample", "ids", "source"),
    [
        ("image_id,question\nc,q\nc,p\n", None, ["test_0", "test_1"], NUMBERS),
        ("image_id,question\nc,q\nc,p\n", "ID,answer\n0,\n1,\n", ["0", "1"], OF_SAMPLE),
        ("image_id,question\nc,q\nc,p\n", "ID,answer\n1,\n2,\n", ["1", "2"], OF_SAMPLE),
        ("image_id,question\nc,q\nc,p\n", "ID,question,answer\nT7,q,\nT3,p,\n", ["T7", "T3"], OF_SAMPLE),
        ("image_id,question,code\nc,q,T1\nc,p,T0\n", "ID,answer\nT0,\nT1,\n", ["T1", "T0"], COLUMN),
        ("image_id,question\nc,q\nd,p\n", "image_id,answer\nd,\nc,\n", ["c", "d"], COLUMN),
        ("ID,image_id,question,key\n1,c,q,T1\n2,c,p,T0\n", "key,answer\nT0,\nT1,\n", ["T1", "T0"], COLUMN),
    ],
)
def test_questions_without_ids_get_those_that_a_submission_needs(
    test: str, sample: str | None, ids: list[str], source: str, tmp_path: Path
) -> None:
    more = {"sample_submission": sample} if sample else {}
    found = read(write_folder(tmp_path, test=test, **more))
    assert [row.question_id for row in found.test] == ids
    assert found.tables["test.csv"].ids == source
    assert "test-ids-not-in-sample" not in said(found)


@pytest.mark.parametrize(
    "sample", ["ID,answer\nT0,\nT1,\n", "ID,answer\n0,\n1,\n2,\n", "ID,image_id,answer\nT1,d,\nT0,c,\n"]
)
def test_questions_that_no_id_can_be_told_for_are_refused_and_a_column_helps(sample: str, tmp_path: Path) -> None:
    test = "image_id,question\nc,q\nd,p\n"
    folder = write_folder(tmp_path, test=test, sample_submission=sample)
    with pytest.raises(InputError, match=r"test\.csv has no column of ids, and nothing says .* Add a column 'ID'"):
        read(folder)
    write_folder(tmp_path, test="image_id,question,ID\nc,q,T0\nd,p,T1\n", sample_submission=sample)
    assert [row.question_id for row in read(folder).test] == ["T0", "T1"]


@pytest.mark.parametrize("name", ["val", "validation", "dev"])
def test_validation_questions_are_read_whole(name: str, tmp_path: Path) -> None:
    found = read(write_folder(tmp_path, **{"train": TRAIN, "test": TEST, name: TRAIN.replace("A", "V")}))
    assert [(row.question_id, row.answer, row.image) for row in found.val] == [
        ("V0", "red", "image/train/a.png"),
        ("V1", "blue", "image/train/b.png"),
    ]
    assert found.table_of("val") == f"{name}.csv"
    assert list(found.splits) == ["train", "val", "test"]


def test_validation_questions_without_answers_are_told_and_left(tmp_path: Path) -> None:
    found = read(write_folder(tmp_path, train=TRAIN, test=TEST, val=TEST.replace("T", "V")))
    assert (found.val, list(found.splits)) == ([], ["train", "test"])
    assert said(found)["no-val-answers"].startswith("val.csv has no column of answers")


def test_a_sample_without_answers_is_told_before_training(tmp_path: Path) -> None:
    found = read(write_folder(tmp_path, train=TRAIN, test=TEST, sample_submission="ID,image_id\nT0,c\nT1,c\n"))
    assert found.sample_ids == ["T0", "T1"]
    assert "no column for the answers" in said(found)["no-sample-answers"]
    write_folder(tmp_path, sample_submission="ID,label,prediction\nT0,,\nT1,,\n")
    with pytest.raises(InputError, match=r"'label', 'prediction'.*--answer-column"):
        read(tmp_path)
    assert read(tmp_path, ColumnMap(answer="label")).sample_ids == ["T0", "T1"]


def test_ids_that_a_spreadsheet_has_changed_are_told(tmp_path: Path) -> None:
    test = TEST.replace("T0", "0010").replace("T1", "0011")
    found = said(read(write_folder(tmp_path, test=test, sample_submission="ID,answer\n10,\n11,\n")))
    assert "'10' for '0010'" in found["zeros-of-ids"]
    found = said(read(write_folder(tmp_path, test=TEST, sample_submission="ID,answer\n2.02E+11,\n2.02E+11,\n")))
    assert "row 1: '2.02E+11'" in found["rounded-ids"]
    found = said(read(write_folder(tmp_path, test=TEST, sample_submission="ID,answer\nt0,\nt1,\n")))
    assert "'t0' for 'T0'" in found["spelling-of-ids"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (r"image\train\a.png", True),
        (r".\a.png", True),
        (r"\a.png", True),
        ("./a.png", True),
        (" a ", True),
        (r"D:\data\image\train\a.png", True),
        ("D:/data/train/a.png", True),
        ("file:///C:/data/a.png", True),
        ("/kaggle/input/vqa/image/train/a.png", True),
        ("https://example.com/z.png", False),
        (r"..\image\train\a.png", False),
        (r"sub\a.png", False),
    ],
)
def test_paths_of_other_machines_are_found(written: str, found: bool, tmp_path: Path) -> None:
    train = f"ID,image_path,question,answer\nA0,{written},q,red\n"
    rows = read(write_folder(tmp_path, train=train)).train
    assert (rows[0].image, rows[0].image_id) == ("image/train/a.png" if found else "", written)


def test_two_paths_that_end_in_one_name_are_two_pictures(tmp_path: Path) -> None:
    train = "ID,image_path,question,answer\nA0,/x/1/a.png,q,red\nA1,/x/2/a.png,q,red\nA2,/x/2/b.png,q,red\n"
    rows = read(write_folder(tmp_path, train=train)).train
    assert [row.image for row in rows] == ["", "", "image/train/b.png"]
