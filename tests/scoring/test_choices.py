"""Multiple choice in a score: choices compared as choices, letter bias, baselines of guessing."""

import pytest

from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction
from vqa_core.scoring.choices import as_asked, letter_bias
from vqa_core.scoring.comparison import compare
from vqa_core.scoring.score import Score, score_predictions

FOUR = ("red", "green", "blue", "teal")


def asked(number: int, answer: str | None, choices: tuple[str, ...] = FOUR, form: str = "A") -> Example:
    return Example(f"q{number}", f"i{number}", f"i{number}.png", "which?", answer, choices, form)


def given(*answers: str) -> dict[str, Prediction]:
    return {f"q{at}": Prediction(f"q{at}", answer, answer, 0.9) for at, answer in enumerate(answers)}


EXAMPLES = [
    asked(0, "A"),
    asked(1, "B"),
    asked(2, "C"),
    asked(3, "D"),
    asked(4, "B", ("yes", "no")),
    asked(5, "A", ("x", "y")),
]
TRAIN = [asked(10, "B"), asked(11, "B"), asked(12, "C")]


def score(**options: object) -> Score:
    return score_predictions(EXAMPLES, given("A", "A", "A", "D", "B", "?"), train=TRAIN, **options)  # type: ignore[arg-type]


def test_accuracy_by_number_of_choices_and_by_right_letter() -> None:
    scored = score()
    assert scored.overall.score.value == pytest.approx(3 / 6)
    numbers = {name: (row.score.n, row.score.value) for name, row in scored.slices["choice_numbers"].items()}
    assert numbers == {"2 choices": (2, 0.5), "4 choices": (4, 0.5)}
    letters = {name: (row.score.n, row.score.value) for name, row in scored.slices["right_letters"].items()}
    assert letters == {"A": (2, 0.5), "B": (2, 0.5), "C": (1, 0.0), "D": (1, 1.0)}


def test_letter_bias_and_what_guessing_scores() -> None:
    scored = score()
    assert scored.choices is not None
    told = scored.to_dict()["choices"]
    assert told["letters"] == {
        "A": {"right": 2, "given": 3},
        "B": {"right": 2, "given": 1},
        "C": {"right": 1, "given": 0},
        "D": {"right": 1, "given": 1},
    }
    assert told["no_choice"] == 1
    assert told["letter_bias"] == pytest.approx(3 / 5 - 2 / 6 + 1 / 5 - 1 / 6)
    assert told["chance"] == pytest.approx((4 / 4 + 2 / 2) / 6)
    assert told["commonest_letter"]["letter"] == "B"
    assert told["commonest_letter"]["score"]["value"] == pytest.approx(2 / 6)
    table = scored.table()
    assert "letters given (right): A 60.0 % (33.3 %), B 20.0 % (33.3 %)" in table
    assert "1 answers name no choice" in table
    assert "chance" in table
    assert "always the commonest letter (B)" in table


def test_the_question_only_baseline_guesses_one_of_the_choices() -> None:
    moved = [asked(0, "A", ("green", "red")), asked(1, "B", ("mauve", "blue", "pink")), asked(2, "C", ("1", "2", "3"))]
    scored = score_predictions(moved, given("A", "A", "A"), train=TRAIN)
    assert scored.baseline is not None
    # green was right most often; then blue, the only known one; then the commonest letter, B
    assert scored.baseline.score.value == pytest.approx(2 / 3)


def test_open_questions_are_scored_as_before() -> None:
    examples = [Example("q0", "i", "i.png", "which?", "red")]
    told = score_predictions(examples, given("red"), train=examples).to_dict()
    assert not told.keys() & {"choices", "choice_numbers", "right_letters"}


def test_a_reference_may_name_the_choice_in_another_form() -> None:
    assert as_asked(asked(0, None), "blue") == "C"
    assert as_asked(asked(0, None, form="text"), "C") == "blue"
    assert as_asked(asked(0, None, form="1"), "3") == "3"
    assert as_asked(asked(0, None), "mauve") == "mauve"
    examples = [asked(0, None), asked(1, None)]
    scored = score_predictions(examples, given("C", "blue"), references={"q0": ["blue"], "q1": ["blue"]}, split="test")
    assert scored.overall.score.value == 0.5  # an answer has to have the form that was asked for


def test_a_blank_choice_is_none_to_guess() -> None:
    examples = [asked(0, "C", ("red", "", "blue"))]
    scored = score_predictions(examples, given("C"), train=TRAIN)
    assert scored.choices is not None
    assert scored.choices.chance == 0.5
    assert list(scored.slices["choice_numbers"]) == ["2 choices"]


def test_two_runs_show_their_letters_side_by_side() -> None:
    a, b = given("A", "A", "A", "A", "A", "A"), given("A", "B", "C", "D", "B", "A")
    compared = compare(EXAMPLES, a, b)
    assert compared.letters is not None
    assert [each.value for each in compared.letters] == [pytest.approx(4 / 6), 0]
    assert "letter bias" in compared.table()
    assert "letter bias" not in compare([Example("q0", "i", "", "which?", "x")], a, b).table()


def test_a_bias_without_any_named_choice_is_none() -> None:
    assert letter_bias(EXAMPLES[:1], [["A"]], ["?"]).value == 0
