"""The column of each field: by the name of the settings, by a usual name, by its values; never by its place."""

import pytest

from tests.support.tables import table_of
from vqa_core.data.columns.columns import find_columns, find_ids, find_sample_answers, find_sample_ids, has_column
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap

ALL = ("question_id", "image_id", "question", "answer", "image")


def found(header: str, columns: ColumnMap | None = None, *rows: str) -> dict[str, str]:
    """Field -> the name of its column."""
    table = table_of(header, *(rows or (",".join(str(n) for n in range(header.count(",") + 1)),)))
    at = find_columns(table, columns or ColumnMap(), ALL).at
    return {field: table.columns[index] for field, index in at.items()}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("answer,question,image_id,ID", "ID image_id question answer"),
        ("Id,IMAGE_ID,Question,ANSWER", "Id IMAGE_ID Question ANSWER"),
        ("ID, image_id, question,answer ", "ID| image_id| question|answer "),
        ("\ufeffID,image id,question,Answer\u00a0", "\ufeffID|image id|question|Answer\u00a0"),
        ("qid,img,text,label", "qid img text label"),
        ("번호,이미지,질문,정답", "번호 이미지 질문 정답"),
        ("아이디,이미지ID,문제,답변", "아이디 이미지ID 문제 답변"),
        ("编号,图片,问题,答案", "编号 图片 问题 答案"),
        ("question_id,id_,picture_id,question,response", "id_ picture_id question response"),
        ("index,image_path,q,gt", "index image_path q gt"),
        (",image_id,question,answer", "|image_id|question|answer"),
    ],
)
def test_columns_are_found_by_name_in_any_order(header: str, expected: str) -> None:
    names = expected.split("|" if "|" in expected else " ")
    assert {found(header)[field] for field in ALL[:4]} == set(names)


def test_the_name_in_the_settings_comes_first_then_the_usual_names() -> None:
    assert found("ID,image_id,question,answer,label", ColumnMap(answer="label"))["answer"] == "label"
    assert found("ID,image_id,question,answer", ColumnMap(answer="label"))["answer"] == "answer"
    assert found("id,ID,image_id,question,answer")["question_id"] == "ID"


def test_a_column_with_paths_is_the_picture_and_its_id_where_there_is_no_other() -> None:
    assert found("id,path,question,answer")["image_id"] == "path"
    both = found("id,image_id,img_path,question,answer")
    assert (both["image_id"], both["image"]) == ("image_id", "img_path")
    alone = found("id,image,question,answer")
    assert (alone["image_id"], alone["image"]) == ("image", "image")


@pytest.mark.parametrize(
    ("header", "rows", "names", "flag"),
    [
        ("Answer,answer_ ,ID", ("a,b,1", "c,d,2"), "'Answer', 'answer_ '", "--answer-column"),
        ("id,Id,answer", ("1,2,a",), "'id', 'Id'", "--question-id-column"),
        ("ID,label,prediction", ("1,a,b",), "'label', 'prediction'", "--answer-column"),
        ("ID,정답,답변", ("1,a,b",), "'정답', '답변'", "--answer-column"),
    ],
)
def test_what_is_not_clear_is_refused_and_the_flag_decides(
    header: str, rows: tuple[str, ...], names: str, flag: str
) -> None:
    with pytest.raises(
        InputError, match=rf"table\.csv has several columns .*: {names}\. Name the right one with {flag}"
    ):
        found(header, None, *rows)
    name = names.split(", ")[1].strip("'")
    field = flag.removeprefix("--").removesuffix("-column").replace("-", "_")
    assert found(header, ColumnMap(**{field: name}), *rows)[field] == name


def test_two_columns_of_one_name_are_one_if_they_hold_the_same() -> None:
    assert found("ID,answer,ID", None, "1,a,1", "2,b,2")["question_id"] == "ID"
    with pytest.raises(InputError, match="2 columns 'ID'; keep one"):
        found("ID,answer,ID", None, "1,a,1", "2,b,3")


def test_numbers_that_repeat_are_no_ids() -> None:
    assert "question_id" not in found("num,image_id,question,answer", None, "1,a,q,x", "1,b,q,x")
    assert "question_id" in found("num,image_id,question,answer", None, "1,a,q,x", "2,b,q,x")


def test_renamed_and_unused_columns_are_known() -> None:
    table = table_of("질문,ID,A,B,answer, ", "q,1,a,b,x,")
    read = find_columns(table, ColumnMap(), ("question_id", "question", "answer"))
    assert read.renamed == {"질문": "question"}
    assert read.unused == ("A", "B")
    assert has_column(table, "Answer ")
    assert not has_column(table, "answers")


def sample(
    header: str, *rows: str, columns: ColumnMap | None = None, known: tuple[str, ...] = ("T0", "T1")
) -> list[str]:
    table = table_of(header, *rows, name="sample_submission.csv")
    ids = find_sample_ids(table, columns or ColumnMap(), known)
    answers = find_sample_answers(table, columns or ColumnMap(), ids)
    return [table.columns[ids], "" if answers is None else table.columns[answers]]


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        ("ID,image_id,answer", ("T0,a,", "T1,a,"), ["ID", "answer"]),
        ("id,image_id,answer", ("T0,a,", "T1,a,"), ["id", "answer"]),
        ("answer,image_id,ID", (",a,T0", ",a,T1"), ["ID", "answer"]),
        ("image_id,ID,label", ("a,T0,0", "a,T1,0"), ["ID", "label"]),
        ("question_id,prediction", ("T0,0", "T1,0"), ["question_id", "prediction"]),
        ("id,ID,answer", ("T0,1,", "T1,2,"), ["id", "answer"]),  # the ids of the test questions decide
        ("id,ID,answer", ("1,T0,", "2,T1,"), ["ID", "answer"]),
        ("id,Id,answer", ("1,T0,", "2,T1,"), ["Id", "answer"]),
        ("foo,bar", ("T0,x", "T1,x"), ["foo", "bar"]),
        ("bar,foo", ("x,T0", "x,T1"), ["foo", "bar"]),
        ("foo,bar", ("7,x", "8,x"), ["foo", "bar"]),
        ("번호,답변,비고", ("T0,,a", "T1,,b"), ["번호", "답변"]),
        ("ID,foo,Usage", ("T0,,Public", "T1,,Private"), ["ID", "foo"]),
        ("ID,foo,Usage", ("T0,,Public", "T1,,Public"), ["ID", "foo"]),
        ("ID,foo,,", ("T0,,,", "T1,,,"), ["ID", "foo"]),  # as Excel leaves it
        ("ID,foo,image", ("T0,1,a", "T1,2,b"), ["ID", "foo"]),
        ("ID,A,B,C,foo", ("T0,1,2,3,", "T1,1,2,3,"), ["ID", "foo"]),
        ("ID,image_id", ("T0,", "T1,"), ["ID", ""]),
        ("ID,A,B", ("T0,,", "T1,,"), ["ID", ""]),
        ("ID", ("T0", "T1"), ["ID", ""]),
        ("ID,answer", ("T0,x",), ["ID", "answer"]),  # an example with fewer rows
    ],
)
def test_the_columns_of_a_sample_are_found_by_name_or_by_what_they_hold(
    header: str, rows: tuple[str, ...], expected: list[str]
) -> None:
    assert sample(header, *rows) == expected


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("ID,foo,bar", ("T0,1,a", "T1,2,b"), "answers: 'foo', 'bar'.*--answer-column"),
        ("ID,foo,bar", ("T0,,", "T1,,"), "answers: 'foo', 'bar'.*--answer-column"),
        ("ID,label,prediction", ("T0,,", "T1,,"), "answers: 'label', 'prediction'.*--answer-column"),
        ("ID,answer,answer", ("T0,,", "T1,,"), "2 columns 'answer'; keep one"),
        ("id,Id,answer", ("7,8,", "9,1,"), "question ids: 'id', 'Id'.*--question-id-column"),
        ("foo,bar,baz", ("1,2,3",), "no column 'ID'; it has 'foo', 'bar', 'baz'.*--question-id-column"),
    ],
)
def test_a_sample_whose_columns_are_not_clear_is_refused(header: str, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=rf"sample_submission\.csv has .*{message}"):
        sample(header, *rows)


def test_ids_that_a_named_column_lacks_and_another_has_are_in_the_other() -> None:
    table = table_of("ID,code,question", "1,T0,q", "2,T1,q")
    assert find_ids(table, ColumnMap(), ["T0", "T1"]) == 1
    assert find_ids(table, ColumnMap(), ["7"]) == 0
    assert find_ids(table, ColumnMap(), []) == 0
