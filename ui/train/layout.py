"""Where the parts of the Train tab stand: the choice of a run, the run that is watched, and the form of a new one."""

import gradio as gr

from ui.components.form import Form
from ui.components.parts import Parts
from ui.components.tab import Page, view_of
from ui.components.widgets import facts, progress
from ui.components.words import Words
from ui.train.choices import list_data, list_runs_to_show
from ui.train.plan import KINDS, LONGEST_NAME, list_presets, preset_sections
from ui.train.view import FIRST_PRESET
from ui.train.watch import Watch, watch_section
from ui.train.wish import DEFAULTS, about_preset
from ui.workspace.workspace import Workspace
from vqa_core.data.sources import EASY_VQA
from vqa_core.planning.part_sizes import PROJECTOR_KINDS
from vqa_core.prompts.styles import STYLE_NAMES

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


def lay_out(page: Page) -> tuple[Parts, Form, Watch]:
    """Draw every part of the tab."""
    t, workspace, parts = page.t, page.workspace, Parts(view=view_of(NAME))
    parts.add("opened", gr.Textbox(visible="hidden", elem_id="train-asked"))  # when the tab was opened
    parts.add("file", gr.DownloadButton(visible="hidden", elem_id="train-config-file"))
    runs = list_runs_to_show(workspace, t, {})
    parts.add("run", gr.Dropdown(runs, value="", label=t("train.run"), min_width=220, elem_id="train-run"))
    parts.add("lost", progress("train-lost", t("train.run")))
    watch = watch_section(page, parts["view"])
    with parts.add("new", gr.Column(elem_id="train-new")):
        with parts.add("empty", gr.Column(visible=False, elem_id="train-empty")):
            gr.Markdown(t("train.no_run"))
            parts.add("demo", gr.Button(t("train.quick_demo"), variant="primary", elem_id="train-quick-demo"))
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                _lay_out_head(workspace, t, parts)
                parts.add("about", gr.Markdown(about_preset(t, FIRST_PRESET), elem_id="train-about"))
                form = draw_form(t)
                _lay_out_config(t, parts)
            with gr.Column(scale=2, min_width=320):
                _lay_out_plan(t, parts)
    return parts, form, watch


def _lay_out_head(workspace: Workspace, t: Words, parts: Parts) -> None:
    with gr.Row():
        data = gr.Dropdown(
            list_data(workspace), value=EASY_VQA, label=t("train.data"), min_width=200, elem_id="train-data"
        )
        preset = gr.Dropdown(
            [*list_presets(), (t("train.defaults"), DEFAULTS)], value=FIRST_PRESET, label=t("train.preset"),
            min_width=200, elem_id="train-preset",
        )  # fmt: skip
        name = gr.Textbox(
            label=t("train.name"), placeholder=t("train.name_auto"), max_length=2 * LONGEST_NAME, min_width=200,
            elem_id="train-name",
        )  # fmt: skip
    for key, part in (("data", data), ("preset", preset), ("name", name)):
        parts.add(key, part)


def draw_form(t: Words) -> Form:
    """The few settings that most people change, and all others folded; filled from the first preset."""
    form = Form(t, NAME, KINDS, SUGGESTIONS, start=preset_sections(FIRST_PRESET))
    with gr.Row():
        form.draw("train", *ORDINARY)
    for section in ("model", "train", "data"):
        with gr.Accordion(t(f"train.all_{section}"), open=False, elem_id=f"train-all-{section}"), gr.Row():
            form.draw(section)
    return form


def _lay_out_config(t: Words, parts: Parts) -> None:
    with gr.Row():
        load = gr.UploadButton(t("train.load"), file_types=[".json"], size="sm", min_width=160, elem_id="train-load")
        parts.add("config", load)
        parts.add("save", gr.Button(t("train.save"), size="sm", min_width=160, elem_id="train-save"))


def _lay_out_plan(t: Words, parts: Parts) -> None:
    parts.add("figures", facts("train-estimates", t("train.estimates")))
    parts.add("there", progress("train-there", t("train.there")))
    parts.add("way", gr.Radio([], label=t("train.ways"), visible=False, elem_id="train-ways"))
    parts.add("other_name", gr.Button(visible=False, size="sm", elem_id="train-other-name"))
    command = gr.Textbox(
        label=t("train.command"), buttons=["copy"], lines=3, max_lines=12, elem_id="train-command",
        elem_classes=["wb-mono"],
    )  # fmt: skip
    parts.add("command", command)
    parts.add("start", gr.Button(t("train.start"), variant="primary", elem_id="train-start"))
