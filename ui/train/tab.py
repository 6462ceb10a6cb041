"""Train: a form drawn from the settings, what it will take, the exact command; then the curves of a run."""

import time
from functools import partial
from typing import Any

import gradio as gr

from ui.components.form import Form
from ui.components.parts import Page, Tab, View, moved, view_of
from ui.components.widgets import facts, progress
from ui.components.words import Words
from ui.train import watch as train_watch
from ui.train.plan import (
    KINDS,
    LONGEST_NAME,
    free_name,
    preset_sections,
    presets,
    sources,
    start_quick_demo,
)
from ui.train.view import FIRST_PRESET, kept, kept_name, redrawn, wish_of
from ui.train.wish import (
    DEFAULTS,
    FIELDS,
    PLAN,
    about_preset,
    draw_plan,
    fill,
    loaded,
    name_of,
    saved_config,
    start_wish,
    with_columns,
)
from ui.workspace.workspace import Workspace
from vqa_core.data.sources import EASY_VQA
from vqa_core.planning.part_sizes import PROJECTOR_KINDS
from vqa_core.prompts.styles import STYLE_NAMES
from vqa_core.runs.run_dir import list_runs

NAME = "train"
ORDINARY = (
    "stage", "epochs", "max_steps", "max_minutes", "batch_questions", "learning_rate", "lora_rank", "eval_every",
)  # fmt: skip
SUGGESTIONS = {
    "vision_tower": ("embedded", "openai/clip-vit-large-patch14"),
    "language_model": ("embedded", "lmsys/vicuna-7b-v1.3"),
    "projector": PROJECTOR_KINDS,
    "prompt_style": STYLE_NAMES,
}
CLICK = "() => { document.querySelector('#train-config-file').click(); }"


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace, wire = page.t, page.workspace, page.wire
    view = view_of(NAME)
    asked = gr.Textbox(visible="hidden", elem_id="train-asked")  # when the tab was opened
    file = gr.DownloadButton(visible="hidden", elem_id="train-config-file")
    run = gr.Dropdown(run_choices(workspace, t, {}), value="", label=t("train.run"), min_width=220, elem_id="train-run")
    lost = progress("train-lost", t("train.run"))
    watch = train_watch.watch_section(page, view)
    with gr.Column(elem_id="train-new") as new:
        with gr.Column(visible=False, elem_id="train-empty") as empty:
            gr.Markdown(t("train.no_run"))
            demo = gr.Button(t("train.quick_demo"), variant="primary", elem_id="train-quick-demo")
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                data, preset, name = _head_fields(workspace, t)
                about = gr.Markdown(about_preset(t, FIRST_PRESET), elem_id="train-about")
                form = _form(t)
                with gr.Row():
                    upload = gr.UploadButton(
                        t("train.load"), file_types=[".json"], size="sm", min_width=160, elem_id="train-load"
                    )
                    save = gr.Button(t("train.save"), size="sm", min_width=160, elem_id="train-save")
            with gr.Column(scale=2, min_width=320):
                figures = facts("train-estimates", t("train.estimates"))
                there = progress("train-there", t("train.there"))
                ways = gr.Radio([], label=t("train.ways"), visible=False, elem_id="train-ways")
                other = gr.Button(visible=False, size="sm", elem_id="train-other-name")
                command = gr.Textbox(
                    label=t("train.command"), buttons=["copy"], lines=3, max_lines=12,
                    elem_id="train-command", elem_classes=["wb-mono"],
                )  # fmt: skip
                go = gr.Button(t("train.start"), variant="primary", elem_id="train-start")

    chosen = [data, preset, name, ways, *form.components]
    plan = [figures, there, ways, other, command, go]
    head = [run, lost, new, empty, data, preset, name, asked]
    outputs = [*head, *watch.outputs]

    def show(view: View) -> list[Any]:
        return [*draw_head(workspace, t, view), *watch.draw(view)]

    def go_to(view: View) -> list[Any]:
        return [view, *show(view)]

    def consider(*values: Any) -> list[Any]:
        return draw_plan(workspace, t, form, values)

    def edited(view: View, *values: Any) -> list[Any]:
        return [kept(workspace, form, view, values), *consider(*values)]

    def named(view: View, *values: Any) -> list[Any]:
        """Of the form no more than the name, which the page itself may have filled in before it fills in the rest."""
        return [kept_name(workspace, view, values[2]), *consider(*values)]

    def opened(view: View, *values: Any) -> list[Any]:
        drawn = redrawn(workspace, t, form, view, values)
        if drawn is None:
            return [*[gr.skip()] * (1 + len(form.components)), *consider(*values)]
        return [about_preset(t, values[1]), *drawn, *consider(*values[:FIELDS], *drawn)]

    def choose_preset(view: View, *values: Any) -> list[Any]:
        about, *drawn = fill(workspace, t, form, values)
        chosen = [*values[:FIELDS], *drawn[: len(form.components)]]
        return [kept(workspace, form, view, chosen), about, *drawn]

    def choose_data(view: View, *values: Any) -> list[Any]:
        chosen = list(values)
        source = sources(workspace).get(values[0])
        if source and source.columns:
            chosen[FIELDS:] = form.shown(with_columns(form.read(values[FIELDS:]), source))
        return [kept(workspace, form, view, chosen), *chosen[FIELDS:], *consider(*chosen)]

    def take_free_name(*values: Any) -> list[Any]:
        return [free_name(workspace, name_of(workspace, t, values))]  # its change is told of as if it had been typed

    def start_clicked(view: View, *values: Any) -> list[Any]:
        return go_to(moved(view, run=start_wish(workspace, t, form, values)))

    def load(view: View, path: str, *values: Any) -> list[Any]:
        drawn = loaded(t, form, path)
        chosen = [values[0], DEFAULTS, *values[2:FIELDS], *drawn]
        return [kept(workspace, form, view, chosen), DEFAULTS, t("train.about_file"), *drawn, *consider(*chosen)]

    def save_clicked(*values: Any) -> list[Any]:
        return [saved_config(form, name_of(workspace, t, values), values[FIELDS:])]

    everything = [view, *outputs]
    wire(run.input, lambda view, run: go_to(moved(view, run=run, data="", name="")), [view, run], everything)
    wire(watch.again.click, lambda view: go_to(moved(view, run="")), [view], everything)
    wire(watch.resume.click, lambda view: go_to(train_watch.resume(workspace, t, view)), [view], everything)
    wire(demo.click, lambda view: go_to(moved(view, run=start_quick_demo(workspace, t))), [view], everything)
    wire(go.click, start_clicked, [view, *chosen], everything)
    wire(partial(gr.on, form.edits), edited, [view, *chosen], [view, *plan], trigger_mode="always_last")
    wire(name.change, named, [view, *chosen], [view, *plan], trigger_mode="always_last")
    wire(ways.input, consider, chosen, plan)
    wire(asked.change, opened, [view, *chosen], [about, *form.components, *plan])
    wire(preset.input, choose_preset, [view, *chosen], [view, about, *form.components, *plan])
    wire(data.input, choose_data, [view, *chosen], [view, *form.components, *plan])
    wire(other.click, take_free_name, chosen, [name])
    wire(upload.upload, load, [view, upload, *chosen], [view, preset, about, *form.components, *plan])
    saved = wire(save.click, save_clicked, chosen, [file])
    wire(saved.success, None, None, None, js=CLICK)
    assert len(plan) == PLAN
    return Tab(NAME, view, outputs, show)


def _head_fields(workspace: Workspace, t: Words) -> tuple[gr.Dropdown, gr.Dropdown, gr.Textbox]:
    with gr.Row():
        return (
            gr.Dropdown(
                data_choices(workspace), value=EASY_VQA, label=t("train.data"), min_width=200, elem_id="train-data"
            ),
            gr.Dropdown(
                [*presets(), (t("train.defaults"), DEFAULTS)], value=FIRST_PRESET, label=t("train.preset"),
                min_width=200, elem_id="train-preset",
            ),
            gr.Textbox(
                label=t("train.name"), placeholder=t("train.name_auto"), max_length=2 * LONGEST_NAME, min_width=200,
                elem_id="train-name",
            ),
        )  # fmt: skip


def _form(t: Words) -> Form:
    """The few settings that most people change, and all others folded; filled from the first preset."""
    form = Form(t, NAME, KINDS, SUGGESTIONS, start=preset_sections(FIRST_PRESET))
    with gr.Row():
        form.draw("train", *ORDINARY)
    for section in ("model", "train", "data"):
        with gr.Accordion(t(f"train.all_{section}"), open=False, elem_id=f"train-all-{section}"), gr.Row():
            form.draw(section)
    return form


def run_choices(workspace: Workspace, t: Words, view: View) -> list[tuple[str, str]]:
    """A new run, or one of those there are, or that a job is about to make, or failed to: of those the view's only."""
    made = [*(job.run for job in workspace.jobs.active(kind="train")), train_watch.watched(workspace, view)]
    names = filter(None, dict.fromkeys([*workspace.run_names(), *made]))
    return [(t("train.new"), ""), *((name, name) for name in names)]


def data_choices(workspace: Workspace) -> list[tuple[str, str]]:
    """The datasets by name; where two have the same, with their keys."""
    found = list(sources(workspace).values())
    names = [source.name for source in found]
    return [(each.name if names.count(each.name) == 1 else each.key, each.key) for each in found]


def draw_head(workspace: Workspace, t: Words, view: View) -> list[Any]:
    """Which run is looked at, or that a new one is made, and what of the form the address decides."""
    name, choices = view.get("run", ""), run_choices(workspace, t, view)
    known = name in {value for _, value in choices}
    watching = bool(train_watch.watched(workspace, view))
    wish = wish_of(workspace, t, view)
    wrong = [t("train.no_such_run", run=name[:80])] * (not known) + [*wish.wrong]
    return [
        gr.Dropdown(choices, value=name if known else ""),
        {"title": wrong[0], "text": " ".join(wrong[1:]), "mark": "wrong"} if wrong else {},
        gr.Column(visible=not watching),
        gr.Column(visible=not any(run.has_model for run in list_runs(workspace.runs))),
        gr.update(choices=data_choices(workspace), value=wish.data),
        wish.preset,
        wish.name,
        str(time.time_ns()),
    ]
