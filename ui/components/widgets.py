"""Widgets that Gradio lacks. ui/server/assets/workbench.js builds their elements and sets their texts, so a dataset's
text is never read as HTML.

A click triggers `select` with the key of the thing clicked: `def handler(..., event: gr.EventData)` reads `event.key`.
"""

from typing import Any, TypedDict

import gradio as gr


class Cell(TypedDict, total=False):
    """One picture of a gallery: `src` from Pictures.url; `mark` is "", "right" or "wrong"."""

    key: str
    src: str
    caption: str
    note: str
    mark: str


class Bar(TypedDict, total=False):
    """One bar: `share` from 0 to 1 is its length, `low` and `high` its interval; `text` stands at its end."""

    key: str
    label: str
    share: float
    low: float
    high: float
    text: str
    chosen: bool


def _widget(kind: str, value: Any, elem_id: str, label: str, classes: list[str] | None) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=f'<div class="wb-{kind}"></div>',
        js_on_load=f'window.workbench.widget("{kind}", element, props, trigger, watch);',
        elem_id=elem_id,
        elem_classes=["wb-widget", *(classes or [])],
        label=label,
        aria=label,
    )


def gallery(elem_id: str, label: str, classes: list[str] | None = None) -> gr.HTML:
    """A grid of pictures. Value: {"cells": [Cell], "chosen": key, "empty": text where there are none}."""
    return _widget("gallery", {"cells": []}, elem_id, label, classes)


def bars(elem_id: str, label: str, classes: list[str] | None = None) -> gr.HTML:
    """Bars from 0. Value: {"rows": [Bar], "title": text, "empty": text}; rows with a key can be clicked."""
    return _widget("bars", {"rows": []}, elem_id, label, classes)


def matrix(elem_id: str, label: str, classes: list[str] | None = None) -> gr.HTML:
    """Counts in a grid.

    Value: {"rows": [labels], "columns": [labels], "cells": [[count]], "row_title": text, "column_title": text}.

    The key of a cell is "row:column" by index; a cell on the diagonal is where both labels are the same.
    """
    return _widget("matrix", {"rows": [], "columns": [], "cells": []}, elem_id, label, classes)


def picture(elem_id: str, label: str, classes: list[str] | None = None) -> gr.HTML:
    """One picture, in full.

    Value: {"src": ..., "alt": ..., "caption": ..., "broken": text where it can't be shown, "whole": its address at its
    own size, with "to_whole": text of the link to it} or {}; the last three may be left out.
    """
    return _widget("picture", {}, elem_id, label, classes)


def facts(elem_id: str, label: str, classes: list[str] | None = None) -> gr.HTML:
    """A table of texts.

    Value: {"head": [text], "rows": [[text]], "keys": [key of a row, or ""], "marks": ["", "right" or "wrong"]}.
    """
    return _widget("facts", {"head": [], "rows": []}, elem_id, label, classes)


def progress(elem_id: str, label: str, classes: list[str] | None = None) -> gr.HTML:
    """The progress of something.

    Value: {"title": text, "share": 0 to 1, None where it is not known, left out for no bar, "text": text,
    "note": text, "mark": "", "right" or "wrong"} or {}.
    """
    return _widget("progress", {}, elem_id, label, classes)


def curve(elem_id: str, label: str, classes: list[str] | None = None) -> gr.HTML:
    """Points over steps, joined by a line; the y axis starts at 0.

    Value: {"points": [[x, y]], "spans": [[low, high]] of each point or left out, "x_max": number, "y_max": number or
    left out, "percent": whether y is a share, "title", "x_title", "note": texts, "empty": text where there are none,
    "log": text of a button that puts y on a logarithmic scale, or left out for none}.
    """
    return _widget("curve", {"points": []}, elem_id, label, classes)


def corner() -> gr.HTML:
    """The button that shows the keys, and the way to the other language."""
    return _widget("corner", {}, "corner", "", None)


def links(
    elem_id: str, label: str, classes: list[str] | None = None, *, to: list[dict[str, Any]] | None = None
) -> gr.HTML:
    """Links within the page, at first those of `to`.

    Value: {"links": [{"text": ..., "view": {"tab": ..., "run": ...}}]}.
    """
    return _widget("links", {"links": to or []}, elem_id, label, classes)
