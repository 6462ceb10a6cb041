"""Where the parts of the Explore tab stand."""

from dataclasses import fields
from typing import Any

import gradio as gr

from ui.components.parts import Parts
from ui.components.tab import view_of
from ui.components.widgets import bars, facts, gallery, links, picture, progress
from ui.components.words import Words
from ui.explore.panel import BARS
from vqa_core.runs.examples import ColumnMap

COLUMNS = tuple(field.name for field in fields(ColumnMap))


def lay_out(t: Words, name: str) -> Parts:
    """Draw every part of the tab called `name`."""
    parts = Parts(view=view_of(name))
    _lay_out_top(parts, t)
    _lay_out_opening(parts, t)
    with parts.add("body", gr.Row(visible=False, equal_height=False)):
        with gr.Column(scale=3, min_width=320):
            _lay_out_gallery(parts, t)
            _lay_out_sample(parts, t)
        with gr.Column(scale=1, min_width=290, elem_id="explore-side"):
            with gr.Accordion(t("explore.report"), elem_id="explore-report"):
                parts.add("findings", facts("explore-findings", t("explore.findings"), ["wb-tight"]))
                parts.add("summary", facts("explore-summary", t("explore.summary"), ["wb-tight"]))
            for facet in (*BARS, "per_image"):
                parts.add(facet, bars(f"explore-{facet.replace('_', '-')}", t(f"explore.{facet}"), ["wb-capped"]))
    parts.add("stamp", gr.Textbox(visible="hidden", elem_id="explore-stamp"))
    parts.add("timer", gr.Timer(1.0, active=False))
    return parts


def _lay_out_top(parts: Parts, t: Words) -> None:
    with parts.add("empty", gr.Column(visible=False, elem_id="explore-empty")):
        gr.Markdown(t("explore.empty"))
        _add_button(parts, t, "write_demo", variant="primary", min_width=220)
    with parts.add("choice", gr.Row(visible=False, elem_id="explore-top")):
        parts.add("data", gr.Dropdown([], label=t("explore.dataset"), elem_id="explore-data", min_width=160))
        parts.add("run", gr.Dropdown([], label=t("explore.run"), elem_id="explore-run", min_width=160))
        search = gr.Textbox(
            label=t("explore.search"), placeholder=t("explore.search_hint"), max_lines=1, max_length=200, scale=2,
            min_width=260, elem_id="explore-search", elem_classes=["key-search"],
        )  # fmt: skip
        parts.add("search", search)
    parts.add("notices", progress("explore-notices", t("explore.notices")))
    parts.add("status", progress("explore-status", t("explore.status")))
    with parts.add("failed", gr.Row(visible=False)):
        _add_button(parts, t, "again", variant="primary")
        _add_button(parts, t, "forget")


def _lay_out_gallery(parts: Parts, t: Words) -> None:
    with gr.Row(equal_height=True):
        parts.add("found", gr.Markdown(elem_id="explore-found"))
        _add_button(parts, t, "clear", visible=False, size="sm")
    with parts.add("browse", gr.Column()):
        parts.add("gallery", gallery("explore-gallery", t("explore.pictures")))
        with parts.add("pager", gr.Row(visible=False, equal_height=True)):
            _add_button(parts, t, "page_previous")
            page = gr.Number(
                1, label=t("explore.page"), show_label=False, container=False, precision=0, minimum=1, scale=0,
                min_width=90, elem_id="explore-page",
            )  # fmt: skip
            parts.add("page", page)
            parts.add("page_of", gr.Markdown(elem_id="explore-page-of"))
            _add_button(parts, t, "page_next")


def _lay_out_sample(parts: Parts, t: Words) -> None:
    with parts.add("detail", gr.Column(visible=False, elem_id="explore-detail")):
        with gr.Row(equal_height=True):
            _add_button(parts, t, "back", min_width=190)
            _add_button(parts, t, "previous", elem_classes=["key-k"], min_width=130)
            _add_button(parts, t, "next", elem_classes=["key-j"], min_width=130)
            parts.add("place", gr.Markdown(elem_id="explore-place"))
        parts.add("picture", picture("explore-picture", t("explore.picture")))
        parts.add("no_file", progress("explore-no-file", t("explore.picture")))
        parts.add("facts", facts("explore-facts", t("explore.questions")))
        parts.add("links", links("explore-links", t("explore.links")))


def _lay_out_opening(parts: Parts, t: Words) -> None:
    with parts.add("open_box", gr.Accordion(t("explore.open_box"), open=False, elem_id="explore-open-box")):
        path = gr.Textbox(
            label=t("explore.path"), info=t("explore.path_info"), placeholder=t("explore.path_hint"), max_lines=1,
            max_length=4096, elem_id="explore-path",
        )  # fmt: skip
        parts.add("path", path)
        gr.Markdown(t("explore.columns"))
        with gr.Row():
            for name in COLUMNS:
                column = gr.Textbox(
                    label=t(f"explore.column_{name}"), placeholder=getattr(ColumnMap(), name), max_lines=1,
                    max_length=200, min_width=140, elem_id=f"explore-column-{name.replace('_', '-')}",
                )  # fmt: skip
                parts.add(f"column_{name}", column)
        _add_button(parts, t, "open", variant="primary")


def _add_button(parts: Parts, t: Words, name: str, **options: Any) -> None:
    usual: dict[str, Any] = {"scale": 0, "min_width": 150, "size": "md"}
    elem_id = f"explore-{name.replace('_', '-')}"
    parts.add(name, gr.Button(t(f"explore.{name}"), elem_id=elem_id, **usual | options))
