import difflib
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_core.files import InputError
from vqa_core.scoring.metrics import METRICS, _edit_distance

OTHERS = ["dog", "cow", "hen", "fox", "owl", "bee", "ant", "pig", "rat"]

# The table "six implementations, same inputs", measured on the named scorers: references, prediction, and the scores
# of vqa_official_2021, vqa_official_pre2021 and LLaVA's m4c.
MEASURED = [
    (["yes"] * 10, "Yes.", 0.0, 1.0, 1.0),
    (["yes"] * 9 + ["no"], "Yes.", 1.0, 1.0, 1.0),
    (["cat", *OTHERS], "cat", 0.3, 0.3, 0.3),
    (["cat"] * 3 + OTHERS[:7], "cat", 0.9, 0.9, 0.9),
    (["2"] * 5 + ["two"] * 5, "2.", 1.0, 1.0, 1.0),
    (["don't know"] * 9 + ["no"], "dont know", 1.0, 1.0, 1.0),
    (["2.5"] * 9 + ["25"], "2 5", 0.0, 0.0, 0.0),
    # and its remarks below the table
    (["yes"] * 10, "yes.", 0.0, 1.0, 1.0),
    (["none"] * 10, "none", 1.0, 0.0, 1.0),
    (["yes"] * 10, " yes\n", 1.0, 1.0, 1.0),
]


@pytest.mark.parametrize(("references", "prediction", "official", "before", "m4c"), MEASURED)
def test_vqa_scores_are_those_measured_on_the_named_scorers(
    references: list[str], prediction: str, official: float, before: float, m4c: float
) -> None:
    assert METRICS["vqa_official_2021"](prediction, references) == pytest.approx(official)
    assert METRICS["vqa_official_pre2021"](prediction, references) == pytest.approx(before)
    assert METRICS["vqa_m4c"](prediction, references) == pytest.approx(m4c)


@pytest.mark.parametrize("name", ["vqa_official_2021", "vqa_official_pre2021", "vqa_m4c"])
def test_k_matches_of_ten_score_0_03_06_09_1(name: str) -> None:
    scores = [METRICS[name]("cat", ["cat"] * k + [f"x{i}" for i in range(10 - k)]) for k in range(11)]
    assert scores == pytest.approx([0, 0.3, 0.6, 0.9, *[1] * 7])


@given(matches=st.integers(0, 12), others=st.integers(0, 12))
def test_the_leave_one_out_score_is_the_mean_over_every_reference_left_out(matches: int, others: int) -> None:
    references = ["cat"] * matches + [f"x{i}" for i in range(others)]
    if len(references) < 4:
        return
    left_out = [references[:i] + references[i + 1 :] for i in range(len(references))]
    expected = sum(min(1, rest.count("cat") / 3) for rest in left_out) / len(references)
    assert METRICS["vqa_official_2021"]("cat", references) == pytest.approx(expected)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", ["vqa_official_2021", "vqa_official_pre2021"])
def test_the_vqa_metric_refuses_fewer_than_four_references_and_says_why(name: str, count: int) -> None:
    with pytest.raises(InputError, match=rf"at least 4 reference.*not {count}.*--metric exact"):
        METRICS[name]("yes", ["yes"] * count)


def test_m4c_refuses_anything_but_ten_references() -> None:
    with pytest.raises(InputError, match="exactly 10"):
        METRICS["vqa_m4c"]("yes", ["yes"] * 9)


@pytest.mark.parametrize(
    ("prediction", "reference", "exact", "normalised"),
    [
        ("none", "none", 1, 1),
        ("none", "0", 0, 0),
        ("Red.", "red", 0, 1),
        (" red", "red", 0, 1),
        ("07", "7", 0, 0),
        ("", "", 1, 1),
    ],
)
def test_exact_match_changes_nothing_and_the_normalised_one_no_words(
    prediction: str, reference: str, exact: float, normalised: float
) -> None:
    assert METRICS["exact"](prediction, [reference]) == exact
    assert METRICS["exact_normalised"](prediction, [reference]) == normalised


@pytest.mark.parametrize(
    ("prediction", "references", "score"),
    [
        ("Coca-Cola ", ["coca-cola"], 1.0),
        ("cocacola", ["coca-cola"], 1 - 1 / 9),
        ("pepsi", ["coca-cola", "pepsi max"], 5 / 9),
        ("pepsi", ["coca-cola"], 0.0),
        ("ab", ["ac"], 0.5),
        ("", [""], 1.0),
        ("", ["a"], 0.0),
    ],
)
def test_anls_takes_the_nearest_reference_and_nothing_below_one_half(
    prediction: str, references: list[str], score: float
) -> None:
    assert METRICS["anls"](prediction, references) == pytest.approx(score)


@given(a=st.text("ab", max_size=7), b=st.text("abc", max_size=7))
def test_the_edit_distance_is_levenshteins(a: str, b: str) -> None:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    assert _edit_distance(a, b) == distance(len(a), len(b))
    kept = sum(block.size for block in difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
    assert _edit_distance(a, b) <= len(a) + len(b) - 2 * kept
