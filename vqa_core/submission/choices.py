"""Multiple choice in a submission: every answer names a choice of its question, in the form that the sample has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from vqa_core.data.choices.forms import form_of_sample, sample_pairs
from vqa_core.files import InputError
from vqa_core.runs.choices import find_choice, write_choice
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction


def refuse_other_answers(examples: Iterable[Example], predictions: Mapping[str, Prediction]) -> None:
    """Raise InputError if an answer names none of the choices of its question; an empty one is no answer."""
    wrong = [
        f"{row.question_id!r}: {answer!r}"
        for row in examples
        if row.choices and (answer := _answer_to(row, predictions)) and not _names_choice(row, answer)
    ]
    if wrong:
        shown = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        raise InputError(
            f"{len(wrong)} answers are none of the choices of their questions: {shown}. Predict again with "
            "`python -m eval.predict --restart`, which chooses among those only."
        )


def in_form_of_sample(
    examples: Sequence[Example], predictions: Mapping[str, Prediction], sample: Mapping[str, str]
) -> tuple[dict[str, Prediction], list[str]]:
    """The predictions with their answers named as the sample submission names its answers, and what to tell about it.

    `sample` has the answers of the sample by question id. Without choices, or without filled answers, nothing changes.
    """
    asked = [row for row in examples if row.choices]
    known = asked[0].answer_form if asked else ""
    form, why = form_of_sample(sample_pairs(asked, sample), known, known)
    changed = dict(predictions)
    for row in asked if form != known else ():
        index = find_choice(_answer_to(row, predictions), row.choices, row.answer_form)
        if index is not None:
            item = predictions[row.question_id]
            changed[row.question_id] = replace(item, answer=write_choice(index, row.choices, form))
    return changed, [f"{why}."] if why else []


def _answer_to(row: Example, predictions: Mapping[str, Prediction]) -> str:
    item = predictions.get(row.question_id)
    return item.answer if item else ""


def _names_choice(row: Example, answer: str) -> bool:
    index = find_choice(answer, row.choices, row.answer_form)
    return index is not None and bool(row.choices[index])
