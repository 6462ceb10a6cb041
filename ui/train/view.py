"""The form of Train in the address: data, preset, name, and the settings that differ from the preset's; and back."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ui.components.form import BY_HAND, Form, Sections, read_section
from ui.components.parts import Drawn
from ui.components.sentences import translate
from ui.components.tab import View, change_view
from ui.components.words import Words
from ui.train.plan import KINDS, list_presets, list_sources, preset_sections
from ui.train.watch import find_watched, source_of_run
from ui.train.wish import DEFAULTS, with_columns
from ui.workspace.workspace import Workspace
from vqa_core.data.sources import EASY_VQA
from vqa_core.files import InputError
from vqa_core.settings import Settings, base_type

FIRST_PRESET = "demo-quick"
HEAD = ("run", "data", "preset", "name")
SECTION_OF = {
    item.name: section for section, kind in KINDS.items() for item in fields(kind) if item.name not in BY_HAND
}
NOTHING = '""'  # stands for an empty value, as an address leaves empty ones out


@dataclass(frozen=True, slots=True)
class Wish:
    """What the form shows for an address; `wrong` has a sentence for each entry of it that is not valid."""

    data: str
    preset: str
    name: str
    chosen: Sections
    wrong: tuple[str, ...]


def read_wish(workspace: Workspace, t: Words, view: View) -> Wish:
    """What the address says; where it says nothing, the form is as nobody has touched it."""
    known, wrong = list_sources(workspace), []
    data, name = _implied(workspace, view)
    if (named := view.get("data", data)) in known:
        data = named
    else:
        wrong.append(t("train.no_source", data=named[:80]))
    preset = view.get("preset", FIRST_PRESET)
    if preset not in list_presets() and preset != DEFAULTS:
        wrong.append(t("train.no_preset", preset=preset[:80]))
        preset = FIRST_PRESET
    name = view.get("name", name)
    values = {section: part.to_dict() for section, part in with_columns(preset_sections(preset), known[data]).items()}
    for key, text in view.items():
        if key in HEAD:
            continue
        if key not in SECTION_OF:
            wrong.append(t("train.no_setting", name=key[:80]))
            continue
        try:
            values[SECTION_OF[key]][key] = _value(t, key, text)
        except InputError as error:
            wrong.append(translate(str(error), t))
    chosen: Sections = {section: KINDS[section](**values[section]) for section in KINDS}
    return Wish(data, preset, "" if name == NOTHING else name, chosen, tuple(wrong))


def keep_form(workspace: Workspace, form: Form, values: Mapping[str, Any]) -> View:
    """The view with what the form's values say; while one of them is not valid, the settings stay as they were."""
    view: View = values["view"]
    data, preset, name = (values[part] or "" for part in ("data", "preset", "name"))
    with contextlib.suppress(InputError):
        chosen = form.read(values)
        base = with_columns(preset_sections(preset), list_sources(workspace).get(data))
        changed = {
            name: _text(getattr(chosen[section], name))
            for name, section in SECTION_OF.items()
            if getattr(chosen[section], name) != getattr(base[section], name)
        }
        view = {part: text for part, text in view.items() if part in HEAD} | changed
    usual, _ = _implied(workspace, view)
    view = change_view(view, data="" if data == usual else data, preset="" if preset == FIRST_PRESET else preset)
    return keep_name(workspace, view, name)


def keep_name(workspace: Workspace, view: View, name: str | None) -> View:
    """The view with the name of the run as it is typed."""
    _, usual = _implied(workspace, view)
    return change_view(view, name="" if (name or "") == usual else name or NOTHING)


def draw_form_of_view(workspace: Workspace, t: Words, form: Form, values: Mapping[str, Any]) -> Drawn | None:
    """A value for each part of the form, as the address has them; None where the form stays as it is.

    It stays where it agrees with the address, and where it holds a value that is not valid: no address has such a
    value, so the reader has typed it.
    """
    chosen = read_wish(workspace, t, values["view"]).chosen
    try:
        return None if form.read(values) == chosen else form.show(chosen)
    except InputError:
        return None


def _implied(workspace: Workspace, view: View) -> tuple[str, str]:
    """Data and name of a form whose address names none: those of a run that is prepared and not trained yet."""
    name = view.get("run", "")
    if name not in workspace.run_names() or find_watched(workspace, view):
        return EASY_VQA, ""
    return source_of_run(workspace, name) or EASY_VQA, name


def _text(value: Any) -> str:
    """A setting as the address has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else str(value)
    return (" ".join(value) if isinstance(value, tuple) else str(value)) or NOTHING


def _value(t: Words, name: str, text: str) -> Any:
    """The setting that the text of an address means; an InputError where it means none."""
    section = SECTION_OF[name]
    item = next(item for item in fields(KINDS[section]) if item.name == name)
    kind, _ = base_type(item)
    value: Any = "" if text == NOTHING else text
    if kind is bool:
        value = {"true": True, "false": False}.get(text, text[:80])
    elif kind in (int, float):
        with contextlib.suppress(ValueError):
            value = int(text) if kind is int else float(text)
    read: Settings = read_section(t, section, KINDS[section], {name: value})
    return getattr(read, name)
