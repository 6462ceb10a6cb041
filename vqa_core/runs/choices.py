"""Choices of a multiple-choice question: which of them a text names, and how an answer names one.

A form is how a source's answers name the first choice: `A`, `a`, `1`, `0`, or `text` for the choice's own text.
"""

from collections.abc import Sequence

TEXT = "text"
FORMS = ("A", "a", "1", "0", TEXT)
MOST = 26
"""As many choices as there are letters."""


def letter(index: int) -> str:
    """The letter of a choice in a prompt, `A` for index 0."""
    return chr(ord("A") + index)


def list_choices(choices: Sequence[str]) -> list[str]:
    """`["A. red", "B. blue"]`; a blank choice is left out, and the others keep their letters."""
    return [f"{letter(index)}. {choice}" for index, choice in enumerate(choices) if choice]


def write_choice(index: int, choices: Sequence[str], form: str) -> str:
    """The answer that names `choices[index]` in a form."""
    return choices[index] if form == TEXT else chr(ord(form) + index) if form.isalpha() else str(int(form) + index)


def find_choice(answer: str | None, choices: Sequence[str], form: str) -> int | None:
    """The index of the choice that an answer names in a form; None if it names none, or two with the same text.

    Blanks around an answer do not count, nor does the case of a letter.
    """
    text = (answer or "").strip()
    if form.isalpha() and form != TEXT:
        text = text.upper() if form.isupper() else text.lower()
    named = [index for index, choice in enumerate(choices) if write_choice(index, choices, form).strip() == text]
    return named[0] if len(named) == 1 else None
