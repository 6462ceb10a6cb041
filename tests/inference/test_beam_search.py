"""The likeliest answers and their probabilities, held against the model's own forward pass."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny import ANSWERS, QUESTIONS, tiny_picture, tiny_vlm
from vqa_core.config import PredictSettings
from vqa_core.inference import beam_search as module
from vqa_core.inference.beam_search import find_likeliest
from vqa_core.inference.engine import Engine
from vqa_core.model.vlm import Vlm

QUESTION = QUESTIONS[1]
STYLES = [{}, {"prompt_style": "vicuna_v1", "adds_bos": True, "attention": "eager", "tower": "clip"}]


def engine_of(vlm: Vlm, longest: int = 6, allowed: Sequence[str] | None = None) -> Engine:
    return Engine(vlm, PredictSettings(max_new_tokens=longest), Path(), allowed_answers=allowed)


@torch.inference_mode()
def next_logits(vlm: Vlm, seed: int, question: str, answers: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits (A, V) after each of the answers so far, all of one length, by one plain causal pass over all of it."""
    image = [vlm.image_token_id] * vlm.image_tokens
    prompt = [*vlm.prompt.prefix_ids, *image, *vlm.prompt.branch_ids(question)[0]]
    embeds = vlm.embed(torch.tensor([prompt]), vlm.encode_images(vlm.pixels([tiny_picture(seed)])))
    answered = vlm.model.get_input_embeddings()(torch.tensor([list(ids) for ids in answers], dtype=torch.long))
    embeds = torch.cat([embeds.expand(len(answers), -1, -1), answered], dim=1)
    return vlm.model.lm_head(vlm.language_model(inputs_embeds=embeds).last_hidden_state[:, -1])


def by_brute_force(vlm: Vlm, seed: int, longest: int, k: int) -> list[tuple[str, float]]:
    """The k best of *all* answers of fewer than `longest` tokens."""
    end, best = vlm.prompt.end_id, {}
    level: dict[tuple[int, ...], float] = {(): 0.0}
    for _ in range(longest):
        after: dict[tuple[int, ...], float] = {}
        for at in range(0, len(level), 2048):
            chunk = list(level)[at : at + 2048]
            logprobs = next_logits(vlm, seed, QUESTION, chunk).float().log_softmax(-1).tolist()
            for ids, row in zip(chunk, logprobs, strict=True):
                text = vlm.prompt.decode_whole(list(ids))
                best[text] = max(best.get(text, -math.inf), level[ids] + row[end])
                after |= {(*ids, token): level[ids] + row[token] for token in range(len(row)) if token != end}
        floor = sorted(best.values())[-k] if len(best) >= k else -math.inf
        level = {ids: logprob for ids, logprob in after.items() if logprob > floor}
    return sorted(((text, math.exp(value)) for text, value in best.items()), key=lambda item: -item[1])[:k]


def among(vlm: Vlm, seed: int, question: str, allowed: Sequence[str]) -> dict[str, float]:
    """The probability of each allowed answer, at every token among those with which an allowed answer goes on."""
    full = {answer: [*vlm.prompt.answer_ids(answer), vlm.prompt.end_id] for answer in allowed}
    found = {}
    for answer, ids in full.items():
        total = 0.0
        for at, token in enumerate(ids):
            options = {other[at] for other in full.values() if other[:at] == ids[:at] and len(other) > at}
            logits = next_logits(vlm, seed, question, [ids[:at]])[0].float()
            total += (logits[token] - logits[sorted(options)].logsumexp(-1)).item()
        found[answer] = math.exp(total)
    return found


@pytest.mark.parametrize("model", STYLES)
def test_with_a_wide_beam_the_answers_are_the_best_of_all(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAM", 10_000)
    monkeypatch.setattr(module, "RARE", 1e-30)
    vlm = tiny_vlm(**model)
    expected = by_brute_force(vlm, 0, longest=3, k=3)
    (found,) = find_likeliest(engine_of(vlm, 3), tiny_picture(0), [QUESTION], k=3)
    assert [each.answer for each in found] == [text for text, _ in expected]
    assert [each.probability for each in found] == pytest.approx([p for _, p in expected], rel=1e-3, abs=2e-6)


def test_what_begins_rarely_is_left_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, steps = engine_of(tiny_vlm(), longest=5), []
    extend = module._extend

    def search(rare: float) -> tuple[list[tuple[str, float]], int]:
        monkeypatch.setattr(module, "RARE", rare)
        monkeypatch.setattr(module, "_extend", lambda *args: steps.append(len(args[1])) or extend(*args))
        steps.clear()
        (found,) = find_likeliest(engine, tiny_picture(0), [QUESTION], k=2)
        return [(each.answer, each.probability) for each in found], sum(steps)

    everything, followed = search(1e-30)
    rare = everything[0][1] * 0.9  # above the second: once two are found, only what may become the first is followed
    few, less = search(rare)
    assert less < followed
    assert few[0] == everything[0]
    assert len(few) == 2


@torch.inference_mode()
def probability(vlm: Vlm, seed: int, question: str, answer: str) -> float:
    """Of one answer as the tokeniser spells it, its end included."""
    ids = [*vlm.prompt.answer_ids(answer), vlm.prompt.end_id]
    logprobs = [
        next_logits(vlm, seed, question, [ids[:at]])[0].float().log_softmax(-1)[token] for at, token in enumerate(ids)
    ]
    return math.exp(sum(logprobs))


def test_each_probability_is_that_of_the_whole_answer() -> None:
    vlm = tiny_vlm()
    checked = 0
    for seed in range(3):
        for question, found in zip(
            QUESTIONS, find_likeliest(engine_of(vlm), tiny_picture(seed), QUESTIONS), strict=True
        ):
            assert [each.probability for each in found] == sorted((each.probability for each in found), reverse=True)
            for each in found:
                if each.answer.isascii() and each.answer.isprintable():  # else one text has several spellings
                    # the spelling found may be another than the tokeniser's, but then it is a likelier one
                    assert each.probability >= probability(vlm, seed, question, each.answer) * 0.999 - 2e-6
                    checked += each.probability == pytest.approx(
                        probability(vlm, seed, question, each.answer), rel=1e-3, abs=2e-6
                    )
    assert checked > 20


@pytest.mark.parametrize("model", STYLES)
def test_allowed_answers_are_all_weighed(model: dict[str, Any]) -> None:
    vlm = tiny_vlm(**model)
    engine = engine_of(vlm, allowed=ANSWERS)
    for question, found in zip(
        QUESTIONS[:3], find_likeliest(engine, tiny_picture(0), QUESTIONS[:3], k=99), strict=True
    ):
        expected = among(vlm, 0, question, ANSWERS)
        assert {each.answer: each.probability for each in found} == pytest.approx(expected, rel=1e-3, abs=2e-6)
        assert sum(each.probability for each in found) == pytest.approx(1, abs=1e-4)
        assert [each.probability for each in found] == sorted((each.probability for each in found), reverse=True)


def test_no_allowed_answer_is_missed_for_beginning_unlikely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAM", 1)
    vlm = tiny_vlm()
    allowed = [*(f"dark {number}" for number in range(10)), "red", "no"]  # many share what one may begin with
    engine = engine_of(vlm, allowed=allowed)
    greedy_was_best = []
    for seed in range(3):
        picture = tiny_picture(seed)
        for question, found in zip(QUESTIONS[:4], find_likeliest(engine, picture, QUESTIONS[:4], k=1), strict=True):
            expected = among(vlm, seed, question, allowed)
            assert [each.answer for each in found] == [max(expected, key=lambda answer: expected[answer])]
            greedy_was_best.append(engine.ask(picture, [question])[0].answer == found[0].answer)
    assert not all(greedy_was_best)


def test_many_allowed_answers_are_searched_and_none_is_made_up() -> None:
    allowed = [f"{word} {number}" for word in ("dark", "red", "원") for number in range(200)]
    (found,) = find_likeliest(engine_of(tiny_vlm(), allowed=allowed), tiny_picture(0), [QUESTION])
    assert len({each.answer for each in found}) == 5
    assert {each.answer for each in found} <= set(allowed)


@pytest.mark.parametrize("allowed", [None, ANSWERS])
def test_the_answer_given_has_the_same_probability_among_the_likeliest(allowed: tuple[str, ...] | None) -> None:
    engine = engine_of(tiny_vlm(), allowed=allowed)
    together = 0
    for seed in range(8):
        picture = tiny_picture(seed)
        for asked, found in zip(
            engine.ask(picture, QUESTIONS), find_likeliest(engine, picture, QUESTIONS), strict=True
        ):
            known = {each.answer: each.probability for each in found}
            if asked.generated in known and "\ufffd" not in asked.generated and not asked.detail:
                together += 1
                assert known[asked.generated] == pytest.approx(asked.probability, rel=1e-3, abs=2e-6)
    assert together > 5


def test_questions_together_have_the_likeliest_answers_of_each_alone() -> None:
    engine = engine_of(tiny_vlm())
    together = find_likeliest(engine, tiny_picture(1), QUESTIONS)
    assert engine.work.encodes == 1
    for question, found in zip(QUESTIONS, together, strict=True):
        (alone,) = find_likeliest(engine, tiny_picture(1), [question])
        assert [each.answer for each in found] == [each.answer for each in alone]
        assert [each.probability for each in found] == pytest.approx(
            [each.probability for each in alone], rel=1e-3, abs=2e-6
        )


def test_answers_too_long_are_left_out() -> None:
    for found in find_likeliest(engine_of(tiny_vlm(), longest=1), tiny_picture(0), QUESTIONS):
        assert [each.answer for each in found] == [""]  # the end alone fits into one token


def test_a_model_that_computes_nothing_has_no_likeliest_answers() -> None:
    vlm = tiny_vlm()
    with torch.no_grad():
        vlm.model.lm_head.weight.fill_(math.nan)
    assert find_likeliest(engine_of(vlm), tiny_picture(0), [QUESTION]) == [[]]
