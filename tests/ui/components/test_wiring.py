"""Wiring: what is queued, and how errors are told."""

from collections.abc import Iterator

import gradio as gr
import pytest

from ui.components.parts import Drawn, Parts
from ui.components.wiring import Wiring
from ui.components.words import Words
from vqa_core.files import InputError


def plain() -> Drawn:
    return {"box": ""}


def growing() -> Iterator[Drawn]:
    yield {"box": ""}


def test_only_what_yields_goes_through_gradios_queue() -> None:
    """It loses an event that joins while the answer to another ends."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        button, box, wire = gr.Button(), Parts(box=gr.Textbox()), Wiring(Words("en"))
        for handler in (plain, growing):
            wire(button.click, handler, None, box)
    assert [event.queue for event in blocks.fns.values()] == [False, True]


def refusing() -> Drawn:
    raise InputError("there is no run '<b>'.")


def refusing_late() -> Iterator[Drawn]:
    yield {"box": ""}
    raise InputError("there is no run '<b>'.")


def test_a_name_in_an_error_is_no_markup() -> None:
    """Gradio shows errors of its queue as HTML; those of other events the page's script shows, as text."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        button, box, wire = gr.Button(), Parts(box=gr.Textbox()), Wiring(Words("en"))
        for handler in (refusing, refusing_late):
            wire(button.click, handler, None, box)
    plain, streamed = (event.fn for event in blocks.fns.values())
    with pytest.raises(gr.Error) as told:
        plain()
    assert told.value.message == "there is no run '<b>'."
    with pytest.raises(gr.Error) as told:
        list(streamed())
    assert told.value.message == "there is no run &#x27;&lt;b&gt;&#x27;."
