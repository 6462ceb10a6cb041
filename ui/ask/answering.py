"""Asking: questions about one picture, answered by one of the page's models; for the tab and for the API alike."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from PIL import Image

from ui.workspace.history import Answer
from ui.workspace.models import Models
from vqa_core.files import InputError
from vqa_core.runs.predictions import PartialAnswer, Prediction

if TYPE_CHECKING:  # it loads torch
    from vqa_core.inference.beam_search import Candidate

CHARACTERS = 2000  # of all questions asked at once
QUESTIONS = 32  # asked at once


def answer(models: Models, image: Image.Image, questions: Sequence[str], run: str, *, k: int = 5) -> list[Answer]:
    """Answer questions about a picture (RGB) with the model `run`, in their order.

    Raises InputError for questions that can't be asked or a model that is not there.
    """
    stream = stream_answers(models, image, questions, run, k=k)
    while True:
        try:
            next(stream)
        except StopIteration as stop:
            return list(stop.value)


def stream_answers(
    models: Models,
    image: Image.Image,
    questions: Sequence[str],
    run: str,
    *,
    k: int = 5,
    keep: Callable[[Sequence[Image.Image]], dict[str, Any]] = lambda _: {},
) -> Generator[list[PartialAnswer], None, list[Answer]]:
    """As `answer`; yields the answers so far after each token, and the whole ones before it looks for the likeliest.

    `keep` gets the tiles that the model's own processor made of the picture, and returns what to store of them.
    """
    questions = check_questions(questions)
    with models.engine(run) as engine:
        from vqa_core.inference.beam_search import find_likeliest
        from vqa_core.model.capabilities import Sharing
        from vqa_core.model.hub.hub_model import HubModel
        from vqa_core.model.vlm import Vlm

        now, started = time.time(), time.perf_counter()
        predictions = yield from engine.stream(image, questions)
        seconds = round(time.perf_counter() - started, 3)
        candidates, vlm = find_likeliest(engine, image, questions, k), engine.vlm
        pixels = asdict(vlm.transform) if isinstance(vlm, Vlm) else {}
        if isinstance(vlm, HubModel):
            pixels = keep(vlm.tiles(vlm.preprocess(image)))
        return [
            Answer(
                question=question,
                answer=prediction.answer,
                probability=prediction.probability,
                likeliest=[_with_probability(candidate, prediction) for candidate in found],
                seconds=seconds,
                prompt=engine.vlm.prompt.text(question),
                status=prediction.status,
                detail=prediction.detail,
                run=run,
                pixels=pixels,
                asked=now,
                searched=vlm.sharing is Sharing.PREFIX,
            )
            for question, prediction, found in zip(questions, predictions, candidates, strict=True)
        ]


def _with_probability(candidate: "Candidate", prediction: Prediction) -> dict[str, Any]:
    """A candidate; one that equals the prediction takes its probability, as in bf16 the last digits differ."""
    same = candidate.answer == prediction.generated and not prediction.detail
    return asdict(candidate) | ({"probability": prediction.probability} if same else {})


def split_lines(text: str) -> list[str]:
    """The questions of a text, one per line, without blank lines and without blanks round a question."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def check_questions(questions: Sequence[str]) -> list[str]:
    """The questions as the model gets them; an InputError where there are none, too many or too long ones."""
    if not any(question.strip() for question in questions):
        raise InputError("There is no question. Write one, or several, one a line.")
    if len(questions) > QUESTIONS:
        raise InputError(f"These are {len(questions)} questions; at most {QUESTIONS} are answered at once.")
    length = sum(map(len, questions))
    if length > CHARACTERS:
        raise InputError(f"These questions have {length:,} characters; at most {CHARACTERS:,} are answered at once.")
    # half characters: JSON can carry them, tokenisers refuse them
    return [question.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for question in questions]
