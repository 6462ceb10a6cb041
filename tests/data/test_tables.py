"""CSV reading: right or refused, never silently wrong."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqa_core.data.tables import read_table
from vqa_core.data.texts.encodings import decode
from vqa_core.files import InputError

KOREAN = (
    "ID,image_id,question,answer\nT_0,사과_1,이 사진에 무엇이 있나요?,사과\nT_1,사과_1,색은?,똠방각하 빨간색입니다\n"
)


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "train.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("encoding", "reported"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("cp949", "cp949"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
    ],
)
def test_encodings_are_detected_and_reported(encoding: str, reported: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path, KOREAN.encode(encoding)))
    assert table.encoding == reported
    assert table.columns == ("ID", "image_id", "question", "answer")
    assert table.column("answer") == ["사과", "똠방각하 빨간색입니다"]


def test_a_big_endian_byte_order_mark_is_taken_off(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, b"\xfe\xff" + KOREAN.encode("utf-16-be")))
    assert (table.encoding, table.columns[0]) == ("utf-16-be", "ID")


def test_utf_8_cut_inside_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is UTF-8 but for line 3 \(byte 0xea\)"):
        read_table(written(tmp_path, "ID,answer\n1,사과\n2,빨간 사과".encode()[:-1]))
    with pytest.raises(InputError, match="looks like utf-16-le"):
        read_table(written(tmp_path, "ID,answer\n1,사과\n".encode("utf-16")[:-1]))


def test_every_field_is_text_as_it_stands(tmp_path: Path) -> None:
    answers = ["none", "None", "NA", "n/a", "nan", "null", "", "001", "07", "1e3", "10:20", "t-shirt", " red ", "TRUE"]
    table = read_table(written(tmp_path, "ID,answer\n" + "".join(f"{n},{a}\n" for n, a in enumerate(answers))))
    assert table.column("answer") == answers


def test_quotes_hold_commas_newlines_and_quotes(tmp_path: Path) -> None:
    content = 'ID,question\r\n1,"red, white\r\nand ""blue"""\r\n2,"a\nb"\r\n\r\n3,5" pipe\r\n'
    assert read_table(written(tmp_path, content)).column("question") == ['red, white\r\nand "blue"', "a\nb", '5" pipe']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\ufeff", "is empty"),
        (" \n\n", "is empty"),
        ("ID;question\n1;a;b\n", r"row 1 \(line 2\): fields: 3, in the header: 2. Put a field with ';' in it"),
        ("ID,question\n1,a\n2,b,c\n", r"row 2 \(line 3\): fields: 3, in the header: 2"),
        ("ID,question\n1,a\n2\n", r"row 2 \(line 3\): fields: 1, in the header: 2"),
        ('ID,question\n1,"a\nb"\n2\n', r"row 2 \(line 4\)"),
        ('ID,question\n1,"a\n2,b\n', r"row 1 .*left open"),
        ('ID,question\n1,"a"b\n', r"row 1 .*double quote"),
    ],
)
def test_what_is_no_clean_table_is_refused_with_the_place(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"train\.csv.*{message}"):
        read_table(written(tmp_path, content))


@pytest.mark.parametrize(("separator", "other"), [(";", ","), ("\t", ";"), ("|", ","), (",", ";")])
def test_any_usual_separator_is_read_and_known(separator: str, other: str, tmp_path: Path) -> None:
    lines = [("ID", "question", "answer"), ("1", f"red{other} blue", "a"), ("2", f'"x{separator}y"', "")]
    table = read_table(written(tmp_path, "".join(separator.join(line) + "\r\n" for line in lines)))
    assert (table.separator, table.columns) == (separator, lines[0])
    assert table.rows == [["1", f"red{other} blue", "a"], ["2", f"x{separator}y", ""]]


def test_excels_unicode_text_is_read(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "ID\tanswer\r\n1\t사과\r\n".encode("utf-16")))
    assert (table.separator, table.rows) == ("\t", [["1", "사과"]])


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "\ufeffsep=;", "SEP=;;;"])
def test_the_line_that_states_the_separator_is_no_header(first: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path, f"{first}\r\nID;answer\r\n1;a, b\r\n"))
    assert (table.columns, table.rows, table.separator) == (("ID", "answer"), [["1", "a, b"]], ";")
    with pytest.raises(InputError, match=r"row 2 \(line 4\)"):
        read_table(written(tmp_path, f"{first}\r\nID;answer\r\n1;a\r\n2;b;c\r\n"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_of_separators_alone_are_skipped_and_counted(end: str, tmp_path: Path) -> None:
    lines = ["ID,question,answer", '1,"a"', ",,", "2,b,", ",,,,,", " , ,", "   ", "", '"","",""', ",,"]
    lines[1] += ",x"
    table = read_table(written(tmp_path, end.join(lines)))
    assert table.rows == [["1", "a", "x"], ["2", "b", ""], ["", "", ""]]  # quotes are there on purpose
    assert table.blank_rows == 5


def test_blank_rows_before_the_header_are_no_header(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, ",,\n\nID,answer,\n1,a,\n")).columns == ("ID", "answer", "")


def test_a_blank_after_every_comma_is_part_of_none(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "ID, question, answer\n1, what?,  red\n2, why?, \n3,, no\n"))
    assert (table.padded, table.columns) == (True, ("ID", "question", "answer"))
    assert table.rows == [["1", "what?", "red"], ["2", "why?", ""], ["3", "", "no"]]
    quoted = read_table(written(tmp_path, 'ID, question, answer\n1, "red, or blue?", red\n'))
    assert (quoted.padded, quoted.rows) == (True, [["1", "red, or blue?", "red"]])


@pytest.mark.parametrize("content", ["ID, question, answer\n1,what?,red\n", "ID,question,answer\n1, what?, red\n"])
def test_blanks_in_header_or_rows_alone_are_kept(content: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path, content))
    assert not table.padded
    assert [",".join(table.columns), ",".join(table.rows[0])] == content.splitlines()


def test_separator_and_blanks_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, "ID;a,b\n1;x,y\n")
    assert read_table(path, ";", False).columns == ("ID", "a,b")
    assert read_table(written(tmp_path, 'ID, answer\n1, red\n2," red"\n'), ",", True).rows == [
        ["1", "red"],
        ["2", " red"],
    ]


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv cannot be read: No such file"):
        read_table(tmp_path / "gone.csv")


def test_a_wrong_column_lists_those_there_are_and_the_flag(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "ID,Question,ID\n1,a,2\n"))
    with pytest.raises(
        InputError, match=r"no column 'question'; it has 'ID', 'Question', 'ID'\. Did you mean 'Question'\?"
    ):
        table.column("question")
    with pytest.raises(InputError, match="--question-column"):
        table.column("question", "--question-column")
    with pytest.raises(InputError, match="2 columns 'ID'"):
        table.column("ID")


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "ID,question")).column("ID") == []


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(rows=st.lists(st.tuples(FIELDS, FIELDS), max_size=6), end=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_csv_writer_writes_is_read_back(rows: list[tuple[str, str]], end: str, tmp_path: Path) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        table = read_table(written(tmp_path, text.getvalue().encode(encoding)), encoding="utf-8")
        assert [tuple(row) for row in table.rows] == rows


@given(st.text("가나다라마바사아자차카타파하 ,.?!abc\n"))
def test_korean_text_in_cp949_is_distinguished_from_other_encodings(text: str) -> None:
    # One syllable alone may be valid UTF-8 too ("카" is, as "ī"), or a word of another language.
    text = f"이것은 무엇입니까? 답은 고양이입니다. {text}"
    assert decode(text.encode("cp949")) == (text, "cp949")
