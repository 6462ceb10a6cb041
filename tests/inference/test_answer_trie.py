import random

import pytest
import torch
from torch import Tensor

from vqa_core.inference.answer_trie import AnswerTrie

END, VOCABULARY = 0, 40
CPU = torch.device("cpu")


def greedy(answers: list[list[int]], steps: list[Tensor]) -> list[int]:
    """Brute force: at each step the likeliest token with which an answer, its end included, goes on."""
    chosen: list[int] = []
    for logits in steps:
        full = [[*answer, END] for answer in answers]
        allowed = {ids[len(chosen)] for ids in full if ids[: len(chosen)] == chosen and len(ids) > len(chosen)}
        if not allowed:
            break
        chosen.append(max(allowed, key=lambda token: logits[token].item()))
    return chosen


def walk(trie: AnswerTrie, steps: list[Tensor]) -> list[int]:
    state, chosen = torch.zeros(1, dtype=torch.long), []
    for logits in steps:
        token, _, state = trie.choose(logits[None], state)
        chosen.append(int(token))
        if chosen[-1] == END:
            break
    return chosen


@pytest.mark.parametrize("count", [1, 3, 30, 3000])
def test_choices_are_those_of_a_search_through_all_answers(count: int) -> None:
    rng, generator = random.Random(count), torch.Generator().manual_seed(count)
    answers = [[rng.randrange(1, VOCABULARY) for _ in range(rng.randrange(1, 6))] for _ in range(count)]
    trie = AnswerTrie(answers, END, CPU)
    for _ in range(20):
        steps = [torch.randn(VOCABULARY, generator=generator) for _ in range(trie.depth)]
        chosen = walk(trie, steps)
        assert chosen == greedy(answers, steps)
        assert chosen[:-1] in answers
        assert chosen[-1] == END


def test_an_answer_that_begins_another_can_end_or_go_on() -> None:
    trie = AnswerTrie([[5], [5, 6]], END, CPU)
    dark, blue = torch.zeros(VOCABULARY), torch.zeros(VOCABULARY)
    dark[END], blue[6] = 1.0, 1.0
    assert walk(trie, [dark, dark, dark]) == [5, END]
    assert walk(trie, [dark, blue, dark]) == [5, 6, END]
    assert trie.depth == 3


def test_rows_in_different_states_are_chosen_for_at_once() -> None:
    trie = AnswerTrie([[5], [5, 6], [7, 8, 9]], END, CPU)
    steps = torch.randn(2, VOCABULARY, generator=torch.Generator().manual_seed(0))
    _, _, states = trie.choose(steps, torch.tensor([0, 0]))
    after = torch.randn(2, VOCABULARY)
    together = trie.choose(after, states)
    alone = [trie.choose(after[row, None], states[row, None]) for row in range(2)]
    for part, values in enumerate(together):
        torch.testing.assert_close(values, torch.cat([row[part] for row in alone]))


def test_probabilities_are_shares_among_the_allowed_tokens() -> None:
    trie = AnswerTrie([[5], [6], [7]], END, CPU)
    logits = torch.zeros(VOCABULARY)
    logits[9] = 100.0  # not allowed
    logits[6] = torch.log(torch.tensor(2.0))
    token, logprob, state = trie.choose(logits[None], torch.zeros(1, dtype=torch.long))
    assert int(token) == 6
    assert logprob.exp().item() == pytest.approx(2 / 4)
    assert trie.choose(logits[None], state)[1].item() == pytest.approx(0)  # only the end is left


def test_no_answers_make_no_trie() -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        AnswerTrie([], END, CPU)
