"""Where the parts of the Errors tab stand."""

from typing import Any

import gradio as gr

from ui.components.parts import Parts
from ui.components.tab import Page
from ui.components.widgets import bars, facts, gallery, links, matrix, picture
from ui.components.words import Words
from ui.train.quick_demo import quick_demo_button
from vqa_core.analysis.errors import SORTS
from vqa_core.runs.tags import TAGS


def lay_out(page: Page) -> Parts:
    """Draw every part of the tab."""
    t, parts = page.t, Parts()
    put = parts.add

    def dropdown(name: str, choices: list[tuple[str, str]], **options: Any) -> None:
        label = t(f"errors.{'kind' if name == 'type' else name}")
        put(name, gr.Dropdown(choices, label=label, elem_id=f"errors-{name}", min_width=180, **options))

    with put("top", gr.Row()):
        dropdown("run", [], scale=2)
        put("split", gr.Radio([], label=t("errors.split"), elem_id="errors-split", scale=2, min_width=220))
        dropdown("with", [], scale=2)
    put("notices", facts("errors-notices", t("errors.notice")))
    put("demo", quick_demo_button(page, "errors-start", visible=False))
    put("next", gr.Button(visible=False, variant="primary", elem_id="errors-next"))
    with put("body", gr.Column(visible=False)):
        put("headline", bars("errors-headline", t("errors.headline"), ["wb-long"]))
        with put("compare", gr.Column(visible=False, elem_id="errors-compare")):
            gr.Markdown("### " + t("errors.compare"))
            with gr.Row():
                with gr.Column(min_width=320):
                    put("pairs", bars("errors-pairs", t("errors.pair")))
                with gr.Column(min_width=320):
                    put("verdict", facts("errors-verdict", t("errors.verdict")))
            with gr.Accordion(t("errors.settings"), open=False):
                put("settings", facts("errors-settings", t("errors.settings")))
        with gr.Row():
            with gr.Column(min_width=340):
                put("slices_title", gr.Markdown())
                dropdown("by", [])
                put("slices", bars("errors-slices", t("errors.slices"), ["wb-long"]))
                with put("formed", gr.Column()):
                    gr.Markdown("### " + t("errors.near"))
                    put("near_note", gr.Markdown(elem_id="errors-near-note"))
                    put("near", bars("errors-near", t("errors.near"), ["wb-long"]))
            with put("scored", gr.Column(min_width=340)):
                gr.Markdown("### " + t("errors.matrix"))
                dropdown("type", [])
                put("matrix", matrix("errors-matrix", t("errors.matrix")))
                put("matrix_note", gr.Markdown(elem_id="errors-matrix-note"))
        gr.Markdown("## " + t("errors.samples"), elem_id="errors-samples")
        with gr.Row():
            put("show", gr.Radio([], label=t("errors.show"), elem_id="errors-show", scale=3, min_width=320))
            dropdown("sort", [(t(f"errors.sort_{name}"), name) for name in SORTS], scale=1)
            tags = [(t("errors.tag_any"), ""), *((t(f"errors.tag_{tag}"), tag) for tag in TAGS)]
            dropdown("tag", tags, scale=1)
        put("filters", facts("errors-filters", t("errors.filters")))
        with gr.Row():
            _add_button(t, parts, "clear", scale=0)
            _add_button(t, parts, "review", scale=0)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                put("gallery", gallery("errors-gallery", t("errors.gallery")))
                with gr.Row():
                    _add_button(t, parts, "page_previous")
                    put("page", gr.Markdown(elem_id="errors-page"))
                    _add_button(t, parts, "page_next")
            with put("detail", gr.Column(scale=2, min_width=320, elem_id="errors-detail")):
                _lay_out_sample(t, parts)
    return parts


def _lay_out_sample(t: Words, parts: Parts) -> None:
    """One sample in full."""
    put = parts.add
    with gr.Row():
        _add_button(t, parts, "sample_previous", elem_classes=["key-k"])
        _add_button(t, parts, "sample_next", elem_classes=["key-j"])
    put("picture", picture("errors-picture", t("errors.picture")))
    put("facts", facts("errors-facts", t("errors.detail")))
    with gr.Row():
        for number, tag in enumerate(TAGS, start=1):
            _add_button(t, parts, f"tag_{tag}", elem_classes=[f"key-{number}"])
    put("links", links("errors-links", t("errors.detail")))
    gr.Markdown("### " + t("errors.same_image"))
    put("same_image", facts("errors-same-image", t("errors.same_image")))


def _add_button(t: Words, parts: Parts, name: str, **options: Any) -> None:
    elem_id = f"errors-{name.replace('_', '-')}"
    parts.add(name, gr.Button(t(f"errors.{name}"), size="sm", elem_id=elem_id, min_width=120, **options))
