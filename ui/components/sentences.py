"""The core's sentences in the reader's language.

The core speaks English, in f-strings: fixed words round values that are the reader's own. `sentences.<language>.json`
has the translation of each by module, its values numbered in order:

    "{0} has {1} column{s|}; keep one.{2}": "{0}에 열이 {1#}개 있습니다. 하나만 남기십시오.{2*}"

`{s|}` is one of two English endings. In a translation `{1#}` is a value that is a number, and `{2*}` one that the core
may have said itself, so it is translated too. All other values, an answer or a file's name, stay as they are.
tests/support/said.py reads from the source what there is to translate.
"""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from ui.components.words import Words

FOLDER = Path(__file__).parent
LONGEST = 20_000  # characters; a longer text stays as it is
_HOLE = re.compile(r"\{(\d+)([#*]?)\}")
_ENDING = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")
_NUMBER = re.compile(r"[0-9][0-9.,]*")


@dataclass(frozen=True, slots=True)
class Template:
    """`fixed` are the words round the values, one more than there are values; `kinds` has "", "#" or "*" for each."""

    fixed: tuple[str, ...]
    kinds: tuple[str, ...]
    translation: str

    def values(self, text: str, *, whole: bool = True) -> tuple[list[str], int] | None:
        """The values that make `text` of this template, and where it ends; with `whole`, it must end with the text.

        The fixed words are searched once, from left to right, so no text can make this slow.
        """
        if not text.startswith(self.fixed[0]):
            return None
        at, found = len(self.fixed[0]), []
        for number, words in enumerate(self.fixed[1:], start=1):
            last = number == len(self.fixed) - 1
            start = len(text) - len(words) if last and (whole or not words) else text.find(words, at)
            if start < at or not text.startswith(words, start):
                return None
            found.append(text[at:start])
            at = start + len(words)
        fits = all(kind != "#" or _NUMBER.fullmatch(value) for kind, value in zip(self.kinds, found))
        return (found, at) if fits and (at == len(text) or not whole) else None


def translate(text: str, t: Words) -> str:
    """`text`, a sentence of vqa_core (an InputError, a finding), in the language of `t`; English where not known.

    Several sentences may stand in lines of their own. `error: ` before one, as commands print it, is left out, and a
    finding's cases in brackets at its end stay.
    """
    templates = _read_templates(t.language)
    if not templates or len(text) > LONGEST:
        return text
    text = text.removeprefix("error: ")
    cases = re.fullmatch(r"([^\n]*?)( \([^\n]*\))(\.?)", text)
    inner = _translate_whole(cases[1], templates) if cases else None
    if cases and inner is not None:
        return f"{inner}{cases[2]}{cases[3]}"
    known = _translate_sentence(text, templates)
    if known is None and "\n" in text:
        return "\n".join(translate(line, t) for line in text.split("\n"))
    return text if known is None else known


def _translate_sentence(text: str, templates: Sequence[Template]) -> str | None:
    """The translation of a text; a last full stop may be missing, or one too many."""
    found = _translate_whole(text, templates)
    if found is None and text.endswith("."):
        found = _translate_whole(text[:-1], templates)
        return None if found is None else f"{found}."
    if found is None:
        found = _translate_whole(f"{text}.", templates)
        return None if found is None else found.removesuffix(".")
    return found


def _translate_whole(text: str, templates: Sequence[Template]) -> str | None:
    """The translation of the first template that fits all of the text."""
    for template in templates:
        match = template.values(text)
        if match:
            return _fill(template, match[0], templates)
    return None


def _fill(template: Template, values: Sequence[str], templates: Sequence[Template]) -> str:
    texts = [
        _translate_value(value, templates) if kind == "*" else value for kind, value in zip(template.kinds, values)
    ]
    return _HOLE.sub(lambda hole: texts[int(hole[1])], template.translation)


def _translate_value(text: str, templates: Sequence[Template]) -> str:
    """A value, translated where it is known as a whole, as several parts in a row, or as a list with counts."""
    whole = _translate_whole(text, templates) if text else ""
    if whole is not None:
        return whole
    for template in templates:
        match = template.values(text, whole=False) if template.fixed[0].startswith(" ") else None
        if match and match[1] < len(text):
            return _fill(template, match[0], templates) + _translate_value(text[match[1] :], templates)
    return _translate_counts(text, templates)


def _translate_counts(text: str, templates: Sequence[Template]) -> str:
    """`'no' (3 times), 'yes' and 2 more`: parts of numbers only are known right after a closing quote."""
    for template in templates:
        if template.fixed[0].startswith((" and ", "; and ", " (")) and set(template.kinds) == {"#"}:
            words = [re.escape(part) for part in template.fixed]
            pattern = r"(?<=['\"])" + f"({_NUMBER.pattern})".join(words) + r"(?=,|;| and |$)"
            text = re.sub(pattern, partial(_fill_number, template), text)
    return text


def _fill_number(template: Template, found: re.Match[str]) -> str:
    return _fill(template, found.groups(), ())


@cache
def _read_templates(language: str) -> tuple[Template, ...]:
    """The templates of a language, those with the longest fixed words first: they fit the fewest texts."""
    path = FOLDER / f"sentences.{language}.json"
    if not path.is_file():
        return ()
    modules = json.loads(path.read_text(encoding="utf-8"))
    known = {english: said for sentences in modules.values() for english, said in sentences.items()}
    found = [template for english, said in known.items() for template in _read(english, said)]
    return tuple(sorted(found, key=lambda template: -len("".join(template.fixed))))


def _read(english: str, said: str) -> list[Template]:
    kinds = {int(hole[1]): hole[2] for hole in _HOLE.finditer(said)}
    texts = _ENDING.split(english)  # text, ending, other ending, text, ...
    choices = [[text] for text in texts]
    choices = [choices[i] if i % 3 == 0 else [texts[i], texts[i + 1]] for i in range(len(texts)) if i % 3 < 2]
    found = []
    for chosen in itertools.product(*choices):
        fixed = tuple(part.replace("{{", "{").replace("}}", "}") for part in re.split(r"\{\d+\}", "".join(chosen)))
        found.append(Template(fixed, tuple(kinds.get(i, "") for i in range(len(fixed) - 1)), said))
    return found
