import pytest

from vqa_core.files import InputError
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction
from vqa_core.scoring.comparison import compare, differing_settings


def examples(count: int, answer: str | None = "yes") -> list[Example]:
    return [
        Example(f"q{n}", f"i{n // 2}", f"i{n // 2}.png", f"is there a {n}?" if n % 2 else "what is it?", answer)
        for n in range(count)
    ]


def predict(*answers: str) -> dict[str, Prediction]:
    return {f"q{n}": Prediction(f"q{n}", answer, answer, 0.5) for n, answer in enumerate(answers)}


def test_pairs_transitions_and_types_are_those_counted_by_hand() -> None:
    a = predict("yes", "yes", "no", "no", "yes", "red")
    b = predict("yes", "no", "yes", "no", "no", "blue")
    comparison = compare(examples(6), a, b)
    paired = comparison.paired
    assert paired is not None
    assert (paired.both, paired.only_a, paired.only_b, paired.neither) == (1, 2, 1, 2)
    assert paired.difference.value == pytest.approx(1 / 6)
    assert paired.p_value == 1.0
    assert paired.verdict == "tied"
    assert (comparison.changed, comparison.questions) == (4, 6)
    assert comparison.transitions == {("yes", "no"): 2, ("no", "yes"): 1, ("red", "blue"): 1}
    assert comparison.changed_types == {"is there a": 2, "what is": 2}
    assert comparison.types == {"is there a": 3, "what is": 3}


def test_a_clear_lead_is_said_and_so_is_a_tie() -> None:
    questions = examples(200)
    good, bad = predict(*["yes"] * 200), predict(*["yes", "no"] * 100)
    assert compare(questions, good, bad).paired.verdict == "a"  # type: ignore[union-attr]
    assert "better: the interval of the difference excludes 0" in compare(questions, bad, good).table("one", "two")
    assert "two is better" in compare(questions, bad, good).table("one", "two")
    nearly = dict(good) | predict("no")
    assert "tied: the interval of the difference includes 0" in compare(questions, good, nearly).table()
    assert "tied: both are right and wrong on the same questions" in compare(questions, good, good).table()


def test_without_right_answers_there_is_a_diff_and_no_verdict() -> None:
    comparison = compare(examples(3, None), predict("a", "b", "c"), predict("a", "b", "d"))
    assert comparison.paired is None
    text = comparison.table("old", "new")
    assert "answers that differ: 1 of 3 (33.3%)" in text
    assert "'c' -> 'd'" in text
    assert "better" not in text


def test_right_answers_apart_from_the_questions_are_used() -> None:
    references = {f"q{n}": ["b"] for n in range(2)}
    paired = compare(examples(2, None), predict("a", "b"), predict("b", "b"), references=references).paired
    assert paired is not None
    assert (paired.a.value, paired.b.value) == (0.5, 1.0)
    with pytest.raises(InputError, match="no reference answer for 2 of 2 questions: 'q0', 'q1'"):
        compare(examples(2, None), predict("a", "b"), predict("a", "b"), references={"q7": ["b"], "q0": [" "]})


def test_questions_without_a_reference_count_for_neither_run() -> None:
    references = {"q0": ["b"], "q1": ["b"], "q2": [""]}
    comparison = compare(
        examples(4, None), predict("a", "b", "c", "d"), predict("b", "b", "c", "e"), references=references
    )
    paired = comparison.paired
    assert paired is not None
    assert (paired.a.value, paired.b.value, paired.a.n, paired.neither) == (0.5, 1.0, 2, 0)
    assert (comparison.questions, comparison.changed, paired.unreferenced) == (4, 2, 2)
    assert "2 of 4 questions have no reference answer and are not counted." in comparison.table()


def test_a_run_that_lacks_an_answer_is_named() -> None:
    with pytest.raises(InputError, match="the second run has no prediction for 1 of 2 questions: 'q1'"):
        compare(examples(2), predict("a", "b"), predict("a"))


def test_settings_that_differ_are_named_by_section_and_absent_ones_shown() -> None:
    old = {"train": {"seed": 0, "stage": "lora"}, "data": {"root": "x"}}
    new = {"train": {"seed": 1, "stage": "lora"}, "data": {"root": "x"}, "predict": {"answers": "open"}}
    assert differing_settings(old, new) == {"train.seed": (0, 1), "predict.answers": (None, "open")}
    text = compare(examples(1), predict("a"), predict("a"), config_a=old, config_b=new).table("one", "two")
    assert "train.seed" in text
    assert "settings that differ: none" not in text


def test_long_lists_are_cut_and_say_how_much_is_left() -> None:
    a, b = predict(*[f"a{n}" for n in range(30)]), predict(*[f"b{n}" for n in range(30)])
    assert "and 20 more changes" in compare(examples(30), a, b).table()
