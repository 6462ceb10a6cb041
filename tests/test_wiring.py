"""Wiring: what is queued."""

from collections.abc import Iterator

import gradio as gr

from ui.wiring import Wiring
from ui.words import Words


def plain() -> str:
    return ""


def growing() -> Iterator[str]:
    yield ""


def test_only_what_yields_goes_through_gradios_queue() -> None:
    """It loses an event that joins while the answer to another ends."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        button, box, wire = gr.Button(), gr.Textbox(), Wiring(Words("en"))
        for handler in (plain, growing):
            wire(button.click, handler, None, box)
    assert [event.queue for event in blocks.fns.values()] == [False, True]
