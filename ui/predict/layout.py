"""Where the parts of the upper half of the Predict tab stand: the run, its settings, the answers as they come."""

import gradio as gr

from ui.components.job_panel import JobPanel, job_panel
from ui.components.parts import Parts
from ui.components.tab import Page, view_of
from ui.components.widgets import bars, gallery, links, picture
from ui.components.words import Words
from ui.predict.commands import SPLITS
from vqa_core.config import PredictSettings


def lay_out(page: Page, name: str) -> tuple[Parts, JobPanel]:
    """Draw every part of the tab called `name`, but for the submission's."""
    t, parts = page.t, Parts(view=view_of(name))
    with gr.Row():
        run = gr.Dropdown(
            page.workspace.run_names(), value=None, label=t("predict.run"), min_width=220, scale=2,
            elem_id="predict-run",
        )  # fmt: skip
        split = gr.Radio(
            [(t(f"predict.split_{each}"), each) for each in SPLITS], label=t("predict.split"), min_width=220, scale=3,
            elem_id="predict-split",
        )  # fmt: skip
    parts.add("run", run)
    parts.add("split", split)
    with parts.add("empty", gr.Column(visible=False, elem_id="predict-empty")):
        parts.add("reason", gr.Markdown())
        parts.add("demo", gr.Button(t("predict.demo"), variant="primary", elem_id="predict-demo"))
        parts.add("train", links("predict-train", t("predict.to_train")))
    with parts.add("work", gr.Column(visible=False, elem_id="predict-work")):
        _lay_out_settings(t, parts)
        command = gr.Textbox(
            label=t("predict.command"), buttons=["copy"], lines=1, max_lines=4, elem_id="predict-command",
            elem_classes=["wb-mono"],
        )  # fmt: skip
        parts.add("command", command)
        with gr.Row(equal_height=True):
            parts.add("answered", gr.Markdown(elem_id="predict-answered"))
            parts.add("start", gr.Button(t("predict.start"), min_width=220, elem_id="predict-start"))
    panel = job_panel(page, name)
    parts.add("score", bars("predict-score", t("predict.accuracy")))
    parts.add("errors", links("predict-errors", t("predict.to_errors")))
    parts.add("newest_title", gr.Markdown())
    parts.add("newest", gallery("predict-newest", t("predict.newest")))
    parts.add("picture", picture("predict-picture", t("predict.picture")))
    return parts, panel


def _lay_out_settings(t: Words, parts: Parts) -> None:
    """The settings that a person changes between two predictions: batch, allowed answers, whether to start over."""
    limits = PredictSettings.__dataclass_fields__["batch_questions"].metadata
    choices = PredictSettings.__dataclass_fields__["answers"].metadata["choices"]
    with gr.Row():
        batch = gr.Number(
            label=t("predict.batch_questions"), info=t("predict.batch_questions_help"), precision=0,
            minimum=limits["minimum"], min_width=160, elem_id="predict-batch-questions",
        )  # fmt: skip
        answers = gr.Dropdown(
            [(t(f"predict.answers_{name}"), name) for name in choices], label=t("predict.answers"),
            info=t("predict.answers_help"), min_width=220, elem_id="predict-answers",
        )  # fmt: skip
        restart = gr.Checkbox(
            label=t("predict.restart"), info=t("predict.restart_help"), min_width=220, elem_id="predict-restart"
        )
    for key, part in (("batch", batch), ("answers", answers), ("restart", restart)):
        parts.add(key, part)
