"""Parts: what is drawn under a wrong name, or left out, is an error and never a wrong picture."""

from typing import Any

import gradio as gr
import pytest

from ui.components.parts import Drawn, Parts
from ui.components.wiring import Wiring
from ui.components.words import Words


@pytest.fixture
def parts() -> Parts:
    parts = Parts(name=gr.Textbox())
    parts.add("table", gr.JSON())
    return parts


def test_two_parts_never_share_a_name(parts: Parts) -> None:
    for again in (lambda: parts.add("table", gr.JSON()), lambda: parts | Parts(table=gr.JSON())):
        with pytest.raises(ValueError, match="two parts are called 'table'"):
            again()
    assert list(parts | Parts(more=gr.JSON())) == ["name", "table", "more"]
    assert list(parts) == ["name", "table"]


def test_only_parts_that_are_there_are_chosen(parts: Parts) -> None:
    assert list(parts.only("table")) == list(parts.without("name")) == ["table"]
    for choose in (parts.only, parts.without):
        with pytest.raises(KeyError, match="tabel"):
            choose("tabel")


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ({"name": "a", "tabel": {}}, r"no part of the event: \['tabel'\]; not drawn: \['table'\]"),
        ({"name": "a"}, r"not drawn: \['table'\]"),
        ({"name": "a", "table": {}, "more": 1}, r"no part of the event: \['more'\]"),
    ],
)
def test_a_wrong_or_missing_name_is_refused(parts: Parts, drawn: Drawn, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parts.by_component(drawn)


def test_parts_are_left_as_they_are_only_when_that_is_said(parts: Parts) -> None:
    drawn = parts.by_component(parts.unchanged() | {"name": "a"})
    assert drawn == {parts["name"]: "a", parts["table"]: gr.skip()}


def handler_of(handler: Any, inputs: Any, outputs: Parts) -> Any:
    """The function that Gradio calls for a click on a button that is wired to `handler`."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        for part in outputs.values():
            part.render()
        Wiring(Words("en"))(gr.Button().click, handler, inputs, outputs)
    (event,) = blocks.fns.values()
    return event.fn


def test_a_handler_gets_and_draws_values_by_name(parts: Parts) -> None:
    call = handler_of(lambda values: {"table": values["name"], "name": values["table"]}, parts, parts)
    assert call({parts["table"]: 1, parts["name"]: 2}) == {parts["name"]: 1, parts["table"]: 2}


def test_a_handler_that_draws_a_wrong_name_gives_the_reader_an_error(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    def grow() -> Any:
        yield {"name": "a", "table": {}}
        yield {"name": "a"}

    with pytest.raises(gr.Error, match="Something went wrong"):
        handler_of(lambda: {"nmae": "a", "table": {}}, None, parts)()
    streamed = handler_of(grow, None, parts)()
    assert next(streamed) == {parts["name"]: "a", parts["table"]: {}}
    with pytest.raises(gr.Error, match="Something went wrong"):
        next(streamed)
    assert "drawn, but no part of the event: ['nmae']" in caplog.text
