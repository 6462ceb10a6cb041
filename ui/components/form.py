"""A form drawn from settings dataclasses: each field becomes a component with the field's limits, unit and choices.

form = Form(t, "train", {"train": TrainSettings})
form.draw("train", "stage", "epochs")              # where it stands in the page: parts "train.stage", "train.epochs"
form.show({"train": TrainSettings(epochs=2)})      # a value for each of form.parts
form.read(values)["train"]                         # and back, from a value for each of form.parts
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import gradio as gr
from gradio.components import Component

from ui.components.parts import Drawn, Parts
from ui.components.words import Words
from vqa_core.files import InputError
from vqa_core.settings import Settings, base_type

BY_HAND = {"trust_remote_code"}
"""Settings that no form has: whoever may use the page may train, and still not have a stranger's code run."""

Field = dataclasses.Field[Any]
Sections = dict[str, Settings]


class Form:
    """The fields of some sections, drawn piece by piece.

    Args:
        prefix: elements are called `<prefix>-<field>`.
        kinds: the dataclass of each section.
        suggestions: values offered for text fields by name; others may still be typed.
        start: what the components show at first; the defaults where it is left out.
    """

    def __init__(
        self,
        t: Words,
        prefix: str,
        kinds: Mapping[str, type[Settings]],
        suggestions: Mapping[str, Sequence[str]] | None = None,
        start: Mapping[str, Settings] | None = None,
    ) -> None:
        self.t, self.prefix, self.kinds, self.suggestions = t, prefix, kinds, suggestions or {}
        self.start = start or {section: kind() for section, kind in kinds.items()}
        self.parts = Parts()  # by `<section>.<field>`

    def draw(self, section: str, *names: str) -> None:
        """Draw these fields of a section here; without names, all that are not drawn yet."""
        for item in fields(self.kinds[section]):
            wanted = item.name in names if names else item.name not in BY_HAND
            if wanted and f"{section}.{item.name}" not in self.parts:
                self.parts.add(f"{section}.{item.name}", self._component(section, item))

    @property
    def edits(self) -> list[Callable[..., Any]]:
        """The events that a person causes by changing a field; the page causes none by filling it in.

        Pasting with the mouse causes none until the reader leaves the box.
        """
        boxes = [component for component in self.parts.values() if isinstance(component, gr.Textbox)]
        return [*(component.input for component in self.parts.values()), *(box.blur for box in boxes)]

    def show(self, sections: Mapping[str, Settings]) -> Drawn:
        """A value for each part."""
        return {name: show_value(getattr(sections[section], field)) for name, section, field in self._named()}

    def read(self, values: Mapping[str, Any]) -> Sections:
        """The sections that the values of the parts make; an InputError names the field that is not right."""
        given: dict[str, dict[str, Any]] = {section: {} for section in self.kinds}
        for name, section, field in self._named():
            given[section][field] = values[name]
        return {section: read_section(self.t, section, kind, given[section]) for section, kind in self.kinds.items()}

    def _named(self) -> list[tuple[str, str, str]]:
        """Each part's name, section and field."""
        return [(name, *name.split(".")) for name in self.parts]  # type: ignore[misc]

    def _component(self, section: str, item: Field) -> Component:
        t, (kind, _) = self.t, base_type(item)
        about: dict[str, Any] = {
            "label": label_of(t, section, item),
            "info": info_of(t, section, item),
            "elem_id": f"{self.prefix}-{item.name.replace('_', '-')}",
            "interactive": True,
            "min_width": 200,
        }
        value = show_value(getattr(self.start[section], item.name))
        if kind is bool:
            return gr.Checkbox(value, elem_classes=["wb-check"], **about)  # Gradio does not use its min_width
        if kind in (int, float):
            step = 1 if kind is int else float(value or 1) / 10
            return gr.Number(value, step=step, **about)
        if item.metadata["choices"]:
            return gr.Dropdown(list(item.metadata["choices"]), value=value, filterable=False, **about)
        if item.name in self.suggestions:
            offered = list(self.suggestions[item.name])
            return gr.Dropdown(offered, value=value, allow_custom_value=True, **about)
        return gr.Textbox(value, **about)


def label_of(t: Words, section: str, item: Field) -> str:
    """`Batch size (questions)`."""
    unit = item.metadata["unit"]
    label = t(f"settings.{section}.{item.name}")
    unit = t(f"settings.unit.{unit}") if unit else ""
    return f"{label} ({unit})" if unit and unit.casefold() not in label.casefold() else label


def info_of(t: Words, section: str, item: Field) -> str:
    """What the field means, and its limits."""
    text = t(f"settings.{section}.{item.name}.help")
    low, high = item.metadata["minimum"], item.metadata["maximum"]
    key = "between" if None not in (low, high) else "at_least" if low is not None else "at_most"
    limits = t(f"settings.limits.{key}", low=low, high=high) if (low, high) != (None, None) else ""
    return f"{text[:1].upper()}{text[1:]} {limits}".strip()


def show_value(value: Any) -> Any:
    """A setting as its component shows it: names of a tuple on one line, None as nothing."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def read_section(t: Words, section: str, kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """The dataclass that the components' values make; fields that are not given keep their defaults."""
    items = {item.name: item for item in fields(kind)}
    return kind(**{name: _read(t, section, items[name], value) for name, value in values.items()})


def _read(t: Words, section: str, item: Field, value: Any) -> Any:
    kind, optional = base_type(item)
    empty = value is None or (value == "" and kind is not str)

    def wrong(key: str, **values: Any) -> InputError:
        return InputError(t(f"settings.wrong.{key}", label=label_of(t, section, item), value=value, **values))

    if kind is tuple:
        return tuple(str(value or "").replace(",", " ").split())
    if empty:
        if optional:
            return None
        raise wrong("empty")
    if kind in (int, float):
        number = _number(value)
        if number is None or (kind is int and not float(number).is_integer()):
            raise wrong("no_whole_number" if kind is int else "no_number")
        value = kind(number)
    low, high, choices = (item.metadata[name] for name in ("minimum", "maximum", "choices"))
    if choices and value not in choices:
        raise wrong("choice", choices=", ".join(choices))
    if low is not None and value < low:
        raise wrong("too_small", low=low)
    if high is not None and value > high:
        raise wrong("too_large", high=high)
    return value


def _number(value: Any) -> float | int | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
