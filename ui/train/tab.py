"""Train: a form drawn from the settings, what it will take, the exact command; then the curves of a run."""

import time
from functools import partial

import gradio as gr

from ui.components.parts import Drawn
from ui.components.tab import Page, Tab, View, change_view
from ui.components.words import Words
from ui.train.choices import list_data, list_runs_to_show
from ui.train.layout import NAME, lay_out
from ui.train.plan import find_free_name, list_sources, start_quick_demo
from ui.train.view import draw_form_of_view, keep_form, keep_name, read_wish
from ui.train.watch import find_watched, resume
from ui.train.wish import (
    DEFAULTS,
    PLAN,
    Values,
    about_preset,
    draw_plan,
    load_config,
    name_of,
    save_config,
    show_preset,
    start_wish,
    with_columns,
)
from ui.workspace.workspace import Workspace
from vqa_core.runs.run_dir import list_runs

HEAD = ("run", "lost", "new", "empty", "data", "preset", "name", "opened")
CLICK = "() => { document.querySelector('#train-config-file').click(); }"


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace, wire = page.t, page.workspace, page.wire
    parts, form, watch = lay_out(page)

    def show(view: View) -> Drawn:
        return draw_head(workspace, t, view) | watch.draw(view)

    def go_to(view: View) -> Drawn:
        return {"view": view} | show(view)

    def consider(values: Values) -> Drawn:
        return draw_plan(workspace, t, form, values)

    def edit(values: Values) -> Drawn:
        return {"view": keep_form(workspace, form, values)} | consider(values)

    def rename(values: Values) -> Drawn:
        """Keep only the name of the form: the page may have filled it in before it fills in the rest."""
        return {"view": keep_name(workspace, values["view"], values["name"])} | consider(values)

    def open_form(values: Values) -> Drawn:
        drawn = draw_form_of_view(workspace, t, form, values)
        if drawn is None:
            return form.parts.unchanged() | {"about": gr.skip()} | consider(values)
        return drawn | {"about": about_preset(t, values["preset"])} | consider({**values, **drawn})

    def choose_preset(values: Values) -> Drawn:
        drawn = show_preset(workspace, form, values)
        return drawn | {"about": about_preset(t, values["preset"])} | edit({**values, **drawn})

    def choose_data(values: Values) -> Drawn:
        source, drawn = list_sources(workspace).get(values["data"]), {name: values[name] for name in form.parts}
        if source and source.columns:
            drawn = form.show(with_columns(form.read(values), source))
        return drawn | edit({**values, **drawn})

    def take_free_name(values: Values) -> Drawn:  # filling it in causes the same event as typing it
        return {"name": find_free_name(workspace, name_of(workspace, t, values))}

    def start(values: Values) -> Drawn:
        return go_to(change_view(values["view"], run=start_wish(workspace, t, form, values)))

    def load(values: Values) -> Drawn:
        drawn = load_config(t, form, values["config"]) | {"preset": DEFAULTS}
        return drawn | {"about": t("train.about_file")} | edit({**values, **drawn})

    def save(values: Values) -> Drawn:
        return {"file": save_config(form, name_of(workspace, t, values), values)}

    view, run = parts["view"], parts["run"]
    shown, plan = parts.only(*HEAD) | watch.parts, parts.only(*PLAN)
    everything, edited = parts.only("view") | shown, parts.only("view") | plan
    filled = parts.only("about") | form.parts | plan
    entered = parts.only("view", "data", "preset", "name", "way") | form.parts
    wire(run.input, lambda view, run: go_to(change_view(view, run=run, data="", name="")), [view, run], everything)
    wire(watch.another.click, lambda view: go_to(change_view(view, run="")), [view], everything)
    wire(watch.parts["resume"].click, lambda view: go_to(resume(workspace, t, view)), [view], everything)
    wire(
        parts["demo"].click,
        lambda view: go_to(change_view(view, run=start_quick_demo(workspace, t))),
        [view],
        everything,
    )
    wire(parts["start"].click, start, entered, everything)
    wire(partial(gr.on, form.edits), edit, entered, edited, trigger_mode="always_last")
    wire(parts["name"].change, rename, entered, edited, trigger_mode="always_last")
    wire(parts["way"].input, consider, entered, plan)
    wire(parts["opened"].change, open_form, entered, filled)
    wire(parts["preset"].input, choose_preset, entered, parts.only("view") | filled)
    wire(parts["data"].input, choose_data, entered, edited | form.parts)
    wire(parts["other_name"].click, take_free_name, entered, parts.only("name"))
    wire(parts["config"].upload, load, entered | parts.only("config"), parts.only("view", "preset") | filled)
    saved = wire(parts["save"].click, save, entered, parts.only("file"))
    wire(saved.success, None, None, None, js=CLICK)
    return Tab(NAME, view, shown, show)


def draw_head(workspace: Workspace, t: Words, view: View) -> Drawn:
    """The run that is shown, or a new one, and the head of the form as the address has it."""
    name, choices = view.get("run", ""), list_runs_to_show(workspace, t, view)
    known = name in {value for _, value in choices}
    watching = bool(find_watched(workspace, view))
    wish = read_wish(workspace, t, view)
    wrong = [t("train.no_such_run", run=name[:80])] * (not known) + [*wish.wrong]
    return {
        "run": gr.Dropdown(choices, value=name if known else ""),
        "lost": {"title": wrong[0], "text": " ".join(wrong[1:]), "mark": "wrong"} if wrong else {},
        "new": gr.Column(visible=not watching),
        "empty": gr.Column(visible=not any(run.has_model for run in list_runs(workspace.runs))),
        "data": gr.update(choices=list_data(workspace), value=wish.data),
        "preset": wish.preset,
        "name": wish.name,
        "opened": str(time.time_ns()),
    }
