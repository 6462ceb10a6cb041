"""Where the parts of the Ask tab stand."""

import gradio as gr

from ui.ask.examples import list_examples
from ui.ask.picture_input import PictureInput
from ui.components import widgets
from ui.components.parts import Parts
from ui.components.tab import Page, view_of
from ui.components.words import Words
from ui.train.quick_demo import quick_demo_button


def lay_out(page: Page, name: str) -> Parts:
    """Draw every part of the tab called `name`."""
    t, parts = page.t, Parts(view=view_of(name))
    parts.add("notices", widgets.progress("ask-notices", t("ask.notices")))
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            _lay_out_picture(t, parts)
        with gr.Column(min_width=320):
            _lay_out_question(page, parts)
            with parts.add("result", gr.Column(visible=False)):
                _lay_out_result(t, parts)
    parts.add("arrival", gr.JSON({}, visible="hidden", elem_id="ask-coming"))
    return parts


def _lay_out_picture(t: Words, parts: Parts) -> None:
    picture = PictureInput(
        label=t("ask.picture"), alt_text=t("ask.picture_alt"), placeholder=t("ask.placeholder"), type="filepath",
        image_mode=None, sources=["upload", "clipboard", "webcam"], height=340, buttons=["fullscreen"],
        elem_id="ask-picture",
    )  # fmt: skip
    parts.add("picture", picture)
    gr.Markdown(f"### {t('ask.examples')}", visible=bool(list_examples()))
    parts.add("examples", widgets.gallery("ask-examples", t("ask.examples")))
    to_explore = {"text": t("ask.to_explore"), "view": {"tab": "explore"}}
    widgets.links("ask-to-explore", t("ask.to_explore"), to=[to_explore])


def _lay_out_question(page: Page, parts: Parts) -> None:
    t = page.t
    parts.add("run", gr.Dropdown(label=t("ask.model"), choices=[], allow_custom_value=True, elem_id="ask-run"))
    parts.add("about", widgets.facts("ask-about", t("ask.model")))  # no Markdown, as it may hold a run's texts
    parts.add("demo", quick_demo_button(page, "ask-start", visible=False))
    question = gr.Textbox(
        label=t("ask.question"), info=t("ask.question_info"), placeholder=t("ask.question_placeholder"), lines=1,
        max_lines=8, elem_id="ask-question", elem_classes=["key-search"],
    )  # fmt: skip
    parts.add("question", question)
    options = gr.Textbox(
        label=t("ask.options"), info=t("ask.options_info"), lines=1, max_lines=8, elem_id="ask-options",
    )  # fmt: skip
    parts.add("options", options)
    parts.add("submit", gr.Button(t("ask.ask"), variant="primary", elem_id="ask-submit"))
    parts.add("status", gr.Markdown(elem_id="ask-status"))
    parts.add("answers", widgets.facts("ask-answers", t("ask.answers")))


def _lay_out_result(t: Words, parts: Parts) -> None:
    parts.add("likeliest", widgets.bars("ask-likeliest", t("ask.likeliest_label")))
    gr.Markdown(t("ask.probability_note"), elem_classes=["wb-small"])
    with gr.Accordion(t("ask.gets"), open=False, elem_id="ask-gets"):
        with gr.Row():
            parts.add("whole", widgets.picture("ask-whole", t("ask.whole")))
            parts.add("seen", widgets.picture("ask-seen", t("ask.seen_label")))
        prompt = gr.Textbox(
            label=t("ask.prompt"), interactive=False, buttons=["copy"], lines=3, max_lines=12, elem_id="ask-prompt",
            elem_classes=["wb-mono"],
        )  # fmt: skip
        parts.add("prompt", prompt)
    with gr.Accordion(t("ask.json"), open=False, elem_id="ask-json-box"):
        code = gr.Code(language="json", interactive=False, show_label=False, max_lines=24, elem_id="ask-json")
        parts.add("json", code)
    parts.add("forget", gr.Button(t("ask.forget"), size="sm", elem_id="ask-forget"))
