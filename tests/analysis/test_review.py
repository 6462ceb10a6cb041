import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.support.answered import answered
from vqa_core.analysis.errors import answers_of
from vqa_core.analysis.review import COLUMNS, cell, review_csv

PAYLOADS = (
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(A1)",
    " =1",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '=HYPERLINK("http://x")',
)


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_a_row_says_what_the_page_says(tmp_path: Path) -> None:
    rows = [
        ("a", "what colour is it?", "red", "Red", 0.25),
        ("a", "몇 개, 어디?", "none", "none", None),
        ("b", "is it red?", "", "NA", 1.0),
    ]
    answers = answers_of(answered(tmp_path / "run", rows), "val")
    data = review_csv(answers, [1, 0, 2], {"q0": ["wrong_label", "ambiguous"]})
    assert data.startswith(
        b'\xef\xbb\xbf"id","image","question","reference","answer","confidence","right","near_miss","tags"\r\n'
    )
    second, first, third = rows_of(data)
    assert list(first.values()) == [
        "q0", "image/a.png", "what colour is it?", "red", "Red", "0.25", "no", "case", "wrong_label ambiguous",
    ]  # fmt: skip
    assert list(second.values()) == ["q1", "image/a.png", "몇 개, 어디?", "none", "none", "", "yes", "", ""]
    assert list(third.values())[3:5] == ["", "NA"]
    assert list(pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)["answer"]) == ["none", "Red", "NA"]


def test_no_cell_is_a_formula_and_every_text_is_still_there(tmp_path: Path) -> None:
    rows = [(payload.strip(), payload, payload, payload, 0.5) for payload in PAYLOADS]
    run = answered(tmp_path / "run", rows)
    for row, payload in zip(rows_of(review_csv(answers_of(run, "val"), range(len(rows)), {})), PAYLOADS):
        assert [row[name] for name in ("question", "reference", "answer")] == ["'" + payload] * 3
        assert not any(field.startswith(("=", "+", "-", "@", "\t", "\r")) for field in row.values())


def test_where_semicolons_part_the_cells_none_is_a_formula_either(tmp_path: Path) -> None:
    texts = ["foo;=1+1", "foo; =1+1;x;-1", "two\nlines;@SUM(A1)", "foo\t＝1", "foo\n=1"]
    run = answered(tmp_path / "run", [("a", text, text, text, 0.5) for text in texts])
    data = review_csv(answers_of(run, "val"), range(len(texts)), {}).decode("utf-8-sig")
    cells = [cell for line in data.splitlines() for cell in re.split("[;,\t]", line)]
    assert not [cell for cell in cells if cell.lstrip('" ').startswith(tuple("=+-@＝＋－＠"))]
    assert all(line.startswith('"') and line.endswith('"') for line in data.split("\r\n")[:2])


@pytest.mark.parametrize("text", ["yes", "", "a=b", "1-2", "사과", "'=1", "a; b", "a + b", "x;1"])
def test_other_cells_are_left_as_they_are(text: str) -> None:
    assert cell(text) == text


def test_half_a_character_and_line_ends_do_not_break_the_file(tmp_path: Path) -> None:
    run = answered(tmp_path / "run", [("a", 'two\nlines, "quoted"', "red", "\ud800", 0.5)])
    (row,) = rows_of(review_csv(answers_of(run, "val"), [0], {}))
    assert (row["question"], row["answer"]) == ('two\nlines, "quoted"', "\\ud800")


def test_without_right_answers_their_columns_are_empty(tmp_path: Path) -> None:
    run = answered(tmp_path / "run", [("a", "is it?", "yes", "no", 0.5)], "test", solution=False)
    (row,) = rows_of(review_csv(answers_of(run, "test"), [0], {}))
    assert tuple(row) == COLUMNS
    assert (row["reference"], row["answer"], row["right"]) == ("", "no", "")
