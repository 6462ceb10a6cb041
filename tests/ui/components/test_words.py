"""The page's words: both languages have all of them, the code asks for no others, and none is idle."""

import ast
import json
import re

import pytest

from ui.components.words import FOLDER, LANGUAGES, Words, catalogue
from ui.server.page import KEYS, TABS

UI = FOLDER.parents[1]
HANGUL = re.compile("[가-힣]")
NAMES = {"VQA", "JSON", "CSV", "GPU", "CPU", "URL", "McNemar", "LoRA", "LLaVA", "SHA", "ID", "n", "p", "px", "MB", "GB"}
"""What is written alike in both languages."""

ALIKE = {"common.this_language", "explore.path_hint"}
"""Texts that are no words of either: a language's own name, an example of a path."""

PLAIN = {"shown", "found", "total", "page", "pages", "images", "questions", "count", "n", "seconds", "minutes", "steps",
         "value", "low", "high", "done", "rate", "eta", "size", "limit", "most"}  # fmt: skip
"""Values that are numbers."""

TEXTS = sorted(catalogue())


def holes(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)(?:![rs])?(?::[^{}]*)?\}", text))


def wanted() -> tuple[dict[str, str], dict[str, str], set[str]]:
    """Keys that the code asks for, the beginnings of those it puts together, each with its place, and all its texts."""
    keys, prefixes, literals = {}, {}, set()
    for path in sorted(UI.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                literals.add(node.value)
            if not isinstance(node, ast.Call) or not node.args or not _is_words(node.func):
                continue
            for key in _branches(node.args[0]):
                place = f"{path.name}:{node.lineno}"
                if isinstance(key, ast.Constant):
                    keys[str(key.value)] = place
                elif isinstance(key, ast.JoinedStr):
                    pattern = "".join(
                        re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in key.values
                    )
                    prefixes[pattern] = place
    return keys, prefixes, literals


def _is_words(function: ast.expr) -> bool:
    """`t(...)`, `page.t(...)`, `Words(language)(...)`, `t.has(...)`."""
    if isinstance(function, ast.Call):
        return getattr(function.func, "id", "") == "Words"
    name = function.value if isinstance(function, ast.Attribute) and function.attr == "has" else function
    return getattr(name, "id", getattr(name, "attr", "")) == "t"


def _branches(key: ast.expr) -> list[ast.expr]:
    return [*_branches(key.body), *_branches(key.orelse)] if isinstance(key, ast.IfExp) else [key]


ASKED, PUT_TOGETHER, LITERALS = wanted()


def test_the_source_is_read() -> None:
    assert len(ASKED) > 20
    assert "common.title" in ASKED
    assert ".+\\.tab" in PUT_TOGETHER


def test_no_key_stands_twice_in_a_file() -> None:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(pairs)) == len(pairs), [key for key, _ in pairs]
        return dict(pairs)

    for path in FOLDER.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)


def test_every_language_has_every_text_with_the_same_values() -> None:
    for key, texts in catalogue().items():
        assert set(texts) == set(LANGUAGES), key
        assert all(text.strip() for text in texts.values()), key
        assert len({frozenset(holes(text)) for text in texts.values()}) == 1, key


def test_a_korean_text_is_korean_and_an_english_one_is_not() -> None:
    """But for names, numbers and values."""
    latin = {
        key: re.findall(r"[A-Za-z]+", re.sub(r"`[^`]*`|\{[^{}]*\}", "", texts["ko"]))
        for key, texts in catalogue().items()
    }
    texts = {key: texts for key, texts in catalogue().items() if key not in ALIKE}
    assert not [key for key in texts if not HANGUL.search(texts[key]["ko"]) and not set(latin[key]) <= NAMES]
    assert not [key for key in texts if HANGUL.search(texts[key]["en"])]


def test_a_text_can_be_filled() -> None:
    """A brace that is no value would be an error where the text is shown."""
    for key, texts in catalogue().items():
        for language, text in texts.items():
            filled = Words(language)(key, **dict.fromkeys(holes(text), 0))
            assert not re.search(r"[{}]", filled), key


def test_every_text_that_the_code_asks_for_is_there() -> None:
    missing = {key: place for key, place in ASKED.items() if key not in catalogue()}
    missing |= {
        key: place for key, place in PUT_TOGETHER.items() if not any(re.fullmatch(key, known) for known in TEXTS)
    }
    assert not missing


def test_no_text_is_idle() -> None:
    """A key is asked for by name, put together in an f-string, handed on as a literal, or one of a file used whole."""
    whole = tuple(f"{path.stem}." for path in FOLDER.glob("*.json") if f"{path.stem}." in LITERALS)
    shown = ASKED.keys() | LITERALS | {f"keys.{key}" for key in KEYS} | {f"{tab}.tab" for tab in TABS}
    narrow = [re.compile(pattern) for pattern in PUT_TOGETHER if not pattern.startswith(".+")]
    idle = [key for key in TEXTS if key not in shown and not key.startswith(whole)]
    assert not [key for key in idle if not any(pattern.fullmatch(key) for pattern in narrow)]


def markdown_keys() -> set[str]:
    """Keys of texts that stand in a `gr.Markdown(...)`."""
    found = set()
    for path in sorted(UI.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "Markdown":
                found |= {
                    str(inner.args[0].value)
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Call) and _is_words(inner.func) and isinstance(inner.args[0], ast.Constant)
                }
    return found


def test_a_value_in_markdown_is_a_number_or_the_codes_own() -> None:
    """Markdown would read a run's name or an answer; texts shown as Markdown take values of these names only."""
    unknown = {key: holes(catalogue()[key]["en"]) - PLAIN for key in markdown_keys() & set(TEXTS)}
    assert not {key: names for key, names in unknown.items() if names}


def test_no_visible_text_is_written_in_the_code() -> None:
    """Labels, placeholders and buttons take theirs from the catalogue."""
    found = []
    for path in sorted(UI.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(getattr(node.func, "value", None), "id", "") != "gr":
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            texts = [given.get(name) for name in ("label", "placeholder", "info", "title")]
            if getattr(node.func, "attr", "") in ("Button", "Markdown", "Tab", "Accordion", "DownloadButton"):
                texts += node.args[:1]
            found += [
                f"{path.name}:{node.lineno} {text.value!r}"
                for text in texts
                if isinstance(text, ast.Constant)
                and isinstance(text.value, str)
                and re.search("[A-Za-z가-힣]", text.value)
            ]
    assert not found


def test_a_key_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        Words("ko")("common.no_such_key")
    assert not Words("ko").has("common.no_such_key")
    assert FOLDER.is_dir()
