"""What spreadsheets do to ids."""

from vqa_core.data.columns.ids import pairs_but_for_case, pairs_without_zeros, rounded_ids


def test_rounded_ids_are_named_with_their_row() -> None:
    ids = ["202311150000", "2.02311E+11", "1E+05", "2,02E+11", "1e5", "T1E+05", "E+11", "3.14"]
    assert rounded_ids(ids) == ["row 2: '2.02311E+11'", "row 3: '1E+05'", "row 4: '2,02E+11'"]


def test_ids_that_are_the_same_number_are_paired() -> None:
    assert pairs_without_zeros(["0", "17", "8.0", "x"], ["0000", "0017", "8", "y"]) == [
        ("0", "0000"),
        ("17", "0017"),
        ("8.0", "8"),
    ]
    assert pairs_without_zeros(["1", "2"], ["1", "3"]) == []


def test_ids_that_differ_in_case_and_blanks_are_paired() -> None:
    assert pairs_but_for_case(["t0", "T1 ", "T2"], ["T0", "T1", "T2"]) == [("t0", "T0"), ("T1 ", "T1")]
