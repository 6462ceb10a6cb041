"""What streams is what asking returns, seen earlier."""

from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from tests.support.tiny import ANSWERS, QUESTIONS, tiny_picture, tiny_vlm
from vqa_core.config import PredictSettings
from vqa_core.inference.engine import Engine
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import cast_weights
from vqa_core.runs.model_folder import Stage
from vqa_core.runs.predictions import PartialAnswer, Prediction

LONGEST = 6


def engine_of(allowed: tuple[str, ...] | None = None, **model: Any) -> Engine:
    return Engine(
        tiny_vlm(**model),
        PredictSettings(max_new_tokens=LONGEST),
        Path(),
        allowed_answers=allowed,
        fallback=lambda question: f"guess: {question}",
    )


def streamed(engine: Engine, seed: int = 0) -> tuple[list[list[str]], list[Prediction]]:
    """The texts that were yielded, and what was returned, whose probabilities came with the last texts alone."""
    yielded: list[list[PartialAnswer]] = []
    stream = engine.stream(tiny_picture(seed), QUESTIONS)
    returned: list[Prediction] | None = None
    while returned is None:
        try:
            yielded.append(next(stream))
        except StopIteration as stop:
            returned = stop.value
    assert [each for _, each in yielded[-1]] == [prediction.probability for prediction in returned]
    assert not any(each for answers in yielded[:-1] for _, each in answers)
    return [[text for text, _ in answers] for answers in yielded], returned


@pytest.mark.parametrize("allowed", [None, ANSWERS])
@pytest.mark.parametrize("model", [{}, {"prompt_style": "vicuna_v1", "adds_bos": True, "attention": "eager"}])
def test_what_streams_ends_as_asking_does(allowed: tuple[str, ...] | None, model: dict[str, Any]) -> None:
    engine = engine_of(allowed, **model)
    for seed in range(4):
        yielded, returned = streamed(engine, seed)
        asked = engine.ask(tiny_picture(seed), QUESTIONS)
        assert returned == asked
        assert yielded[-1] == [prediction.answer for prediction in asked]


def test_answers_grow_token_by_token() -> None:
    yielded, returned = streamed(engine_of())
    assert len(yielded) == LONGEST + 1  # one after each token, and the answers as they are written down
    assert any(prediction.detail for prediction in returned)  # some were cut off, so all steps were taken
    for before, after in pairwise(yielded[:-1]):
        assert all(now.startswith(then) for then, now in zip(before, after, strict=True))
    assert len({tuple(answers) for answers in yielded}) > 3


def test_half_a_character_is_not_shown() -> None:
    yielded = [answers for seed in range(6) for answers in streamed(engine_of(), seed)[0][:-1]]
    assert not any(text.endswith("\ufffd") for answers in yielded for text in answers)


def test_the_picture_is_encoded_once_for_all_questions() -> None:
    engine = engine_of()
    streamed(engine)
    assert engine.work.encodes == 1


@pytest.mark.parametrize("mixed", [False, True])
def test_every_step_may_be_taken_in_another_thread(mixed: bool) -> None:
    engine = engine_of()
    if mixed:  # a frozen tower in bf16 beside trained weights in fp32, as in validation while training
        cast_weights(engine.vlm.model, torch.bfloat16)
        prepare_stage(engine.vlm, Stage("full"))
    expected = engine.ask(tiny_picture(0), QUESTIONS)
    stream = engine.stream(tiny_picture(0), QUESTIONS)
    seen: list[Any] = []
    while not isinstance(seen[-1:] and seen[-1], StopIteration):
        thread = Thread(target=lambda: seen.append(_step(stream)))
        thread.start()
        thread.join()
    assert seen[-1].value == expected
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cpu")


def _step(stream: Generator[list[PartialAnswer], None, list[Prediction]]) -> list[PartialAnswer] | StopIteration:
    try:
        answers = next(stream)
    except StopIteration as stop:
        return stop
    assert not torch.is_autocast_enabled("cpu"), "a thread is left in mixed precision"
    return answers


def test_an_empty_answer_becomes_the_fallback_in_the_stream_too() -> None:
    engine = engine_of(("",))
    yielded, returned = streamed(engine)
    assert yielded[-1] == [f"guess: {question}" for question in QUESTIONS]
    assert {prediction.status for prediction in returned} == {"empty"}
