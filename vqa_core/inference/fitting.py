"""Questions that fit the model: one that is too long for its positions is cut, or refused where that does not help.

A question is cut at its end, as --text-token-budget cuts it in training. Options, the instruction and the room for an
answer are never cut.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from vqa_core.files import InputError
from vqa_core.inference.generation import Batch, Generated, Limits, Picture, Way, Work
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.whole_prompts import WholePromptModel
from vqa_core.model.protocol import AnyVlm
from vqa_core.prompts.choice_style import places_of
from vqa_core.runs.examples import Example

AROUND = 8  # tokens that a tokeniser may put round a text, beside one for each byte


@dataclass(frozen=True, slots=True)
class Fit:
    """How a question is asked that does not fit as it is: as `question`, of whose `asked` tokens `kept` are kept.

    With a `refusal` it can't be asked at all, for that reason.
    """

    question: str = ""
    asked: int = 0
    kept: int = 0
    refusal: str = ""


def fitting_limit(vlm: AnyVlm, longest: int) -> int:
    """The longest answer in tokens where it is to have `longest`, within what the model has positions for.

    A decoder beside an encoder has its own. A model that sees every picture alike keeps half of what a picture leaves
    for questions.
    """
    positions = vlm.positions
    if positions.decoder is not None and isinstance(vlm, HubModel):
        return max(1, min(longest, positions.decoder - len(vlm.lead or (0,)) + 1))
    if positions.row is None or isinstance(vlm, HubModel):
        return longest
    left = positions.row - len(vlm.prompt.prefix_ids) - vlm.image_tokens - len(vlm.prompt.branch_ids("")[0])
    return max(1, min(longest, left // 2 + 1)) if left > 0 else longest


def room_for(vlm: AnyVlm, picture: Picture, example: Example, limits: Limits) -> int | None:
    """The tokens that a question's chunk may take behind a picture and before the longest answer.

    None where it surely takes no more. The last token of an answer is never fed, and needs no position.
    """
    row = limits.positions.row
    if row is None:
        return None
    left = row - vlm.prefix_of(picture).following
    if _most_tokens(vlm, example) + _most_of_answer(vlm, example, limits.longest) <= left:
        return None
    return left - (_longest_answer(vlm, example, limits.longest) - 1)


def fit_question(vlm: AnyVlm, picture: Picture, example: Example, limits: Limits) -> Fit | None:
    """How to ask a question; None where it fits as it is."""
    try:
        if isinstance(vlm, WholePromptModel):
            return _fit_whole_prompt(vlm, picture, example, limits)
        return _fit_branch(vlm, picture, example, limits)
    except InputError as error:
        return Fit(refusal=str(error))


def _fit_branch(vlm: AnyVlm, picture: Picture, example: Example, limits: Limits) -> Fit | None:
    room = room_for(vlm, picture, example, limits)
    if room is None:
        return None
    ids, cut = vlm.prompt.branch_ids(example.question, example.choices, budget=room)
    if len(ids) <= room and not cut:
        return None
    before = vlm.prefix_of(picture).following
    asked = vlm.prompt.count_tokens(example.question)
    around = len(ids) - max(asked - cut, 0)
    if len(ids) > room or cut >= asked:
        return Fit(refusal=_refuse(vlm, before, around, _longest_answer(vlm, example, limits.longest)))
    return Fit(example.question, asked, asked - cut)


def _fit_whole_prompt(vlm: WholePromptModel, picture: Picture, example: Example, limits: Limits) -> Fit | None:
    """Cut the text of a question until what the processor makes of it fits."""
    most, rooms = _most_tokens(vlm, example), vlm.room(_most_of_answer(vlm, example, limits.longest))
    if all(picture.tokens.get(name, 0) + most <= room for name, room in rooms.items()):
        return None
    answer = _longest_answer(vlm, example, limits.longest)
    question, asked = example.question, vlm.prompt.count_tokens(example.question)
    kept = asked
    over = vlm.tokens_over(picture, question, example.choices, answer)
    while over > 0 and kept > 0:
        kept = max(0, min(kept - 1, kept - over))
        question = vlm.prompt.first_tokens(example.question, kept)
        over = vlm.tokens_over(picture, question, example.choices, answer)
    if over > 0 or (asked and not kept):
        before = picture.tokens.get("input_ids", 0)
        around = vlm.prompt.count_tokens(vlm.prompt.choice_style.lines(example.choices))
        return Fit(refusal=_refuse(vlm, before, around, answer))
    return None if kept == asked else Fit(question, asked, kept)


def _longest_answer(vlm: AnyVlm, example: Example, longest: int) -> int:
    """The most tokens of an answer to a question, its end included: of a multiple-choice question that of an option."""
    if not example.choices:
        return longest
    names = vlm.prompt.choice_ids(example.choices)
    return max(len(names[place]) for place in places_of(example.choices))


def _most_of_answer(vlm: AnyVlm, example: Example, longest: int) -> int:
    """More tokens than an answer to a question can have, found without a tokeniser."""
    names = vlm.prompt.choice_style.names(example.choices)
    return max((_most_bytes(name) + AROUND for name in names), default=longest)


def _most_tokens(vlm: AnyVlm, example: Example) -> int:
    """More tokens than the text of a question can become: tokenisers have one for each byte, once it is normalised."""
    return _most_bytes(vlm.prompt.text(example.question, example.choices)) + AROUND


def _most_bytes(text: str) -> int:
    return max(len(unicodedata.normalize(form, text).encode("utf-8", "surrogatepass")) for form in ("NFKC", "NFKD"))


def _refuse(vlm: AnyVlm, before: int, around: int, answer: int) -> str:
    return (
        f"the model has {vlm.positions.row} positions: the picture and the prompt before the question take {before}, "
        f"the text behind the question {around} and an answer up to {answer}, which leaves none for the question"
    )


def describe_cut(vlm: AnyVlm, asked: int, kept: int) -> str:
    """The detail of a prediction whose question was cut."""
    return f"the question was cut from {asked} to {kept} tokens: the model has {vlm.positions.row} positions"


def within_positions(vlm: AnyVlm, way: Way) -> Way:
    """A way of answering that cuts or refuses the questions that `way` could not answer."""

    def answer(batch: Batch, pictures: list[Picture], limits: Limits, work: Work) -> list[list[Generated]]:
        fits = fit_batch(vlm, batch, pictures, limits)
        if fits is None:
            return way(batch, pictures, limits, work)
        asked = [_as_asked(group, of_group) for group, of_group in zip(batch.groups, fits, strict=True)]
        at = [place for place, group in enumerate(asked) if group]
        rest = Batch([asked[place] for place in at])
        found = way(rest, [pictures[place] for place in at], limits, work) if at else []
        answers = {place: iter(generated) for place, generated in zip(at, found, strict=True)}
        return [_merged(vlm, of_group, answers.get(place, iter(()))) for place, of_group in enumerate(fits)]

    return answer


def fit_batch(vlm: AnyVlm, batch: Batch, pictures: Sequence[Picture], limits: Limits) -> list[list[Fit | None]] | None:
    """The fit of each question of a batch; None where all of them fit as they are."""
    if limits.positions.is_endless:
        return None
    fits = [
        [fit_question(vlm, picture, example, limits) for example in group]
        for group, picture in zip(batch.groups, pictures, strict=True)
    ]
    return fits if any(fit for of_group in fits for fit in of_group) else None


def _as_asked(group: Sequence[Example], fits: Sequence[Fit | None]) -> list[Example]:
    """The questions that can be asked, cut where they have to be."""
    return [
        example if fit is None else replace(example, question=fit.question)
        for example, fit in zip(group, fits, strict=True)
        if fit is None or not fit.refusal
    ]


def _merged(vlm: AnyVlm, fits: Sequence[Fit | None], answers: Iterator[Generated]) -> list[Generated]:
    """The answers of a group, those to questions that were cut or refused marked as such."""
    found: list[Generated] = []
    for fit in fits:
        if fit is None:
            found.append(next(answers))
        elif fit.refusal:
            found.append(Generated(refusal=fit.refusal))
        else:
            generated = next(answers)
            generated.question_cut = describe_cut(vlm, fit.asked, fit.kept)
            found.append(generated)
    return found
