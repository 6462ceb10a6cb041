"""TrainingQuestion: one question of a training row, and what is learnt from it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from vqa_core.prompts.choice_style import ChoiceStyle, places_of, rearranged
from vqa_core.runs.choices import TEXT, find_choice


@dataclass(frozen=True, slots=True)
class TrainingQuestion:
    """A question with its answer; a multiple-choice question with its choices and the index of the right one.

    `right` is None for an open question, and where the answer names none of the choices, or a blank one.
    """

    question_id: str
    question: str
    answer: str
    choices: tuple[str, ...] = ()
    right: int | None = None

    @property
    def is_unanswered(self) -> bool:
        """Whether the answer of a multiple-choice question names none of its choices."""
        return bool(self.choices) and self.right is None

    def target(self, style: ChoiceStyle) -> str:
        """The text to learn: the answer, or what names the right choice."""
        return self.answer if self.right is None else style.names(self.choices)[self.right]

    def shuffled(self, seed: Sequence[int]) -> Self:
        """The question with its choices in an order that the seed alone decides."""
        if self.right is None:
            return self
        places = places_of(self.choices)
        order = np.random.default_rng(seed).permutation(places).tolist()
        return replace(self, choices=rearranged(self.choices, order), right=places[order.index(self.right)])


def questions_of(row: dict[str, object]) -> list[TrainingQuestion]:
    """The questions of a training row, see vqa_core/runs/training_rows.py."""
    columns = [row["question_ids"], row["questions"], row["answers"]]
    if not any(row.get("choices") or ()):  # type: ignore[arg-type]
        return [TrainingQuestion(*texts) for texts in zip(*columns, strict=True)]
    asked = zip(*columns, row["choices"], row["answer_forms"], strict=True)  # type: ignore[call-overload]
    return [
        TrainingQuestion(question_id, question, answer, tuple(choices), _right(answer, choices, form))
        for question_id, question, answer, choices, form in asked
    ]


def _right(answer: str, choices: Sequence[str], form: str) -> int | None:
    """The choice that an answer names; of choices with one text, which words can't tell apart, the first."""
    found = find_choice(answer, choices, form)
    if found is None and form == TEXT:
        found = next((index for index, choice in enumerate(choices) if choice.strip() == answer.strip()), None)
    return found if found is not None and choices[found] else None
