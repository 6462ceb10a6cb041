"""Validation while training: the model answers questions as it would for a user, and the right answers are counted."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vqa_core.config import PredictSettings, TrainSettings
from vqa_core.data.images import PIXEL_LIMIT
from vqa_core.inference.engine import Engine
from vqa_core.model.packing import FLASH
from vqa_core.model.protocol import AnyVlm
from vqa_core.prompts.answer_lengths import LEAST
from vqa_core.runs.choices import find_choice
from vqa_core.runs.examples import Example


def validator(
    vlm: AnyVlm,
    examples: Sequence[Example],
    data_root: Path,
    settings: TrainSettings,
    pixel_limit: int = PIXEL_LIMIT,
    longest: int = LEAST,
) -> Callable[[], dict[str, float]]:
    """A function that measures the `accuracy` of generated answers to `examples`, and the number of `questions`.

    `longest` is the longest answer in tokens, as prediction has it.
    """
    kind = "hf_batch" if vlm.attention == FLASH else "shared"  # FlashAttention takes one question per row only
    predict = PredictSettings(batch_questions=settings.batch_questions, engine=kind, max_new_tokens=longest)
    engine = Engine(vlm, predict, data_root, pixel_limit=pixel_limit)

    def validate() -> dict[str, float]:
        answers = {prediction.question_id: prediction.answer for prediction in engine.generate(examples)}
        right = sum(_is_right(answers[example.question_id], example) for example in examples)
        return {"accuracy": right / len(examples), "questions": len(examples)}

    return validate


def _is_right(answer: str, example: Example) -> bool:
    """Whether an answer is the right one: the same text, or the same choice where that is written otherwise (`b`)."""
    if answer == example.answer or not example.choices:
        return answer == example.answer
    given, right = (find_choice(text, example.choices, example.answer_form) for text in (answer, example.answer))
    return given is not None and given == right
