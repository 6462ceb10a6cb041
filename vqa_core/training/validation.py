"""Validation while training: the model answers questions as it would for a user, and the right answers are counted."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from vqa_core.config import PredictSettings, TrainSettings
from vqa_core.data.images import PIXEL_LIMIT
from vqa_core.inference.engine import Engine
from vqa_core.model.packing import FLASH
from vqa_core.model.protocol import AnyVlm
from vqa_core.runs.choices import find_choice
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction

logger = logging.getLogger("vqa")


def validator(
    vlm: AnyVlm,
    examples: Sequence[Example],
    data_root: Path,
    settings: TrainSettings,
    pixel_limit: int = PIXEL_LIMIT,
) -> Callable[[], dict[str, float]]:
    """A function that measures the `accuracy` of generated answers to `examples`, and the number of `questions`.

    A question whose picture can't be read counts as answered wrongly, as in predictions; `bad_images` says how many.
    """
    kind = "hf_batch" if vlm.attention == FLASH else "shared"  # FlashAttention takes one question per row only
    predict = PredictSettings(batch_questions=settings.batch_questions, engine=kind)
    engine = Engine(vlm, predict, data_root, pixel_limit=pixel_limit)

    named: set[str] = set()

    def validate() -> dict[str, float]:
        made = {prediction.question_id: prediction for prediction in engine.generate(examples)}
        bad = [prediction for prediction in made.values() if prediction.status == "bad_image"]
        _name(bad, named)
        right = sum(_is_right(made[example.question_id], example) for example in examples)
        counts = {"bad_images": len(bad)} if bad else {}
        return {"accuracy": right / len(examples), "questions": len(examples), **counts}

    return validate


def _name(bad: Sequence[Prediction], named: set[str]) -> None:
    """Say, once for each picture, why questions of the validation can't be answered."""
    for problem in dict.fromkeys(prediction.detail for prediction in bad):
        if problem not in named:
            named.add(problem)
            logger.warning("Validation: %s Its questions count as answered wrongly.", problem)


def _is_right(prediction: Prediction, example: Example) -> bool:
    """Whether an answer is the right one: the same text, or the same choice where that is written otherwise (`b`)."""
    answer = prediction.answer
    if prediction.status == "bad_image":
        return False
    if answer == example.answer or not example.choices:
        return answer == example.answer
    given, right = (find_choice(text, example.choices, example.answer_form) for text in (answer, example.answer))
    return given is not None and given == right
