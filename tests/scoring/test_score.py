import json
import time

import easy_vqa
import pytest

from vqa_core.files import InputError
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction
from vqa_core.scoring.score import score_predictions


def example(number: int, question: str, answer: str | None, image: int | None = None) -> Example:
    image_id = f"img_{number if image is None else image}"
    return Example(f"q{number}", image_id, f"image/{image_id}.png", question, answer)


def predict(*answers: str) -> dict[str, Prediction]:
    return {f"q{number}": Prediction(f"q{number}", answer, answer, 0.5) for number, answer in enumerate(answers)}


EXAMPLES = [
    example(0, "is there a cat?", "yes", 0),
    example(1, "is there a dog?", "no", 0),
    example(2, "how many dogs?", "2", 1),
    example(3, "what color is the cat?", "red", 2),
]
TRAIN = [
    example(10 + i, question, answer)
    for i, (question, answer) in enumerate([("is there a cat?", "yes"), ("how many dogs?", "3")])
]


def test_every_number_of_a_small_score_is_the_one_counted_by_hand() -> None:
    score = score_predictions(EXAMPLES, predict("yes", "yes", "2", "Red."), train=TRAIN)
    assert (score.overall.score.value, score.overall.normalised.value) == (0.5, 0.75)
    assert (score.overall.score.n, score.overall.score.images) == (4, 3)
    assert score.near_misses == [{"question_id": "q3", "answer": "Red.", "reference": "red"}]
    assert {name: (row.score.value, row.score.n) for name, row in score.slices["answer_types"].items()} == {
        "yes/no": (0.5, 2),
        "number": (1.0, 1),
        "other": (0.0, 1),
    }
    assert list(score.slices["question_types"]) == ["is there a", "how many", "what color is the"]
    assert score.baseline is not None
    assert score.baseline.score.value == 0.25  # yes, yes, 3, yes
    assert score.gain is not None
    assert score.gain.value == 0.25


def test_an_answer_right_to_the_letter_is_no_near_miss_whatever_the_metric() -> None:
    references = {item.question_id: [str(item.answer)] * 10 for item in EXAMPLES}
    references["q3"] = ["red", *"abcdefghi"]
    score = score_predictions(
        EXAMPLES, predict("Yes", "no", "2", "red"), references=references, metric="vqa_official_2021"
    )
    assert score.overall.score.value == pytest.approx((0 + 1 + 1 + 0.3) / 4)  # `Yes` against ten times `yes` is 0
    assert [miss["question_id"] for miss in score.near_misses] == ["q0"]
    assert score.headline().startswith("vqa_official_2021: 0.5750 (95 % interval ")


def test_the_normaliser_chosen_is_the_one_used_and_named() -> None:
    examples = [example(0, "how many?", "0"), example(1, "how many?", "1")]
    for normaliser, right in (("plain", 0.0), ("vqa_2021", 1.0)):
        score = score_predictions(examples, predict("none", "one"), metric="exact_normalised", normaliser=normaliser)
        assert score.overall.score.value == score.overall.normalised.value == right
        assert score.to_dict()["normaliser"] == normaliser
        assert normaliser in score.table()


def test_official_vqa_accuracy_is_refused_for_single_answers_with_the_reason() -> None:
    with pytest.raises(InputError, match="at least 4 reference"):
        score_predictions(EXAMPLES, predict("yes", "yes", "2", "red"), metric="vqa_official_2021")


def test_missing_predictions_are_named_or_with_leave_counted_out() -> None:
    some = {key: value for key, value in predict("yes", "yes", "2", "red").items() if key != "q1"}
    with pytest.raises(InputError, match=r"no prediction for 1 of 4 questions: 'q1'.*--partial"):
        score_predictions(EXAMPLES, some)
    score = score_predictions(EXAMPLES, some, allow_partial=True)
    assert (score.overall.score.value, score.overall.score.n, score.missing) == (1.0, 3, 1)
    assert "partial: 1 questions have no answer" in score.table()


@pytest.mark.parametrize(
    ("examples", "problem"),
    [
        ([*EXAMPLES, example(0, "what?", "a")], "'q0' occur more than once"),
        ([example(9, "what?", None)], "no reference answer for 1 of 1 questions: 'q9'.*--answers"),
        ([], "nothing to score"),
    ],
)
def test_questions_that_cannot_be_scored_are_named(examples: list[Example], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        score_predictions(examples, predict("yes", "yes", "2", "red"))


def test_only_questions_with_a_reference_are_scored_and_the_score_says_how_many_of_how_many() -> None:
    references = {"q0": ["yes"], "q1": [""], "q2": [" "], "q3": ["red"], "other": ["x"]}
    score = score_predictions(EXAMPLES, predict("yes", "", "2", "blue"), references=references, split="test")
    assert (score.overall.score.value, score.overall.score.n, score.unreferenced, score.missing) == (0.5, 2, 2, 0)
    assert ", n 2 of 4, test)" in score.headline()
    assert "2 of 4 questions have no reference answer and are not counted" in score.table()
    assert score.to_dict()["unreferenced"] == 2


def test_a_prediction_is_missed_only_where_there_is_a_reference() -> None:
    some = {key: value for key, value in predict("yes", "yes", "2", "red").items() if key != "q1"}
    score = score_predictions(EXAMPLES, some, references={"q0": ["yes"], "q2": ["3"]})
    assert (score.overall.score.value, score.overall.score.n, score.unreferenced) == (0.5, 2, 2)


@pytest.mark.parametrize(
    ("options", "problem"), [({"metric": "exakt"}, "choose from exact"), ({"normaliser": "no"}, "choose")]
)
def test_a_name_not_known_is_answered_with_those_that_are(options: dict[str, str], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        score_predictions(EXAMPLES, predict("yes", "yes", "2", "red"), **options)  # type: ignore[arg-type]


def test_fallback_answers_are_counted_in_the_table() -> None:
    answers = predict("yes", "yes", "2", "red") | {"q3": Prediction("q3", "red", "", None, "bad_image", "cut short")}
    score = score_predictions(EXAMPLES, answers)
    assert score.statuses == {"ok": 3, "bad_image": 1}
    assert "answers not from the model: 1 bad_image" in score.table()
    assert "shortened" not in score.table()


def test_answers_that_are_cut_are_counted_apart_from_fallbacks() -> None:
    cut = {"q3": Prediction("q3", "re", "re", 0.5, "cut"), "q2": Prediction("q2", "2", "2", 0.5, "question_cut")}
    score = score_predictions(EXAMPLES, predict("yes", "yes", "2", "red") | cut)
    assert "answers shortened: 1 question_cut, 1 cut" in score.table()
    assert "answers not from the model" not in score.table()


def test_the_record_is_json_and_every_row_of_it_has_the_same_shape() -> None:
    score = score_predictions(EXAMPLES, predict("yes", "yes", "2", "red"), train=TRAIN, split="test")
    record = json.loads(json.dumps(score.to_dict()))
    rows = [record["overall"], record["baseline"], *record["question_types"].values(), *record["answer_types"].values()]
    assert all(row.keys() == {"exact", "exact_normalised"} for row in rows)
    assert all(row["exact"].keys() == {"value", "low", "high", "n", "images", "method"} for row in rows)
    assert score.headline().endswith(", n 4, test)")


def test_the_question_only_baseline_of_easy_vqa_is_67_percent() -> None:
    train, test = (
        [example(number, question, answer, image) for number, (question, answer, image) in enumerate(zip(*questions))]
        for questions in (easy_vqa.get_train_questions(), easy_vqa.get_test_questions())
    )
    start = time.perf_counter()
    score = score_predictions(
        test, {e.question_id: Prediction(e.question_id, str(e.answer), "", 1.0) for e in test}, train=train
    )
    assert time.perf_counter() - start < 10
    assert score.baseline is not None
    assert score.baseline.score.value == pytest.approx(0.670, abs=0.0005)
    assert score.headline() == "exact match: 1.0000 (95 % interval 0.9963-1.0000, n 9673, val)"
