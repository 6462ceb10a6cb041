import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_core.analysis.near_misses import KINDS, RULES, count_near_misses, near_miss
from vqa_core.answers import plain

SAME = {
    "case": [("Red", "red"), ("NEW YORK", "New York"), ("ÉTÉ", "été")],
    "spelling": [
        ("red.", "red"), ("t-shirt", "tshirt"), ("t shirt", "t-shirt"), (" red", "red"), ("dont", "don't"),
        ("'red'", "red"), ("3.", "3"), ("1,000", "1000"), ("빨간 색", "빨간색"),
        ("red , blue", "red,blue"), ("나무, 꽃", "나무 꽃"), ("yes!", "yes"),
    ],
    "article": [("the cat", "cat"), ("cat", "a cat"), ("An apple", "apple"), ("in the park", "in park")],
    "number": [
        ("two", "2"), ("Two", "2"), ("three dogs", "3 dogs"), ("하나", "1"), ("두 마리", "2마리"),
        ("3개", "3"), ("세 개", "3"),
    ],
    "plural": [
        ("cats", "cat"), ("cat", "cats"), ("buses", "bus"), ("glasses", "glass"), ("berries", "berry"),
        ("boxes", "box"), ("men", "man"), ("children", "child"), ("knives", "knife"), ("potatoes", "potato"),
        ("photos", "photo"), ("days", "day"), ("red cars", "red car"), ("cats and dog", "cat and dogs"),
    ],
    "particle": [
        ("공원에서", "공원"), ("공원", "공원에"), ("사람이", "사람"), ("바나나를", "바나나"), ("서울로", "서울"),
        ("지하철로", "지하철"), ("한강의", "한강"),
    ],
    "ending": [
        ("빨간색입니다", "빨간색"), ("의자예요", "의자"), ("의자", "의자이다"), ("없어요", "없다"),
        ("있습니다", "있음"),
        ("운동해요", "운동합니다"), ("아니요", "아니오"), ("노란색이요", "노란색"), ("노란색요", "노란색"),
    ],
    "combined": [
        ("The Cats", "cat"), ("Two.", "2"), ("a red-car", "Red Cars"), ("Red.", "red"),
        ("공원에서.", "공원"), ("세 개.", "3개"),
    ],
}  # fmt: skip
WORDS = ["red", "blue", "two", "고양이", "3", "yes"]
DIFFERENT = [
    ("cat", "dog"), ("bus", "bu"), ("buses", "bu"), ("news", "new"), ("glass", "glas"), ("lens", "len"), ("yes", "ye"),
    ("a", "the"), ("a b", "b"), ("vitamin a", "vitamin"), ("none", "0"), ("no", "none"),
    ("", "red"), ("red", ""), (".", ""),
    ("1.5", "15"), ("-5", "5"), ("12:30", "1230"), ("2/3", "23"), ("1 2", "12"), ("10%", "10"),
    ("c++", "c"), ("$5", "5"),
    ("2", "3"), ("two", "3"), ("3시", "3분"), ("3개", "3명"), ("1s", "1"), ("001", "1"), ("1.50", "1.5"),
    ("강의", "강"), ("종이", "종"), ("치과", "치"), ("지도", "지"), ("포도", "포"),
    ("고양이가", "강아지"), ("제주도", "제주"),
    ("경기도", "경기"), ("전문가", "전문"), ("소설가", "소설"),
    ("바나나가", "바나"), ("공원는", "공원"), ("바다을", "바다"),
    ("판다", "판"), ("바다", "바"), ("담요", "담"), ("필요", "필"), ("없다", "없"), ("있다", "없다"), ("예", "네"),
    ("1,00", "100"), ("red blue", "blue red"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "a", "b"), [(kind, *pair) for kind, pairs in SAME.items() for pair in pairs])
def test_another_form_of_the_right_answer_is_a_near_miss_of_its_kind_either_way(kind: str, a: str, b: str) -> None:
    assert near_miss(a, b) == kind
    assert near_miss(b, a) == kind


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_a_real_error_is_none(a: str, b: str) -> None:
    assert near_miss(a, b) == ""
    assert near_miss(b, a) == ""


def test_a_right_answer_is_no_miss_and_every_kind_is_tried_here() -> None:
    assert near_miss("red", "red") == ""
    assert near_miss("", "") == ""
    assert set(SAME) == set(KINDS)


def test_composed_and_decomposed_hangul_are_spellings_of_one_answer() -> None:
    assert near_miss(unicodedata.normalize("NFD", "사과"), "사과") == "spelling"


def test_kinds_are_counted_in_a_fixed_order_and_absent_ones_left_out() -> None:
    assert list(count_near_misses(["plural", "", "case", "plural"]).items()) == [("case", 1), ("plural", 2)]


@given(st.text("ab A.5'-의요다 ", max_size=8), st.text("ab A.5'-의요다 ", max_size=8))
def test_it_is_symmetric_and_holds_whatever_the_plain_normaliser_makes_one(a: str, b: str) -> None:
    assert near_miss(a, b) == near_miss(b, a)
    words = any(letter.isalnum() for letter in a) and any(letter.isalnum() for letter in b)
    if a != b and words and plain(a) == plain(b):
        assert near_miss(a, b)


@given(st.sampled_from(WORDS), st.sampled_from(WORDS))
def test_different_words_stay_different(a: str, b: str) -> None:
    assert near_miss(a, b) == ""


def test_each_rule_alone_finds_a_pair_that_no_other_does() -> None:
    for kind in RULES:
        a, b = SAME[kind][0]
        assert [name for name, rule in RULES.items() if rule(a, b)] == [kind]
