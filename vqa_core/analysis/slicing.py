"""Slicing: divide the questions of a split by question, by right answer, or by the model's confidence."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vqa_core.answers import answer_type, question_length, question_type
from vqa_core.data.choices.facts import count_choices
from vqa_core.runs.choices import find_choice, letter
from vqa_core.runs.examples import Example

OTHER = "*"  # all answers without a row of their own in a confusion matrix
UNKNOWN = "unknown"
OPEN = "open"  # a question without choices, among others with some
OF_CHOICES = ("choices", "letter")
"""The ways that are for questions with choices: by their number, and by the letter of the right one."""
CONFIDENCE_EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
QUESTIONS_PER_IMAGE = {1: "1", 2: "2", 4: "3-4", 9: "5-9", 14: "10-14"}  # up to so many: the part's name

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slicing:
    """The part of each question, `keys[codes[i]]`; `ordered` if the keys have an order of their own."""

    keys: list[str]
    codes: Ints
    ordered: bool = False

    def where(self, key: str) -> Bools:
        """Mask of the questions in that part; all false if there is no such part."""
        at = self.keys.index(key) if key in self.keys else -1
        return np.asarray(self.codes == at, dtype=np.bool_)


def slicing_of(labels: Iterable[str], order: Sequence[str] | None = None) -> Slicing:
    """One part per label, in `order` if given, else in order of first appearance."""
    labels = list(labels)
    keys = list(dict.fromkeys(labels))
    if order is not None:
        keys.sort(key=order.index)
    number = {key: i for i, key in enumerate(keys)}
    return Slicing(keys, np.array([number[label] for label in labels], dtype=np.int64), order is not None)


def key_of(answer: str) -> str:
    """An answer as a key that is neither empty nor OTHER: `red` -> `red`, "" -> `\\`, `*` -> `\\*`."""
    return "\\" + answer if answer in ("", OTHER) or answer.startswith("\\") else answer


def answer_of(key: str) -> str:
    """The answer of a key; the inverse of `key_of`."""
    return key.removeprefix("\\")


def _by_question_type(examples: Sequence[Example], _answers: Sequence[str], _confidence: Floats) -> Slicing:
    kinds = {question: question_type(question) for question in {example.question for example in examples}}
    return slicing_of(kinds[example.question] for example in examples)


def _by_answer_type(_examples: Sequence[Example], answers: Sequence[str], _confidence: Floats) -> Slicing:
    kinds = {answer: answer_type(answer) for answer in set(answers)}
    return slicing_of(kinds[answer] for answer in answers)


def _by_answer(_examples: Sequence[Example], answers: Sequence[str], _confidence: Floats) -> Slicing:
    return slicing_of(map(key_of, answers))


def _by_question_length(examples: Sequence[Example], _answers: Sequence[str], _confidence: Floats) -> Slicing:
    return slicing_of((question_length(example.question) for example in examples), ["1-4", "5-6", "7-8", "9-12", "13+"])


def _by_questions_per_image(examples: Sequence[Example], _answers: Sequence[str], _confidence: Floats) -> Slicing:
    images = [example.image or example.image_id for example in examples]
    counts = Counter(images)
    names = {
        count: next((name for most, name in QUESTIONS_PER_IMAGE.items() if count <= most), "15+")
        for count in set(counts.values())
    }
    return slicing_of((names[counts[image]] for image in images), [*QUESTIONS_PER_IMAGE.values(), "15+"])


def _by_confidence(_examples: Sequence[Example], _answers: Sequence[str], confidence: Floats) -> Slicing:
    names = [f"{low:g}-{high:g}" for low, high in pairwise(CONFIDENCE_EDGES)]
    bins = np.digitize(confidence, CONFIDENCE_EDGES[1:-1])
    labels = (UNKNOWN if np.isnan(value) else names[bin_] for value, bin_ in zip(confidence, bins))
    return slicing_of(labels, [*names, UNKNOWN])


def _by_choices(examples: Sequence[Example], _answers: Sequence[str], _confidence: Floats) -> Slicing:
    names = [str(count_choices(row)) if row.choices else OPEN for row in examples]
    return slicing_of(names, sorted(set(names), key=lambda name: (len(name), name)))


def _by_letter(examples: Sequence[Example], answers: Sequence[str], _confidence: Floats) -> Slicing:
    names = [OPEN if not row.choices else _letter_of(row, answer) for row, answer in zip(examples, answers)]
    return slicing_of(names, sorted(set(names), key=lambda name: (len(name), name)))


def _letter_of(row: Example, answer: str) -> str:
    index = find_choice(answer, row.choices, row.answer_form)
    return UNKNOWN if index is None else letter(index)


BY: dict[str, Callable[[Sequence[Example], Sequence[str], Floats], Slicing]] = {
    "question_type": _by_question_type,
    "answer_type": _by_answer_type,
    "answer": _by_answer,
    "question_length": _by_question_length,
    "questions_an_image": _by_questions_per_image,
    "confidence": _by_confidence,
    "choices": _by_choices,
    "letter": _by_letter,
}
"""Ways to slice, by name: from examples, their right answers (or, if unknown, the given ones) and the probability of
each answer (NaN for none) to a Slicing. `key_of` makes the keys of `answer`."""
