"""How answers name a choice (letter, number or text), found over a whole data set; examples get choices and form.

The training answers decide, since one row says little: with four numbers as choices, `3` may be the third of them, the
fourth, or the number itself. What fits nothing, or two readings, is told, with the setting that decides it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vqa_core.data.choices.reading import is_instructed, split_question, strip_labels
from vqa_core.files import InputError
from vqa_core.runs.choices import FORMS, TEXT, find_choice, letter
from vqa_core.runs.examples import Example

AUTO, OPEN = "auto", "open"
FLAG = "--answer-form"
_NAMES = {
    "A": "letters",
    "a": "small letters",
    "1": "numbers from 1",
    "0": "numbers from 0",
    TEXT: "the texts of choices",
}

Pair = tuple[str, tuple[str, ...]]
"""An answer and the choices that it names one of."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What a source says of its answers besides the answers themselves.

    `first` is how its columns call the first choice, a form or "". `indexed` says that its answers are indices, by the
    name of their column. `sample` has the answers in the sample submission, by question id, blank ones left out.
    """

    first: str = ""
    indexed: bool = False
    sample: Mapping[str, str] = field(default_factory=dict)


def settle_choices(
    splits: Mapping[str, Sequence[Example]], *, form: str = AUTO, hints: Hints | None = None
) -> tuple[dict[str, list[Example]], list[dict[str, Any]]]:
    """Give the examples of a data set the form of their answers; read choices out of questions that contain them.

    Returns the splits, and findings as fields of a Finding. `form` is AUTO, OPEN (there are no choices) or one of
    FORMS. A form other than TEXT that a reader has set already stays.
    The answers of `train` decide, else those of another split, else the sample submission. If the answers are no names
    of choices, the examples stay open questions, and a finding says so. Test questions get the form of the sample
    submission where that clearly has another one. Raises InputError if answers may count from 0 or from 1.
    """
    found = {split: list(examples) for split, examples in splits.items()}
    if form == OPEN:
        return _open(found), []
    found, first, notes = _read_questions(found)
    hints = hints or Hints()
    hints = replace(hints, first=first) if first else hints
    found = _without_labels(found)
    unsettled = {split: [row for row in rows if row.answer_form == TEXT] for split, rows in found.items()}
    if not _asks(unsettled):
        return found, notes
    answered = next((pairs for split in _by_rank(found) if (pairs := _pairs(unsettled[split]))), [])
    decided, asked, told = _decide(answered, unsettled.get("test", ()), hints) if form == AUTO else (form, form, [])
    if answered and not decided:
        return _open(found), told
    return {
        split: [_formed(row, asked if split == "test" else decided or asked) for row in rows]
        for split, rows in found.items()
    }, notes + told


def names_no_choice(example: Example) -> bool:
    """Whether an example has choices, and an answer that names none of them."""
    return bool(example.choices) and bool((example.answer or "").strip()) and right_choice(example) is None


def right_choice(example: Example) -> int | None:
    """The index of the right choice; None without choices or an answer, or if the answer names none."""
    index = find_choice(example.answer, example.choices, example.answer_form) if example.choices else None
    return index if index is not None and example.choices[index] else None


def form_of_sample(asked: Sequence[Pair], known: str, first: str = "A") -> tuple[str, str]:
    """(form, what to tell about it) of the answers to submit, by the answers in the sample submission.

    `known` is the form of the training answers, "" if there are none; `first` is taken where nothing else is known.
    """
    known_or_first = known or first or letter(0)
    if not asked or (known and all(find_choice(answer, choices, known) is not None for answer, choices in asked)):
        return known_or_first, ""
    counts = _count_named(asked)
    fitting = [form for form in ("A", "a", TEXT, "0", "1") if counts[form] == len(asked)]
    if not fitting:
        return known_or_first, ""
    constant = len({answer for answer, _ in asked}) == 1
    if known and constant and fitting[0] in ("0", "1"):
        return known, f"all answers of the sample submission are {asked[0][0]!r}, which is taken for a placeholder"
    form = "1" if fitting == ["0", "1"] else fitting[0]  # no answer is 0
    if not known:
        return form, f"no training answer shows the form of answers; the sample submission has {_NAMES[form]}"
    return form, f"answers are submitted as {_NAMES[form]}, as in the sample; in training they are {_NAMES[known]}"


def sample_pairs(examples: Iterable[Example], sample: Mapping[str, str]) -> list[Pair]:
    """The answers of a sample submission to questions with choices, without blank ones."""
    return [
        (sample[row.question_id], row.choices)
        for row in examples
        if row.choices and sample.get(row.question_id, "").strip()
    ]


def _decide(answered: Sequence[Pair], test: Sequence[Example], hints: Hints) -> tuple[str, str, list[dict[str, Any]]]:
    """(form of training answers, form of test answers, findings); the first is "" without any, or if none fits."""
    decided, why = _find_form(answered, hints) if answered else ("", "")
    if answered and not decided:
        return (
            "",
            "",
            [
                _warn(
                    f"{why}; write the answers so, or say with {FLAG} how they do",
                    len(answered),
                    [answer for answer, _ in answered],
                )
            ],
        )
    asked, also = form_of_sample(sample_pairs(test, hints.sample), decided, hints.first)
    return decided, asked, [_tell(f"{sentence}; {FLAG} changes it") for sentence in (why, also) if sentence]


def _find_form(pairs: Sequence[Pair], hints: Hints) -> tuple[str, str]:
    """(form, what to tell about it) of the answers; ("", why) if they name no choices."""
    counts = _count_named(pairs)
    most = max(counts.values())
    if 2 * most <= len(pairs):
        return "", (
            f"the choices are not used: {most:,} of {len(pairs):,} answers name one of them by letter (`A`), number "
            "(`1`) or text"
        )
    best = [form for form, count in counts.items() if count == most]
    if len(best) == 1:
        return best[0], ""
    letter = next((form for form in best if form in "Aa"), "")
    if letter and hints.first in ("A", "a", ""):
        return letter, _also(letter, best, pairs) if TEXT in best else ""
    if TEXT in best:
        return TEXT, _also(TEXT, best, pairs)
    if {"0", "1"} <= set(best):
        if hints.first in ("0", "1"):
            return hints.first, ""
        if hints.indexed:
            return "0", "the answers are read as numbers from 0, by the name of their column"
        shown = ", ".join(sorted({answer.strip() for answer, _ in pairs})[:5])
        raise InputError(
            f"The answers {shown} may count the choices from 0 or from 1: neither 0 nor the number of the last choice "
            f"occurs. Say which with {FLAG} 0 or {FLAG} 1."
        )
    return best[0], ""


def _also(form: str, best: Collection[str], pairs: Sequence[Pair]) -> str:
    """What to tell where a second form fits as well, and names other choices."""
    for other in best:
        if other != form and any(find_choice(a, c, other) != find_choice(a, c, form) for a, c in pairs):
            return f"the answers are read as {_NAMES[form]}; they could also be {_NAMES[other]}"
    return ""


def _count_named(pairs: Sequence[Pair]) -> dict[str, int]:
    """How many of the answers name a choice in each form that they could have."""
    counts = dict.fromkeys(FORMS, 0)
    upper = 0
    for answer, choices in pairs:
        text = answer.strip()
        place = ord(text.upper()) - ord("A") if len(text) == 1 and text.isascii() and text.isalpha() else -1
        counts["A"] += _holds(choices, place)
        upper += text.isupper()
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 and text == str(int(text)) else -1
        counts["1"] += _holds(choices, number - 1)
        counts["0"] += _holds(choices, number)
        counts[TEXT] += bool(text) and [choice.strip() for choice in choices].count(text) == 1
    if 2 * upper < len(pairs):
        counts["A"], counts["a"] = 0, counts["A"]
    return counts


def _holds(choices: Sequence[str], place: int) -> bool:
    return 0 <= place < len(choices) and bool(choices[place])


def _pairs(examples: Iterable[Example]) -> list[Pair]:
    return [(row.answer, row.choices) for row in examples if row.choices and row.answer and row.answer.strip()]


def _by_rank(splits: Iterable[str]) -> list[str]:
    return sorted(splits, key=lambda split: split != "train")


def _read_questions(
    splits: dict[str, list[Example]],
) -> tuple[dict[str, list[Example]], str, list[dict[str, Any]]]:
    """Read choices out of the texts of questions, if all of them have some and the answers are their labels.

    A question with LLaVA-1.5's instruction for choices is read by itself: its conversations mix both kinds.
    """
    rank = _by_rank(splits)
    rows = [row for split in rank for row in splits[split] if not row.choices]
    if not rows:
        return splits, "", []
    first = None if _asks(splits) else split_question(rows[0].question)
    every = first is not None and all(_labelled(row, first[2]) for row in rows)
    if not every and not any(is_instructed(row.question) for row in rows):
        return splits, "", []
    found = {
        split: [_with_choices(row) if every or is_instructed(row.question) else row for row in examples]
        for split, examples in splits.items()
    }
    count = len(rows) - sum(not row.choices for examples in found.values() for row in examples)
    if not count:
        return splits, "", []
    return (
        found,
        first[2] if first else "",
        [_tell(f"{count:,} questions contain their choices, which were read from them")],
    )


def _labelled(row: Example, form: str) -> bool:
    """Whether a question contains choices, labelled in a form, and its answer, if there is one, names one of them."""
    found = split_question(row.question)
    if not found or found[2] != form:
        return False
    return not (row.answer or "").strip() or find_choice(row.answer, found[1], form) is not None


def _with_choices(row: Example) -> Example:
    found = None if row.choices else split_question(row.question)
    if not found or (row.answer and find_choice(row.answer, found[1], found[2]) is None):
        return row
    return replace(row, question=found[0], choices=found[1])


def _without_labels(splits: dict[str, list[Example]]) -> dict[str, list[Example]]:
    """`A. red` becomes `red` if all choices have their letter in front, unless the answers have it, too."""
    rows = [row for examples in splits.values() for row in examples if row.choices]
    if any(strip_labels(row.choices) == row.choices for row in rows if len(row.choices) > 1):
        return splits
    if any(row.answer in row.choices for row in rows):
        return splits
    return {
        split: [replace(row, choices=strip_labels(row.choices)) if row.choices else row for row in examples]
        for split, examples in splits.items()
    }


def _asks(splits: Mapping[str, Sequence[Example]]) -> bool:
    """Whether any question has choices."""
    return any(row.choices for rows in splits.values() for row in rows)


def _open(splits: Mapping[str, Sequence[Example]]) -> dict[str, list[Example]]:
    return {
        split: [replace(row, choices=(), answer_form=TEXT) if row.choices else row for row in rows]
        for split, rows in splits.items()
    }


def _formed(row: Example, form: str) -> Example:
    return replace(row, answer_form=form) if row.choices and row.answer_form == TEXT else row


def _tell(message: str) -> dict[str, Any]:
    return {"severity": "note", "code": "choices", "message": message, "count": 1, "examples": []}


def _warn(message: str, count: int, cases: Sequence[str]) -> dict[str, Any]:
    shown = [repr(answer) for answer, _ in Counter(cases).most_common(3)]
    return {"severity": "warning", "code": "choices", "message": message, "count": count, "examples": shown}
