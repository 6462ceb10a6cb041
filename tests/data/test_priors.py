import pytest

from vqa_core.data.priors import AnswerPrior
from vqa_core.files import InputError
from vqa_core.runs.examples import Example


def train(*pairs: tuple[str, str | None]) -> list[Example]:
    return [Example(str(number), "i", "", question, answer) for number, (question, answer) in enumerate(pairs)]


def test_the_same_question_decides_then_its_type_then_all_answers() -> None:
    prior = AnswerPrior(
        train(
            *[("is there a cat?", "no"), ("is there a cat?", "no"), ("is there a dog?", "yes")],
            *[("is there a cow?", "yes"), ("is there a hen?", "yes"), ("what is it?", "blue"), ("what is it?", "blue")],
            *[("what is it?", "blue"), ("what is it?", "blue"), ("untold?", None)],
        )
    )
    assert prior.answer("is there a cat?") == "no"
    assert prior.answer("is there a fox?") == "yes"
    assert prior.answer("why?") == "blue"
    assert prior.answers == {"blue": 4, "yes": 3, "no": 2}


def test_of_answers_equally_common_the_first_one_counts() -> None:
    assert AnswerPrior(train(("q", "b"), ("q", "a"))).answer("q") == "b"


def test_no_training_answer_at_all_is_said() -> None:
    with pytest.raises(InputError, match="no training answer"):
        AnswerPrior(train(("q", None)))
