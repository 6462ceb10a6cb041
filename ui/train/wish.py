"""What a person wishes to train: the form's values as a plan to draw, to start, to load from a file and to save."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from ui.components.form import BY_HAND, Form, Sections
from ui.components.parts import Drawn
from ui.components.sentences import translate
from ui.components.words import Words
from ui.jobs.jobs import format_command
from ui.train.estimates import estimate_training, rows_of
from ui.train.plan import (
    CHOICE_NEEDED,
    Source,
    build_commands,
    check_name,
    find_free_name,
    inspect_folder,
    list_presets,
    list_sources,
    make_default_name,
    preset_sections,
    sections_of,
    start,
)
from ui.workspace.workspace import Workspace
from vqa_core.config import DataSettings, read_config
from vqa_core.data.prepare import column_settings
from vqa_core.files import InputError
from vqa_core.planning.run_state import RunState

DEFAULTS = "defaults"  # the entry in the list of presets that stands for no preset
PLAN = ("figures", "there", "way", "other_name", "command", "start")
Values = Mapping[str, Any]  # what the form holds by the name of each part: data, preset, name, way, and each setting


def source_of(workspace: Workspace, t: Words, key: str) -> Source:
    """The dataset chosen; an InputError if it is gone."""
    source = list_sources(workspace).get(key)
    if source is None:
        raise InputError(t("train.no_source", data=key))
    return source


def name_of(workspace: Workspace, t: Words, values: Values) -> str:
    """The name typed, or one that says what is trained on what."""
    name, preset = (values["name"] or "").strip(), values["preset"]
    if name:
        return check_name(t, name)
    data = source_of(workspace, t, values["data"]).name
    return make_default_name(workspace, data, "" if preset == DEFAULTS else preset)


def draw_plan(workspace: Workspace, t: Words, form: Form, values: Values) -> Drawn:
    """PLAN: estimates, what lies in the run's folder, what may be done then, a free name, the command, the button."""
    try:
        chosen = form.read(values)
        source, name = source_of(workspace, t, values["data"]), name_of(workspace, t, values)
        there = inspect_folder(workspace, name, source, _data(chosen))
        figures = estimate_training(workspace, t, name, source, there, chosen)
        way = values["way"] if values["way"] in there.ways else None
        clear = way or there.kind not in CHOICE_NEEDED
        todo = build_commands(workspace, name, source, values["preset"], chosen, there, way or "") if clear else ()
    except InputError as error:
        return {
            "figures": {"rows": []},
            "there": {"title": translate(str(error), t), "mark": "wrong"},
            "way": gr.Radio(visible=False),
            "other_name": gr.Button(visible=False),
            "command": "",
            "start": gr.Button(interactive=False),
        }
    ways = [(t(f"train.way_{each}"), each) for each in there.ways]
    free = there.kind in CHOICE_NEEDED
    other_name = t("train.other_name", name=find_free_name(workspace, name)) if free else ""
    return {
        "figures": figures,
        "there": _there(t, name, there),
        "way": gr.Radio(ways, value=way, visible=bool(ways)),
        "other_name": gr.Button(other_name, visible=free),
        "command": " && \\\n".join(map(format_command, todo)),
        "start": gr.Button(t("train.resume_plain" if way == "resume" else "train.start"), interactive=bool(todo)),
    }


def _there(t: Words, name: str, there: RunState) -> dict[str, Any]:
    """What the run's folder holds, in a sentence; nothing where it holds nothing."""
    if there.kind == "free":
        return {}
    kind = "model" if there.kind == "trained" and not there.step else there.kind
    title = t(
        f"train.there_{kind}",
        run=name, source=there.source or t("train.unknown"), step=f"{there.step:,}", questions=f"{there.questions:,}",
    )  # fmt: skip
    return {"title": title, "mark": "right" if there.kind == "prepared" else "wrong"}


def start_wish(workspace: Workspace, t: Words, form: Form, values: Values) -> str:
    """Start what the form says and return the run's name."""
    chosen, source = form.read(values), source_of(workspace, t, values["data"])
    name, data = name_of(workspace, t, values), _data(chosen)
    rows_of(
        workspace, name, source, inspect_folder(workspace, name, source, data), data
    )  # raises InputError where there are none
    return start(workspace, t, name, source, values["preset"], chosen, values["way"] or "")


def show_preset(workspace: Workspace, form: Form, values: Values) -> Drawn:
    """The chosen preset's value for each part of the form, with the columns of the chosen data."""
    source = list_sources(workspace).get(values["data"])
    return form.show(with_columns(preset_sections(values["preset"]), source))


def with_columns(chosen: Sections, source: Source | None) -> Sections:
    """The settings with the columns that the dataset is known to have."""
    if source is None or source.columns is None:
        return chosen
    named: dict[str, Any] = column_settings(source.columns)
    return chosen | {"data": replace(_data(chosen), **named)}


def about_preset(t: Words, name: str) -> str:
    """What a preset is for."""
    key = f"train.preset_{name.replace('-', '_')}"
    return t(key) if t.has(key) and (name in list_presets() or name == DEFAULTS) else ""


def load_config(t: Words, form: Form, path: str) -> Drawn:
    """A value for each part of the form, as a config file has them; an InputError names what in the file is wrong."""
    file = Path(path)
    try:
        sections = sections_of(read_config(file))
    except InputError as error:
        raise InputError(str(error).replace(str(file), file.name)) from None
    except RecursionError:
        raise InputError(t("train.too_deep", file=file.name)) from None
    for kind in sections.values():
        for name in BY_HAND & kind.to_dict().keys():
            if getattr(kind, name):
                raise InputError(t("train.by_hand", flag=f"--{name.replace('_', '-')}", file=file.name))
    values = form.show(sections)
    form.read(values)  # refuses NaN, which Python reads though JSON has no such number
    return values


def save_config(form: Form, name: str, values: Values) -> str:
    """The form's settings as a file in Gradio's own folder, which is the only one it serves files from."""
    config = {section: settings.to_dict() for section, settings in form.read(values).items()}
    file = Path(get_upload_folder()) / "configs" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return str(file)


def _data(chosen: Sections) -> DataSettings:
    data = chosen["data"]
    assert isinstance(data, DataSettings)
    return data
