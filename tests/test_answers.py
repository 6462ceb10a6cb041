import pytest

from vqa_core.answers import (
    CONTRACTIONS,
    ENGLISH_QUESTION_TYPES,
    NORMALISERS,
    answer_type,
    process_digit_article,
    process_punctuation,
    question_length,
    question_type,
)


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize("text", ["yes", "red", "7", "", "사과"])
def test_an_ordinary_answer_is_its_own_normal_form(name: str, text: str) -> None:
    assert NORMALISERS[name](text) == text


@pytest.mark.parametrize(
    ("name", "text", "normal"),
    [
        ("none", " Red.\n", " Red.\n"),
        ("strip", " Dark\t Red.\n", "Dark Red."),
        ("strip", "\u1112\u1161\u11ab", "한"),  # letters apart, as macOS writes file names, become one syllable
        ("casefold", " Dark  Red.", "dark red."),
        ("plain", " Dark  Red. ", "dark red"),
        ("plain", "T-Shirt", "t-shirt"),
        ("plain", "None", "none"),
        # what metrics.md measured of the official rules on answers of the Dacon competition
        ("vqa_2021", "none", "0"),
        ("vqa_2021", "t-shirt", "t shirt"),
        ("vqa_2021", "1/4", "1 4"),
        ("vqa_2021", "a", ""),
        ("vqa_2021", "10:20", "10:20"),
        ("m4c", "mcdonald's", "mcdonald 's"),
    ],
)
def test_a_normaliser_does_what_its_name_says_and_no_more(name: str, text: str, normal: str) -> None:
    assert NORMALISERS[name](text) == normal


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("2.", "2"),
        ("2.5", "2.5"),
        ("a.b", "ab"),
        ("t-shirt", "t shirt"),
        ("t- shirt", "t shirt"),
        ("red, white", "red white"),
        ("1,000", "1000"),
        ("1,000 a/b", "1000 ab"),  # a comma between digits makes every mark vanish without a space
        ("it's 5:30 & $5", "it's 5:30 & $5"),  # ' : & $ are not in the list
        ("." * 40, "." * 8),  # at most 32 full stops go
    ],
)
def test_punctuation_goes_as_in_the_evaluation_tool_quirks_included(text: str, out: str) -> None:
    assert process_punctuation(text) == out


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("The Two  dogs", "2 dogs"),
        ("none", "0"),
        ("ten a an the", "10"),
        ("dont OCLOCK", "don't o'clock"),
        ("somebody'd", "somebodyd"),
        ("Im", "im"),  # the table has `Im`, but the text is lower case by then
        ("couldn'tve couldnt've", "couldn't've couldn't've"),
        ("'ow'sat", "'ow's'at"),
    ],
)
def test_words_go_as_in_the_evaluation_tool_quirks_included(text: str, out: str) -> None:
    assert process_digit_article(text) == out


def test_the_tables_have_the_evaluation_tools_sizes_and_odd_entries() -> None:
    assert len(CONTRACTIONS) == 120
    assert len(ENGLISH_QUESTION_TYPES) == 64
    assert {key for key, value in CONTRACTIONS.items() if value.replace("'", "") != key.replace("'", "")} == set()
    assert CONTRACTIONS["let's"] == "let's"
    assert "Id've" in CONTRACTIONS
    assert "im" not in CONTRACTIONS


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("What color is the cat?", "what color is the"),
        ("what color is a cat?", "what color is"),
        ("What  COLOR are cats", "what color"),
        ("what colorful bird is it?", "what"),  # a phrase ends where a word ends
        ("How many people are in the pool?", "how many people are in"),
        ("Is there a green shape?", "is there a"),
        ("What's this?", "what's this"),
        ("On which side is it?", "on which"),
        ("왜?", "왜"),
        ("강아지는 무엇을 하고 있나요?", "무엇"),
        ("이건 뭐야?", "무엇"),
        ("사람이 몇 명 있나요?", "몇"),
        ("누가 운전하나요?", "누구"),
        ("무슨 색인가요?", "무슨"),
        ("어떻게 가나요?", "어떻게"),
        ("어떤 동물이 어디 있나요?", "어떤"),
        ("왜곡된 사진인가요?", "other"),
        ("강아지가 있나요?", "other"),
        ("", "other"),
        ("???", "other"),
    ],
)
def test_a_question_has_the_type_a_person_would_give_it(question: str, kind: str) -> None:
    assert question_type(question) == kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        *[("yes", "yes/no"), ("No.", "yes/no"), ("예", "yes/no"), ("아니오", "yes/no")],
        *[
            ("0", "number"),
            ("1,000", "number"),
            ("2.5", "number"),
            ("Two", "number"),
            ("3개", "number"),
            ("-5", "number"),
        ],
        *[
            ("none", "other"),
            ("10:20", "other"),
            ("1/4", "other"),
            ("t-shirt", "other"),
            ("", "other"),
            ("7up", "other"),
        ],
    ],
)
def test_an_answer_has_the_type_of_vqas_annotations(answer: str, kind: str) -> None:
    assert answer_type(answer) == kind


def test_question_lengths_fall_into_five_buckets() -> None:
    lengths = [question_length("w " * count) for count in range(20)]
    assert list(dict.fromkeys(lengths)) == ["1-4", "5-6", "7-8", "9-12", "13+"]
