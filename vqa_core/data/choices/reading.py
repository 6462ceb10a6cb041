"""The choices of a multiple-choice question, from wherever a source keeps them.

Lettered or numbered columns (`A`, `option_b`, `choice1`, `선택지1`), a list in one column (`choices`, `options`), or
the text of the question itself (`... (A) red (B) blue`). `forms.py` then finds how answers name them.
"""

import ast
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from vqa_core.config import CHOICE_INSTRUCTION
from vqa_core.runs.choices import FORMS, MOST, TEXT

LISTS = ("choices", "options", "choice", "option", "choice_list", "answer_choices", "선택지", "보기", "선지")
"""Columns that hold all choices of a question, in any case."""
ANSWERS = (
    *("correct_choice_idx", "correct_choice", "correct_option", "correct_answer", "correct_idx", "answer_idx"),
    *("answer_index", "answer_label", "answer_key", "answerkey", "label", "gt", "정답"),
)
"""Columns that hold the answer where none is called `answer`, in any case, the likeliest first."""
HINT = "hint"
"""Column with a text to read before the question, as in MMBench and ScienceQA."""
FORM = "answer_form"
"""Column or key with the form of an answer, in what we write ourselves."""

_COLUMN = re.compile(
    r"(?P<word>option|opt|choice|선택지|보기|선지)?[\s_.\-]*\(?(?P<label>[a-z]|\d{1,2})[).:]?(?P<number>번)?",
    re.IGNORECASE,
)
_INDEX = re.compile(r"idx|index|label")
_QUOTED = re.compile(r"""[uU]?('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""", re.DOTALL)
_STYLES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"\((?P<label>[A-Za-z]|\d{1,2})\)\s*",  # (A) red (B) blue
        r"\[(?P<label>[A-Za-z])\]\s*",
        r"(?:(?<=\s)|^)(?P<label>[A-Za-z]|\d{1,2})\)\s*",  # A) red
        r"(?:(?<=\s)|^)(?P<label>[A-Za-z]|\d{1,2})\.(?!\d)\s*",  # A. red
        r"(?:(?<=[\s,;])|^)(?P<label>[A-Za-z]):\s*",  # A: red
        r"(?P<label>[①-⑳])\s*",
    )
)
_LABEL = re.compile(
    r"\s*(?:\(?(?P<a>[A-Za-z]|\d{1,2})\)\s*|(?P<b>[A-Za-z]):\s*|(?P<c>[A-Za-z]|\d{1,2})[.:]\s+)(?=\S)"
)  # not the `1.` of 1.5, not the `1:` of 1:30
_HEADING = re.compile(r"(?:^|\n|\s)\s*(?:options?|choices?|answer choices|선택지|보기)\s*:?\s*$", re.IGNORECASE)
_REQUEST = re.compile(r"answer|choose|select|pick|respond|option|letter|답|고르|고르시|선택", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OptionColumns:
    """The columns of a table or of records that hold choices: one choice each, or one column with a list.

    `first` is how the names of the columns call the first choice, a form or "".
    """

    columns: tuple[str, ...]
    first: str = ""

    def read(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        """The choices of a record."""
        return self.of_values([record.get(column) for column in self.columns])

    def of_values(self, values: Sequence[Any]) -> tuple[str, ...]:
        """The choices in the fields of `columns`. Blank ones at the end are none; one in the middle keeps its place."""
        if len(self.columns) == 1:
            return parse_choices(values[0])
        return _without_blank_end(map(_as_text, values))


def find_options(columns: Iterable[str], taken: Collection[str] = ()) -> OptionColumns | None:
    """The columns that hold choices, by their names; None if there are none. `taken` are columns of other fields.

    One column a choice, two or more in a row from the first on, or one column of LISTS.
    """
    return _find_options(tuple(columns), frozenset(taken))


def choices_of_record(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The choices of one record, of any source with names for its fields; empty for an open question."""
    found = find_options(record)
    return found.read(record) if found else ()


def form_of_record(record: Mapping[str, Any]) -> str:
    """The form that our own exports write beside choices; TEXT, which is found out, for records of others."""
    form = record.get(FORM)
    return form if form in FORMS else TEXT


def answer_key(columns: Iterable[str]) -> str:
    """The column of ANSWERS that holds the answer; "" if there is none."""
    names = {_fold(column): column for column in columns}
    return next((names[name] for name in ANSWERS if name in names), "")


def is_index(column: str) -> bool:
    """Whether the name of an answer column says that it counts choices, which one does from 0."""
    return _INDEX.search(_fold(column)) is not None


def with_hint(record: Mapping[str, Any], question: str) -> str:
    """The question behind its hint, as LLaVA asks MMBench's questions; alone if the record has none."""
    key = next((key for key in record if _fold(key) == HINT), "")
    hint = _as_text(record[key]) if key else ""
    return f"{hint}\n{question}" if hint and hint.lower() not in ("nan", "none") else question


def parse_choices(value: Any) -> tuple[str, ...]:
    """A list of choices: a list, or the text of one in JSON, Python or numpy, or separated by lines, `|` or `;`.

    A dictionary holds them by label (`{"A": "red", ...}`), or in a list under `text`.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        value = _parse_text(value)
    if isinstance(value, Mapping):
        listed = next((value[key] for key in ("text", "texts", "choices", "options") if key in value), None)
        value = listed if isinstance(listed, list | tuple) else list(value.values())
    if not isinstance(value, list | tuple):
        text = _as_text(value)
        return (text,) if text else ()
    return _without_blank_end(map(_text_of_item, value))


def split_question(text: str) -> tuple[str, tuple[str, ...], str] | None:
    """(question, choices, form) of a text that ends with its choices; None if it doesn't.

    The form is the label of the first: `A`, `a` or `1`. A line below the choices that asks for an answer is dropped.
    """
    found = _split_options(text)
    if not found or not found[0]:
        return None
    return found


def is_instructed(text: str) -> bool:
    """Whether a question asks for the letter of a choice in LLaVA-1.5's words."""
    return text.rstrip().endswith(CHOICE_INSTRUCTION)


def strip_labels(choices: Sequence[str]) -> tuple[str, ...]:
    """`("A. red", "B: blue")` -> `("red", "blue")`; unchanged unless every choice has its own letter or number."""
    found = [_LABEL.match(choice) for choice in choices]
    labels = [match[match.lastgroup or 0] if match else "" for match in found]
    if len(labels) < 2 or not _follow(labels):
        return tuple(choices)
    return tuple(choice[match.end() :].strip() for choice, match in zip(choices, found) if match)


@lru_cache(maxsize=256)
def _find_options(columns: tuple[str, ...], taken: frozenset[str]) -> OptionColumns | None:
    groups: dict[tuple[str, bool], dict[int, list[str]]] = {}
    for column in columns:
        match = _COLUMN.fullmatch(unicodedata.normalize("NFKC", column).strip())
        if not match or column in taken:
            continue
        word, label = (match["word"] or match["number"] or "").casefold(), match["label"]
        if label.isdecimal() and not word:
            continue  # a bare number is a position, as pandas names columns
        place = int(label) if label.isdecimal() else ord(label.casefold()) - ord("a")
        groups.setdefault((word, label.isdecimal()), {}).setdefault(place, []).append(column)
    for (_, numbered), places in sorted(groups.items(), key=lambda item: not item[0][0]):  # `option a` before `a`
        start = min(places)
        whole = sorted(places) == list(range(start, start + len(places))) and start <= numbered
        if whole and 2 <= len(places) <= MOST and all(len(names) == 1 for names in places.values()):
            names = [places[place][0] for place in sorted(places)]
            upper = _COLUMN.fullmatch(unicodedata.normalize("NFKC", names[0]).strip())
            letter = "A" if upper and upper["label"].isupper() else "a"
            return OptionColumns(tuple(names), str(start) if numbered else letter)
    listed = [column for column in columns if _fold(column) in LISTS and column not in taken]
    return OptionColumns((listed[0],)) if len(listed) == 1 else None


def _split_options(text: str) -> tuple[str, tuple[str, ...], str] | None:
    for style in _STYLES:
        marks = list(style.finditer(text))
        starts = [at for at, mark in enumerate(marks) if mark["label"] in ("A", "a", "1", "①")]
        if not starts:
            continue
        run = [marks[starts[-1]]]
        for mark in marks[starts[-1] + 1 :]:
            if _follow([run[-1]["label"], mark["label"]], any_start=True):
                run.append(mark)
        body, _, rest = text[run[-1].end() :].strip().partition("\n")
        if len(run) < 2 or (rest.strip() and not _REQUEST.search(rest)):
            continue
        between = [text[mark.end() : after.start()] for mark, after in pairwise(run)]
        choices = tuple(choice.strip().rstrip(",;").rstrip() for choice in (*between, body))
        if all(choices):
            stem = _HEADING.sub("", text[: run[0].start()].rstrip()).rstrip()
            first = run[0]["label"]
            return stem, choices, "1" if first == "①" else first
    return None


def _follow(labels: Sequence[str], *, any_start: bool = False) -> bool:
    """Whether labels follow each other: A B C, a b c, 1 2 3 or ① ② ③."""
    numbers = [int(label) if label.isdecimal() else ord(label) if len(label) == 1 else -1 for label in labels]
    return (any_start or labels[0] in ("A", "a", "1", "0")) and all(
        after == before + 1 for before, after in pairwise(numbers)
    )


def _parse_text(text: str) -> Any:
    text = re.sub(r"^(?:np\.)?array\((.*?)(?:,\s*dtype=\S+)?\)$", r"\1", text.strip(), flags=re.DOTALL)
    if text[:1] + text[-1:] in ("[]", "{}"):
        try:
            return json.loads(text, parse_float=str)
        except ValueError:
            return _parse_python(text)
    if text[:1] + text[-1:] == "()" and text[1:2] in "'\"":
        return _parse_python(text)
    labelled = _split_options(text)
    if labelled and not labelled[0]:
        return labelled[1]
    separator = next((mark for mark in ("\n", "|", ";") if mark in text), None)
    return [part.strip() for part in text.split(separator) if part.strip()] if separator else text


def _parse_python(text: str) -> Any:
    """A list or dictionary as Python or numpy prints it. numpy puts no comma between texts, which Python would join."""
    inner = text[1:-1].strip()
    if text[0] != "{":
        if inner[:1] in ("'", '"') and not _QUOTED.sub("", inner).replace(",", "").strip():
            return [ast.literal_eval(quoted[1]) for quoted in _QUOTED.finditer(inner)]
        if not _QUOTED.search(inner):
            return [part.strip() for part in (inner.split(",") if "," in inner else inner.split())]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _text_of_item(item: Any) -> str:
    if isinstance(item, Mapping):
        item = next((item[key] for key in ("text", "value", "choice", "option", "answer") if key in item), "")
    return _as_text(item)


def _as_text(value: Any) -> str:
    if value is None or value != value:  # None, or the NaN of an empty cell
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _without_blank_end(choices: Iterable[str]) -> tuple[str, ...]:
    kept = list(choices)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def _fold(column: str) -> str:
    return unicodedata.normalize("NFKC", column).strip().casefold().replace(" ", "_").replace("-", "_")
