"""Multiple choice in a score: answers compared as choices, letter bias, and what guessing would score."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vqa_core.data.choices.facts import count_choices
from vqa_core.data.choices.priors import ChoicePrior
from vqa_core.runs.choices import TEXT, find_choice, letter, write_choice
from vqa_core.runs.examples import Example
from vqa_core.scoring.intervals import Interval, mean_interval


@dataclass(frozen=True, slots=True)
class LetterBias:
    """How often each letter is right and how often it is given, by letter; `none` answers name no choice."""

    right: dict[str, int]
    given: dict[str, int]
    none: int

    @property
    def value(self) -> float:
        """The share of answers that would have to go to another letter to be given as often as right; 0 is no bias."""
        rights, givens = sum(self.right.values()), sum(self.given.values())
        if not rights or not givens:
            return 0.0
        return sum(abs(self.given[name] / givens - self.right[name] / rights) for name in self.right) / 2

    def line(self) -> str:
        """`letters given (right): A 40.0 % (25.0 %), ...; letter bias 0.1500`."""
        rights, givens = max(1, sum(self.right.values())), max(1, sum(self.given.values()))
        shares = (
            f"{name} {100 * self.given[name] / givens:.1f} % ({100 * self.right[name] / rights:.1f} %)"
            for name in self.right
        )
        unnamed = f"; {self.none} answers name no choice" if self.none else ""
        return f"letters given (right): {', '.join(shares)}; letter bias {self.value:.4f}{unnamed}"


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """What a score adds for `questions` with choices.

    `chance` is the expected score of guessing, `commonest` that of always giving the letter that is right most often in
    training, where the training questions are known.
    """

    questions: int
    bias: LetterBias
    chance: float
    commonest: tuple[str, Interval] | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        commonest = {"letter": self.commonest[0], "score": self.commonest[1].to_dict()} if self.commonest else None
        return {
            "questions": self.questions,
            "chance": self.chance,
            "commonest_letter": commonest,
            "letter_bias": self.bias.value,
            "letters": {
                name: {"right": self.bias.right[name], "given": self.bias.given[name]} for name in self.bias.right
            },
            "no_choice": self.bias.none,
        }


def right_index(example: Example, answer: str) -> int | None:
    """The index of the choice that a reference names: in the form of the example, else by its text or its letter.

    A solution may have another form than the training answers.
    """
    found = (find_choice(answer, example.choices, form) for form in (example.answer_form, TEXT, letter(0)))
    return next((index for index in found if index is not None), None)


def as_asked(example: Example, answer: str) -> str:
    """A reference in the form that the example asks for; unchanged if the question is open or it names no choice."""
    index = right_index(example, answer) if example.choices else None
    return answer if index is None else write_choice(index, example.choices, example.answer_form)


def text_of(example: Example, answer: str) -> str:
    """The text of the choice that a reference names, else the reference."""
    index = right_index(example, answer) if example.choices else None
    return answer if index is None else example.choices[index]


def choice_slices(examples: Sequence[Example], wanted: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Kind of slice -> the slice of each question: the number of choices, the letter of the right one."""
    return {
        "choice_numbers": [f"{count_choices(row)} choices" if row.choices else "open" for row in examples],
        "right_letters": [_letter_of(row, answers[0]) for row, answers in zip(examples, wanted)],
    }


def letter_bias(examples: Sequence[Example], wanted: Sequence[Sequence[str]], given: Sequence[str]) -> LetterBias:
    """The letter bias of the answers to those of the questions that have choices."""
    asked = [(row, answers[0], answer) for row, answers, answer in zip(examples, wanted, given) if row.choices]
    right = Counter(right_index(row, answer) for row, answer, _ in asked)
    ours = Counter(find_choice(answer, row.choices, row.answer_form) for row, _, answer in asked)
    names = range(max(len(row.choices) for row, _, _ in asked))
    return LetterBias({letter(at): right[at] for at in names}, {letter(at): ours[at] for at in names}, ours[None])


def score_choices(
    examples: Sequence[Example],
    wanted: Sequence[Sequence[str]],
    given: Sequence[str],
    images: npt.NDArray[np.int64],
    train: Iterable[Example],
) -> ChoiceScore | None:
    """The ChoiceScore of a split; None if no question has choices. `wanted` are the references of each question."""
    at = [place for place, row in enumerate(examples) if row.choices]
    if not at:
        return None
    asked = [examples[place] for place in at]
    right = [right_index(examples[place], wanted[place][0]) for place in at]
    prior = ChoicePrior()
    for row in train:
        prior.add(row)
    commonest = None
    if prior.places:
        guesses = [prior.commonest_place(row) for row in asked]
        hits = [float(guess == index) for guess, index in zip(guesses, right)]
        commonest = letter(prior.places.most_common(1)[0][0]), mean_interval(hits, images[at])
    return ChoiceScore(
        questions=len(at),
        bias=letter_bias(examples, wanted, given),
        chance=float(np.mean([1 / max(1, count_choices(row)) for row in asked])),
        commonest=commonest,
    )


def compared_letters(a: LetterBias, b: LetterBias, names: tuple[str, str]) -> list[list[str]]:
    """The rows of a table: how often each letter is right, and given by each of two runs."""
    rows = [["letter", "right", *names]]
    rows += [[f"  {name}", str(a.right[name]), str(a.given[name]), str(b.given[name])] for name in a.right]
    return [*rows, ["letter bias", "", f"{a.value:.4f}", f"{b.value:.4f}"]]


def _letter_of(row: Example, answer: str) -> str:
    index = right_index(row, answer) if row.choices else None
    return "open" if not row.choices else "none" if index is None else letter(index)


def references_as_asked(examples: Iterable[Example], references: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The references of each question, in the form that it asks for."""
    return [[as_asked(row, answer) for answer in references[row.question_id]] for row in examples]
