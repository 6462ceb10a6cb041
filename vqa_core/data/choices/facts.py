"""What the choices of a data set are like, and which questions have odd ones: for the report and its findings."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vqa_core.data.choices.forms import names_no_choice, right_choice
from vqa_core.runs.choices import letter
from vqa_core.runs.examples import Example


def count_choices(example: Example) -> int:
    """The number of choices to choose from: a blank one only keeps its letter."""
    return sum(map(bool, example.choices))


def is_fit(example: Example) -> bool:
    """Whether an example can be trained on as far as its choices go: none, or two and more that hold the answer."""
    return not example.choices or (count_choices(example) > 1 and not names_no_choice(example))


def choice_facts(examples: Sequence[Example]) -> dict[str, Any]:
    """`{"choices": {...}}` with counts by number of choices, form and right letter; empty for open questions only."""
    asked = [example for example in examples if example.choices]
    if not asked:
        return {}
    right = Counter(right_choice(example) for example in asked)
    return {
        "choices": {
            "questions": len(asked),
            "numbers": _sorted(Counter(map(count_choices, asked))),
            "forms": dict(Counter(example.answer_form for example in asked).most_common()),
            "right": {letter(at): right[at] for at in sorted(at for at in right if at is not None)},
        }
    }


def choice_lines(facts: Mapping[str, Any]) -> str:
    """`choice_facts` for a terminal."""
    numbers = ", ".join(f"{count:,} with {number}" for number, count in facts["numbers"].items())
    total = sum(facts["right"].values())
    shares = ", ".join(f"{name} {count / total:.1%}" for name, count in facts["right"].items())
    forms = {"A": "letter", "a": "small letter", "1": "number from 1", "0": "number from 0", "text": "text"}
    named = ", ".join(forms[form] for form in facts["forms"])
    return f"Questions with choices: {facts['questions']:,} ({numbers}). Answers are given by {named}." + (
        f"\nRight choices: {shares}." if total else ""
    )


@dataclass(frozen=True, slots=True)
class ChoiceCases:
    """Questions of a split with something wrong or odd about their choices, by id; empty if no question has choices.

    `few` have fewer than two, `none` an answer that names none of them, `twice` two that are the same, `blank` a blank
    one between others; `open` have no choices.
    """

    few: list[str] = field(default_factory=list)
    none: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


def choice_cases(examples: Sequence[Example]) -> ChoiceCases:
    """What is wrong with the choices of a split."""
    asked = [example for example in examples if example.choices]
    if not asked:
        return ChoiceCases()
    return ChoiceCases(
        few=[row.question_id for row in asked if count_choices(row) < 2],
        none=[f"{row.question_id}: {row.answer!r}" for row in asked if count_choices(row) > 1 and names_no_choice(row)],
        twice=[f"{row.question_id}: {same!r}" for row in asked if (same := _repeated(row.choices))],
        blank=[row.question_id for row in asked if not all(row.choices)],
        open=[row.question_id for row in examples if not row.choices],
    )


def _repeated(choices: Iterable[str]) -> str:
    return next((choice for choice, count in Counter(filter(None, choices)).items() if count > 1), "")


def _sorted(counts: Counter[int]) -> dict[str, int]:
    return {str(number): counts[number] for number in sorted(counts)}
