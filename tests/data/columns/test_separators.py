"""The separator of a table, from its header and its rows."""

import pytest

from vqa_core.data.columns.separators import find_separator, stated_separator


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("ID,question\n1,a; b; c\n2,d\n", ","),
        ("ID,question;answer\n1,a\n", ","),
        ("ID;question\n1;a, b\n2;c, d\n", ";"),
        ("ID;question, text;answer\n1;a, b;c\n2;d, e;f\n", ";"),
        ("ID\tquestion\n1\ta, b; c\n", "\t"),
        ("ID|question|answer\n1|a, b|c\n", "|"),
        ("ID;question\n", ";"),
        ("ID,question\n", ","),
        ('"ID","a;b"\n"1","x;y"\n', ","),
        ('"ID";"a,b"\n"1";"x,y"\n', ";"),
        ("ID\n1;2\n", ","),
        ("\n;;\nID;question;answer\n1;a;b\n", ";"),
        ("ID,question\n1,a,b\n2,c\n", ","),  # no separator fits: the comma stays
    ],
)
def test_the_separator_is_the_one_with_as_many_fields_in_rows_as_in_the_header(text: str, separator: str) -> None:
    assert find_separator(text) == separator


def test_a_long_text_is_cut_between_rows() -> None:
    rows = "".join(f'{n};"a, {n}";b\n' for n in range(20_000))
    assert find_separator(f"ID;question;answer\n{rows}") == ";"


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("sep=;\r\nID;a\r\n", (";", 7)),
        ("SEP=,\nID,a\n", (",", 6)),
        ('"sep=;"\nID;a\n', (";", 8)),
        ("sep=\t\nID\ta\n", ("\t", 6)),
        ("sep=x\n", None),
        ("separator,ID\n", None),
        ("ID,sep=;\n", None),
    ],
)
def test_excels_first_line_states_it(text: str, stated: tuple[str, int] | None) -> None:
    assert stated_separator(text) == stated
