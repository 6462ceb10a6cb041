"""Asking: questions about one picture, answered by one of the page's models; for the tab and for the API alike."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from PIL import Image

from ui.workspace.history import Answer
from ui.workspace.models import Models
from vqa_core.files import InputError
from vqa_core.runs.choices import MOST, find_choice, letter, list_choices
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
    choices: Sequence[str] = (),
    keep: Callable[[Sequence[Image.Image]], dict[str, Any]] = lambda _: {},
) -> Generator[list[PartialAnswer], None, list[Answer]]:
    """As `answer`; yields the answers so far after each token, and the whole ones before it looks for the likeliest.

    With `choices` the answer to each question is one of them, and they are the likeliest answers, all of them.
    `keep` gets the tiles that the model's own processor made of the picture, and returns what to store of them.
    """
    questions = check_questions(questions)
    with models.engine(run) as engine:
        from vqa_core.inference.beam_search import find_likeliest
        from vqa_core.model.capabilities import Sharing
        from vqa_core.model.hub.hub_model import HubModel
        from vqa_core.model.vlm import Vlm

        now, started = time.time(), time.perf_counter()
        predictions = yield from engine.stream(image, questions, [choices] * len(questions) if choices else ())
        seconds = round(time.perf_counter() - started, 3)
        vlm = engine.vlm
        if choices:
            likeliest = [_rank_choices(choices, prediction) for prediction in predictions]
        else:
            candidates = find_likeliest(engine, image, questions, k)
            likeliest = [
                [_with_probability(candidate, prediction) for candidate in found]
                for prediction, found in zip(predictions, candidates, strict=True)
            ]
        pixels = asdict(vlm.transform) if isinstance(vlm, Vlm) else {}
        if isinstance(vlm, HubModel):
            pixels = keep(vlm.tiles(vlm.preprocess(image)))
        return [
            Answer(
                question=question,
                answer=_named(choices, prediction.answer),
                probability=prediction.probability,
                likeliest=found,
                seconds=seconds,
                prompt=engine.vlm.prompt.text(question, choices),
                status=prediction.status,
                detail=prediction.detail,
                run=run,
                pixels=pixels,
                asked=now,
                searched=bool(choices) or vlm.sharing is Sharing.PREFIX,
                choices=list(choices),
            )
            for question, prediction, found in zip(questions, predictions, likeliest, strict=True)
        ]


def _with_probability(candidate: "Candidate", prediction: Prediction) -> dict[str, Any]:
    """A candidate; one that equals the prediction takes its probability, as in bf16 the last digits differ."""
    same = candidate.answer == prediction.generated and not prediction.detail
    return asdict(candidate) | ({"probability": prediction.probability} if same else {})


def _rank_choices(choices: Sequence[str], prediction: Prediction) -> list[dict[str, Any]]:
    """The choices with their probabilities, the likeliest first; none if the model computed none."""
    named = zip(list_choices(choices), prediction.options)
    return sorted(
        ({"answer": answer, "probability": probability} for answer, probability in named),
        key=lambda each: -float(each["probability"]),
    )


def _named(choices: Sequence[str], answer: str) -> str:
    """`B` -> `B. blue`; the answer to an open question as it is."""
    index = find_choice(answer, choices, letter(0)) if choices else None
    return answer if index is None else list_choices(choices)[index]


def split_lines(text: str) -> list[str]:
    """The questions of a text, one per line, without blank lines and without blanks round a question."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def check_choices(choices: Sequence[str]) -> list[str]:
    """The options as the model gets them; an InputError for a single one, too many or too long ones."""
    if len(choices) == 1:
        raise InputError("There is one option. Write two or more, one a line, or none.")
    if len(choices) > MOST:
        raise InputError(f"These are {len(choices)} options; at most {MOST} can be chosen from.")
    length = sum(map(len, choices))
    if length > CHARACTERS:
        raise InputError(f"These options have {length:,} characters; at most {CHARACTERS:,} can be shown.")
    return [choice.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for choice in choices]


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
