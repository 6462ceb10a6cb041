"""What the source says to a reader: every sentence of an InputError and of a finding, as a template, by its module.

A template is the text with its values numbered in order: `{0} has no column {1}; it has {2}.{3}`. Values that follow
each other without anything between them are one. A choice of two short endings is written out: `{s|}`.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vqa_core import ROOT

LIMIT = 3  # characters of an ending: longer alternatives are parts with a translation of their own
ERRORS = {"InputError": 0, "ImageError": 1, "Bomb": 0}  # the argument that holds the sentence
CLAUSES = {"ImageError", "Bomb"}  # or a clause behind the name of a picture
FINDINGS = {"Finding": 2}
ADVICE = {"vqa_core.submission.submission": {"diagnose", "explain_statuses", "_read_with_pandas", "_find"}}
"""Functions that gather sentences in a list, by module."""

NOTES = {
    "vqa_core.analysis.run_table": {"_read_object", "_read_scores", "_read_step_seconds"},
    "vqa_core.inference.fitting": {"_refuse", "describe_cut"},
    "vqa_core.data.choices.forms": {"_decide", "_find_form", "_also", "form_of_sample", "_read_questions"},
}
"""Functions whose f-strings are all sentences."""

COUNTS = {"named": {" and {0} more"}, "_list_answers": {" and {0} more", " ({0} times)"}}
"""What stands between and behind the ids or answers that a function lists."""

UNSEEN = ("vqa_core.benchmarks", "app")
"""What a person reads in a terminal only."""


@dataclass(slots=True)
class Template:
    """`text`, and the texts that its values may be, by number: each again a template."""

    text: str
    parts: dict[int, set[str]] = field(default_factory=dict)


class Module:
    """One source file."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        return {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)}

    @cached_property
    def owner(self) -> dict[int, ast.AST]:
        """The function that a node lies in, the innermost; the module for the rest."""
        found: dict[int, ast.AST] = {}
        for outer in ast.walk(self.tree):  # outer ones come first
            if isinstance(outer, ast.FunctionDef | ast.Module):
                found.update((id(node), outer) for node in ast.walk(outer) if node is not outer)
        return found

    def templates(self) -> Iterator[Template]:
        """What this module says."""
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if getattr(self.owner.get(id(node)), "name", "") == "_make_finding":
                continue  # made of what its callers give
            if name in ERRORS | FINDINGS and node.args:  # a finding read from a file has none
                yield from self.whole(node.args[(ERRORS | FINDINGS)[name]], clause=name in CLAUSES)
            elif name == "_make_finding":
                noun, rest = node.args[3:5]
                yield self.template(
                    ast.JoinedStr(
                        [_value(), ast.Constant(" "), *_inside(noun), _plural(), ast.Constant(" "), *_inside(rest)]
                    ),
                    node,
                )
        for function in ADVICE.get(self.name, ()):
            for node in ast.walk(self.functions[function]):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "append":
                    yield from self.whole(node.args[0])
                elif isinstance(node, ast.Return) and isinstance(node.value, ast.List):
                    for item in node.value.elts:
                        yield from self.whole(item)
        for function in NOTES.get(self.name, ()):
            for node in ast.walk(self.functions[function]):
                if isinstance(node, ast.JoinedStr):
                    yield from self.whole(node)

    def whole(self, argument: ast.expr, *, clause: bool = False) -> Iterator[Template]:
        """The sentences that an argument may be."""
        for text in self.texts(argument, argument, set()):
            if clause:
                text = ast.JoinedStr([_value(), ast.Constant(" "), *_inside(text), ast.Constant(".")])
            template = self.template(text, argument)
            if template.parts or any(letter.isalpha() for letter in _fixed(template.text)):
                yield from self.distinguish(template)

    def template(self, text: ast.expr, place: ast.expr, depth: int = 0) -> Template:
        template, number, last = Template(""), -1, False
        for piece in self.pieces(text, place):
            if isinstance(piece, ast.Constant):
                template.text, last = template.text + str(piece.value).replace("{", "{{").replace("}", "}}"), False
                continue
            value = piece.value if isinstance(piece, ast.FormattedValue) else piece
            ending = _ending(value)
            if ending:
                template.text, last = template.text + ending, False
                continue
            if not last:
                number, last = number + 1, True
                template.text += f"{{{number}}}"
            counts = COUNTS.get(getattr(getattr(value, "func", None), "id", ""))
            if counts:
                template.parts.setdefault(number, set()).update(counts)
            elif depth < 3 and (not isinstance(piece, ast.FormattedValue) or piece.conversion == -1):
                place = place if id(value) not in self.owner else value
                for part in self.texts(value, place, set()):
                    inner = self.template(part, place, depth + 1)
                    if any(letter.isalpha() for letter in _fixed(inner.text)):
                        template.parts.setdefault(number, set()).add(inner.text)
                        self.more.update({inner.text: inner})
        return template

    def distinguish(self, template: Template) -> Iterator[Template]:
        """The template, or one for each text of a value that could not be distinguished from the value after it."""
        bare = not any(letter.isalpha() for letter in _fixed(template.text))
        unclear = [number for number in template.parts if f"{{{number}}} {{" in template.text]
        if not bare and not unclear:
            yield template
            return
        number = max(template.parts, key=lambda n: len(template.parts[n])) if bare else unclear[0]
        before, after = template.text.split(f"{{{number}}}")
        for text in sorted(template.parts[number]):
            inner = self.more.get(text, Template(text))
            changed = Template("")
            for part, parts in ((before, template.parts), (inner.text, inner.parts), (after, template.parts)):
                for piece in re.split(r"(\{\d+\})", part):
                    if re.fullmatch(r"\{\d+\}", piece):
                        count = len(re.findall(r"\{\d+\}", changed.text))
                        known = parts.get(int(piece[1:-1]))
                        changed.parts |= {count: known} if known else {}
                        piece = f"{{{count}}}"
                    changed.text += piece
            yield from self.distinguish(changed)

    def pieces(self, text: ast.expr, place: ast.expr) -> Iterator[ast.expr]:
        """The constants and values of a text, names that stand for one text replaced by it."""
        for piece in _inside(text):
            value = piece.value if isinstance(piece, ast.FormattedValue) else piece
            function = self.owner.get(id(value)) or self.owner.get(id(place))
            only = list(self.assigned(value.id, function)) if isinstance(value, ast.Name) and function else []
            if len(only) == 1 and _is_text(only[0]):
                yield from self.pieces(only[0], only[0])
            else:
                yield piece

    @cached_property
    def more(self) -> dict[str, Template]:
        """The parts of what was said so far."""
        return {}

    def texts(self, value: ast.expr, place: ast.AST, seen: set[int]) -> Iterator[ast.expr]:
        """The literal texts that a value may be, as far as this module shows."""
        if id(value) in seen:
            return
        seen.add(id(value))
        function = self.owner.get(id(value)) or self.owner.get(id(place))
        if any(map(_is_text, _inside(value))):
            yield value
        elif isinstance(value, ast.IfExp):
            for branch in (value.body, value.orelse):
                yield from self.texts(branch, value, seen)
        elif isinstance(value, ast.BoolOp):
            for branch in value.values:
                yield from self.texts(branch, value, seen)
        elif isinstance(value, ast.Name) and function is not None:
            for node in self.assigned(value.id, function):
                yield from self.texts(node, node, seen)
        elif isinstance(value, ast.Call):
            called = self.functions.get(getattr(value.func, "id", getattr(value.func, "attr", "")))
            for node in ast.walk(called) if called else ():
                if isinstance(node, ast.Return) and node.value is not None:
                    yield from self.texts(node.value, node.value, seen)

    def assigned(self, name: str, function: ast.AST) -> Iterator[ast.expr]:
        """What a name is set to in a function: by assignment, by a loop over a literal, by the function's callers."""
        for node in ast.walk(function):
            if isinstance(node, ast.Assign):
                targets, values = node.targets[0], node.value
                if isinstance(targets, ast.Name) and targets.id == name:
                    yield values
                elif isinstance(targets, ast.Tuple) and isinstance(values, ast.Tuple):
                    yield from (v for t, v in zip(targets.elts, values.elts) if getattr(t, "id", "") == name)
            elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Tuple):
                for item in node.iter.elts:
                    if isinstance(node.target, ast.Name) and node.target.id == name:
                        yield item
                    elif isinstance(node.target, ast.Tuple) and isinstance(item, ast.Tuple):
                        yield from (v for t, v in zip(node.target.elts, item.elts) if getattr(t, "id", "") == name)
        if not isinstance(function, ast.FunctionDef):
            return
        names = [argument.arg for argument in function.args.args]
        if name in names:
            for node in ast.walk(self.tree):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function.name:
                    at = names.index(name)
                    yield from node.args[at : at + 1]
                    yield from (given.value for given in node.keywords if given.arg == name)


def _inside(text: ast.expr) -> list[ast.expr]:
    """The pieces of a text."""
    if isinstance(text, ast.JoinedStr):
        return text.values
    if isinstance(text, ast.BinOp) and isinstance(text.op, ast.Add):
        return [*_inside(text.left), *_inside(text.right)]
    return [text]


def _value() -> ast.FormattedValue:
    return ast.FormattedValue(ast.Constant(0), 115)


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str))


def _plural() -> ast.FormattedValue:
    return ast.FormattedValue(ast.IfExp(ast.Constant(True), ast.Constant("s"), ast.Constant("")), -1)


def _ending(value: ast.expr) -> str:
    """`{s|}` for `"s" if ... else ""`."""
    if isinstance(value, ast.IfExp):
        words = [getattr(branch, "value", None) for branch in (value.body, value.orelse)]
        if all(isinstance(word, str) and len(word) <= LIMIT for word in words):
            return "{" + "|".join(map(str, words)) + "}"
    return ""


def _fixed(text: str) -> str:
    return re.sub(r"\{[^{}]*\}", "", text)


def said() -> dict[str, dict[str, Template]]:
    """By module, every sentence and part of one, by its text."""
    found: dict[str, dict[str, Template]] = {}
    for module in modules():
        whole = {template.text: template for template in module.templates()}
        texts = {part for template in whole.values() for parts in template.parts.values() for part in parts}
        if whole:
            found[module.name] = whole | {text: module.more.get(text, Template(text)) for text in texts}
    return found


def modules() -> list[Module]:
    folders = ("vqa_core", "train", "eval", "ui")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [Module(path) for path in [*paths, ROOT / "app.py"] if path.is_file()]
    return [module for module in found if not module.name.startswith(UNSEEN)]
