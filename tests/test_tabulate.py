from vqa_core.tabulate import tabulate


def test_names_stand_left_and_numbers_right_under_one_another() -> None:
    assert tabulate([["", "n"], ["all", "100"], ["  yes", "7"]]) == "         n\nall    100\n  yes    7"


def test_a_hangul_syllable_takes_two_columns() -> None:
    assert tabulate([["무엇", "1"], ["abcd", "2"]]) == "무엇  1\nabcd  2"


def test_a_line_of_one_cell_does_not_widen_the_table() -> None:
    assert tabulate([["a heading of some length"], ["a", "1"]]) == "a heading of some length\na  1"
