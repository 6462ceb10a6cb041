import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqa_core.data.tables import Table, read_table
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.predictions import Prediction
from vqa_core.submission import submission as submission_module
from vqa_core.submission.submission import build_submission, diagnose, write_submission

NASTY = [
    "none",
    "NA",
    "001",
    '"quoted"',
    "a,b",
    "two\nlines",
    "one\r\ntwo",
    "a\rb",
    "사과, 배",
    " leading",
    "",
    "null",
    "=1+1",
    "'",
]


def sample(ids: list[str], columns: tuple[str, ...] = ("ID", "answer")) -> Table:
    return Table(Path("sample_submission.csv"), "utf-8", columns, [[i, *["?"] * (len(columns) - 1)] for i in ids])


def predict(answers: list[str]) -> dict[str, Prediction]:
    return {
        f"T{number:03d}": Prediction(f"T{number:03d}", answer, answer, 0.5) for number, answer in enumerate(answers)
    }


def submit(answers: list[str], train: list[str] | None = None) -> list[str]:
    predictions = predict(answers)
    return diagnose(build_submission(sample(list(predictions)), predictions), train or [])


def test_nasty_answers_come_back_from_the_file_to_the_letter(tmp_path: Path) -> None:
    predictions = predict(NASTY)
    path = tmp_path / "submission.csv"
    write_submission(path, build_submission(sample(list(predictions)), predictions))
    assert [row[1] for row in read_table(path).rows] == NASTY
    assert list(pd.read_csv(path, dtype=str, keep_default_na=False)["answer"]) == NASTY
    with path.open(newline="", encoding="utf-8") as file:
        assert [row[1] for row in csv.reader(file)][1:] == NASTY


@given(
    answers=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8), min_size=1, max_size=8)
)
@settings(max_examples=100, deadline=None)
def test_any_answers_come_back_from_the_file_to_the_letter(
    answers: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    predictions = predict(answers)
    path = tmp_path_factory.mktemp("out") / "submission.csv"
    submission = build_submission(sample(list(predictions)), predictions)
    write_submission(path, submission)
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
    assert rows == [["ID", "answer"], *([key, item.answer] for key, item in predictions.items())]
    diagnose(submission, ["yes"])


def test_the_bytes_are_utf8_without_mark_lf_and_quoted_only_where_needed(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    write_submission(path, build_submission(sample(["T001", "T000"]), predict(["사과", 'a "b", c'])))
    assert path.read_bytes() == 'ID,answer\nT001,"a ""b"", c"\nT000,사과\n'.encode()


def test_order_and_further_columns_are_the_samples_whatever_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "sample_submission.csv"
    path.write_bytes('번호,답변,비고\r\nT001,없음,"가,나"\r\nT000,없음,NA\r\n'.encode("cp949"))
    submission = build_submission(read_table(path), predict(["빨강", "파랑"]))
    assert submission.to_csv() == '번호,답변,비고\nT001,파랑,"가,나"\nT000,빨강,NA\n'.encode()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("ID,image_id,answer\nT000,i,\nT001,j,\n", "ID,image_id,answer\nT000,i,red\nT001,j,a; b\n"),
        ("answer,ID\n0,T000\n0,T001\n", "answer,ID\nred,T000\na; b,T001\n"),
        ("image_id,Id,Prediction \ni,T001,0\nj,T000,0\n", "image_id,Id,Prediction \ni,T001,a; b\nj,T000,red\n"),
        ("ID;answer;x\nT000;;1,5\nT001;;2\n", 'ID;answer;x\nT000;red;1,5\nT001;"a; b";2\n'),
        ("sep=;\r\nID;answer\r\nT000;\r\nT001;\r\n;;\r\n", 'ID;answer\nT000;red\nT001;"a; b"\n'),
        ("ID\tanswer\nT000\t\nT001\t\n", "ID\tanswer\nT000\tred\nT001\ta; b\n"),
        ("ID, answer, x\nT000, 0, u\nT001, 0, v\n", "ID, answer, x\nT000,red, u\nT001,a; b, v\n"),
        ("ID, answer\nT000,\nT001,\n", "ID, answer\nT000,red\nT001,a; b\n"),
        ("ID,A,B,label\nT000,1,2,\nT001,3,4,\n", "ID,A,B,label\nT000,1,2,red\nT001,3,4,a; b\n"),
        (",id,답\n0,T000,\n1,T001,\n", ",id,답\n0,T000,red\n1,T001,a; b\n"),
    ],
)
def test_only_the_answers_are_others_than_in_the_sample(text: str, written: str, tmp_path: Path) -> None:
    path = tmp_path / "sample_submission.csv"
    path.write_bytes(text.encode())
    submission = build_submission(read_table(path), predict(["red", "a; b"]))
    write_submission(tmp_path / "out.csv", submission)
    assert (tmp_path / "out.csv").read_bytes() == written.encode()
    assert sorted(zip(submission.ids, submission.answers)) == [("T000", "red"), ("T001", "a; b")]
    assert diagnose(submission) == []


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_nasty_answers_come_back_with_any_separator(separator: str, tmp_path: Path) -> None:
    nasty = [*NASTY, "a;b", "a\tb", "a|b", "  two"]
    predictions = predict(nasty)
    for columns, padded in ((("ID", "answer"), False), (("ID", "image_id", "answer"), True)):
        table = Table(
            Path("sample.csv"),
            "utf-8",
            columns,
            [[name, *["x"] * (len(columns) - 1)] for name in predictions],
            separator,
            padded,
        )
        submission = build_submission(table, predictions)
        write_submission(tmp_path / "out.csv", submission)
        back = read_table(tmp_path / "out.csv", separator, padded)
        assert back.fields(len(columns) - 1) == nasty


def test_the_runs_names_are_asked_first() -> None:
    table = Table(Path("sample.csv"), "utf-8", ("ID", "label", "prediction"), [["T000", "", ""]])
    with pytest.raises(InputError, match=r"'label', 'prediction'\. Name the right one with --answer-column"):
        build_submission(table, predict(["red"]))
    assert build_submission(table, predict(["red"]), ColumnMap(answer="label")).rows == [["T000", "red", ""]]


def test_ids_that_a_spreadsheet_has_changed_are_named_as_such() -> None:
    with pytest.raises(InputError, match=r"a spreadsheet has rounded them: row 1: '2\.02E\+11'\. Get that file again"):
        build_submission(sample(["2.02E+11", "2.02E+11"]), predict(["red"]))
    with pytest.raises(InputError, match=r"1 ids in .* other leading zeros .* such as '1' for '001'"):
        build_submission(sample(["1"]), {"001": Prediction("001", "red", "red", 1.0)})


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["T000", "T001", "T000"], "1 ids occur more than once: 'T000'"),
        (
            [f"T{number:03d}" for number in range(9)],
            "7 of the 9 ids .* no prediction: 'T002', 'T003', 'T004' and 4 more",
        ),
        (["T001"], "1 predictions have an id that is not in .*: 'T000'"),
    ],
)
def test_ids_that_are_missing_unknown_or_twice_are_counted_and_named(ids: list[str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        build_submission(sample(ids), predict(["yes", "no"]))


def test_a_sample_of_one_column_is_refused() -> None:
    with pytest.raises(InputError, match="one column, 'ID'"):
        build_submission(sample(["T000"], ("ID",)), predict(["yes"]))


def test_a_failed_question_needs_a_fallback_answer_or_leave_to_be_empty() -> None:
    predictions = predict(["yes", "no"]) | {"T001": Prediction("T001", "", "", None, "oom", "too large")}
    with pytest.raises(InputError, match=r"1 questions failed .*: 'T001'.*--allow-failed"):
        build_submission(sample(["T000", "T001"]), predictions)
    assert build_submission(sample(["T000", "T001"]), predictions, allow_failed=True).answers == ["yes", ""]
    predictions["T001"] = Prediction("T001", "no", "", None, "bad_image", "cut short")
    fallback = build_submission(sample(["T000", "T001"]), predictions)
    assert fallback.answers == ["yes", "no"]
    assert "1 answer from the fallback, not the model: the prediction has the status 'bad_image'." in diagnose(fallback)


def test_an_answer_that_is_cut_is_the_model_s_and_the_doctor_counts_it() -> None:
    predictions = predict(["yes", "no"]) | {"T001": Prediction("T001", "n", "n", 0.5, "cut", "cut off")}
    predictions["T002"] = Prediction("T002", "no", "no", 0.5, "question_cut", "from 90 to 40")
    submission = build_submission(sample(["T000", "T001", "T002"]), predictions)
    assert submission.statuses == {"cut": 1, "question_cut": 1}
    found = diagnose(submission)
    assert any(finding.startswith("1 answer cut off at the longest length allowed. Predict again") for finding in found)
    assert "1 answer to a question that was cut, since it was too long for the model." in found
    assert not any("fallback" in finding for finding in found)


@pytest.mark.parametrize("answer", ["\ud800", "a\0b"])
def test_an_answer_that_no_csv_can_hold_is_named(answer: str) -> None:
    with pytest.raises(InputError, match="answer to 'T001' cannot be written"):
        build_submission(sample(["T000", "T001"]), predict(["yes", answer])).to_csv()


@pytest.mark.parametrize("answer", ["NA", "None", "nan", "NULL", "N/A", "<NA>", "-1.#IND", "null", "n/a"])
def test_answers_that_a_default_pandas_reader_turns_into_nan_are_warned_of(answer: str) -> None:
    found = [text for text in submit(["yes", answer, answer]) if "NaN" in text]
    assert found == [f"answers that a default pandas reader turns into NaN, 2: {answer!r} (2 times)."]


def test_none_in_small_letters_survives_a_default_pandas_reader_and_is_not_warned_of() -> None:
    assert submit(["yes", "none", "0"]) == []


@pytest.mark.parametrize(
    ("answers", "change"),
    [
        (["07", "8"], "'07' into 7"),
        (["1.50", "2.5"], "'1.50' into 1.5"),
        (["true", "false"], "'true' into True"),
        (["7", ""], "'7' into 7.0"),
    ],
)
def test_a_column_that_a_default_pandas_reader_takes_for_numbers_is_warned_of(answers: list[str], change: str) -> None:
    assert any("default pandas reader changes" in text and change in text for text in submit(answers))


def test_ids_that_a_default_pandas_reader_takes_for_numbers_are_warned_of() -> None:
    predictions = {name: Prediction(name, "yes", "yes", 1.0) for name in ("001", "002")}
    submission = build_submission(sample(["001", "002"]), predictions)
    assert any(text.startswith("ids that") and "'001' into 1" in text for text in diagnose(submission))


@pytest.mark.parametrize(
    ("answer", "warning"),
    [
        ("", "1 answer left empty"),
        (" red", "1 answer with leading or trailing white space: ' red'."),
        ("red\n", "1 answer with leading or trailing white space"),
        ("red\nblue", "1 answer with a line break inside"),
        ("purple", "1 answer never seen in training: 'purple'."),
        ("Red.", "some differ from a training answer only in case, spaces or a full stop: 'Red.' ('red' in training)."),
        ("a circle, I think", "1 answer more than twice as long as the longest in training (6 characters)"),
    ],
)
def test_the_doctor_finds_what_no_one_would_want_to_submit(answer: str, warning: str) -> None:
    assert any(warning in text for text in submit(["red", "circle", answer], ["red", "circle", "red"]))


def test_a_constant_answer_is_warned_of() -> None:
    assert submit(["yes"] * 5) == ["all 5 answers are the same: 'yes'."]


def test_a_sound_submission_has_no_warnings() -> None:
    assert submit(["red", "circle", "red"], ["red", "circle"]) == []


def test_a_file_that_does_not_come_back_as_written_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "submission.csv"
    predictions = predict(["yes", "no"])
    monkeypatch.setattr(submission_module, "_quote", lambda text, _: "No" if text == "no" else text)
    with pytest.raises(InputError, match="first at 'T001'; it was removed"):
        write_submission(path, build_submission(sample(list(predictions)), predictions))
    assert not path.exists()
