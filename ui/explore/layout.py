"""Where the parts of the Explore tab stand."""

from dataclasses import fields
from typing import Any

import gradio as gr

from ui.components.widgets import bars, facts, gallery, links, picture, progress
from ui.components.words import Words
from ui.explore.panel import BARS
from vqa_core.runs.examples import ColumnMap

COLUMNS = tuple(field.name for field in fields(ColumnMap))


class _Parts(dict[str, Any]):
    """The parts by name; `parts.button("back")` draws one and keeps it."""

    def __init__(self, t: Words) -> None:
        super().__init__()
        self.t = t

    def keep(self, name: str, part: Any) -> Any:
        self[name] = part
        return part

    def button(self, name: str, **options: Any) -> None:
        standing: dict[str, Any] = {"scale": 0, "min_width": 150, "size": "md"}
        elem_id = f"explore-{name.replace('_', '-')}"
        self[name] = gr.Button(self.t(f"explore.{name}"), elem_id=elem_id, **standing | options)


def layout(t: Words) -> dict[str, Any]:
    """Draw every part; by the name under which a scene is drawn to it."""
    parts = _Parts(t)
    _top(parts, t)
    _opening(parts, t)
    with parts.keep("body", gr.Row(visible=False, equal_height=False)):
        with gr.Column(scale=3, min_width=320):
            _gallery(parts, t)
            _sample(parts, t)
        with gr.Column(scale=1, min_width=290, elem_id="explore-side"):
            with gr.Accordion(t("explore.report"), elem_id="explore-report"):
                parts["findings"] = facts("explore-findings", t("explore.findings"), ["wb-tight"])
                parts["summary"] = facts("explore-summary", t("explore.summary"), ["wb-tight"])
            for facet in (*BARS, "per_image"):
                parts[facet] = bars(f"explore-{facet.replace('_', '-')}", t(f"explore.{facet}"), ["wb-capped"])
    parts["stamp"] = gr.Textbox(visible="hidden", elem_id="explore-stamp")
    parts["timer"] = gr.Timer(1.0, active=False)
    return parts


def _top(parts: _Parts, t: Words) -> None:
    with parts.keep("empty", gr.Column(visible=False, elem_id="explore-empty")):
        gr.Markdown(t("explore.empty"))
        parts.button("write_demo", variant="primary", min_width=220)
    with parts.keep("choice", gr.Row(visible=False, elem_id="explore-top")):
        parts["data"] = gr.Dropdown([], label=t("explore.dataset"), elem_id="explore-data", min_width=160)
        parts["run"] = gr.Dropdown([], label=t("explore.run"), elem_id="explore-run", min_width=160)
        parts["search"] = gr.Textbox(
            label=t("explore.search"), placeholder=t("explore.search_hint"), max_lines=1, max_length=200, scale=2,
            min_width=260, elem_id="explore-search", elem_classes=["key-search"],
        )  # fmt: skip
    parts["notices"] = progress("explore-notices", t("explore.notices"))
    parts["status"] = progress("explore-status", t("explore.status"))
    with parts.keep("failed", gr.Row(visible=False)):
        parts.button("again", variant="primary")
        parts.button("forget")


def _gallery(parts: _Parts, t: Words) -> None:
    with gr.Row(equal_height=True):
        parts["found"] = gr.Markdown(elem_id="explore-found")
        parts.button("clear", visible=False, size="sm")
    with parts.keep("browse", gr.Column()):
        parts["gallery"] = gallery("explore-gallery", t("explore.pictures"))
        with parts.keep("pager", gr.Row(visible=False, equal_height=True)):
            parts.button("page_previous")
            parts["page"] = gr.Number(
                1, label=t("explore.page"), show_label=False, container=False, precision=0, minimum=1, scale=0,
                min_width=90, elem_id="explore-page",
            )  # fmt: skip
            parts["page_of"] = gr.Markdown(elem_id="explore-page-of")
            parts.button("page_next")


def _sample(parts: _Parts, t: Words) -> None:
    with parts.keep("detail", gr.Column(visible=False, elem_id="explore-detail")):
        with gr.Row(equal_height=True):
            parts.button("back", min_width=190)
            parts.button("previous", elem_classes=["key-k"], min_width=130)
            parts.button("next", elem_classes=["key-j"], min_width=130)
            parts["place"] = gr.Markdown(elem_id="explore-place")
        parts["picture"] = picture("explore-picture", t("explore.picture"))
        parts["no_file"] = progress("explore-no-file", t("explore.picture"))
        parts["facts"] = facts("explore-facts", t("explore.questions"))
        parts["links"] = links("explore-links", t("explore.links"))


def _opening(parts: _Parts, t: Words) -> None:
    with parts.keep("open_box", gr.Accordion(t("explore.open_box"), open=False, elem_id="explore-open-box")):
        parts["path"] = gr.Textbox(
            label=t("explore.path"), info=t("explore.path_info"), placeholder=t("explore.path_hint"), max_lines=1,
            max_length=4096, elem_id="explore-path",
        )  # fmt: skip
        gr.Markdown(t("explore.columns"))
        with gr.Row():
            for name in COLUMNS:
                parts[f"column_{name}"] = gr.Textbox(
                    label=t(f"explore.column_{name}"), placeholder=getattr(ColumnMap(), name), max_lines=1,
                    max_length=200, min_width=140, elem_id=f"explore-column-{name.replace('_', '-')}",
                )  # fmt: skip
        parts.button("open", variant="primary")
