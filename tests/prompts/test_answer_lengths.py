"""How long the answers of a training are, and how long a model's own may be."""

import pytest

from tests.support.tiny import tiny_tokenizer
from vqa_core.prompts.answer_lengths import LEAST, AnswerLengths, measure_answers
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.runs.examples import Example


@pytest.mark.parametrize(
    ("counts", "most", "limit"),
    [
        ({2: 10}, 2, LEAST),
        ({2: 999, 40: 1}, 2, LEAST),
        ({2: 998, 40: 2}, 40, 40),
        ({2: 500, 40: 1}, 40, 40),  # of fewer than 1,000 all fit
        ({2: 1998, 30: 1, 90: 1}, 2, LEAST),
        ({2: 1997, 30: 2, 90: 1}, 30, 30),
        ({}, 0, LEAST),
    ],
)
def test_at_least_999_of_1000_answers_fit(counts: dict[int, int], most: int, limit: int) -> None:
    lengths = AnswerLengths(counts)
    assert (lengths.most, lengths.limit) == (most, limit)
    assert lengths.longer_than(limit) * 1000 <= lengths.total
    assert AnswerLengths.from_dict(lengths.to_dict()) == lengths


def test_answers_are_measured_as_they_are_learnt() -> None:
    prompt = PromptEncoder(tiny_tokenizer(), "vicuna_v1")
    examples = [Example(str(at), "i", "i.png", "q?", answer) for at, answer in enumerate(["no", "no", "파란색", ""])]
    examples.append(Example("x", "i", "i.png", "q?", "A", choices=("red", "blue"), answer_form="A"))
    lengths = measure_answers(prompt, examples)
    assert lengths.total == 3
    assert lengths.longest == len(prompt.answer_ids("파란색")) + 1
    assert lengths.median == len(prompt.answer_ids("no")) + 1
