"""Page, which a tab's `build` gets; Tab, which it returns; View, a tab's part of the address."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from ui.components.parts import Drawn, Parts
from ui.components.wiring import Wiring
from ui.components.words import Words
from ui.workspace.workspace import Workspace

View = dict[str, str]  # a tab's part of the address: {"run": "demo", "page": "2"}; no value is empty


@dataclass(frozen=True, slots=True)
class Page:
    workspace: Workspace
    t: Words
    wire: Wiring


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab as the page sees it.

    `view` holds the tab's part of the address; whatever writes to it changes the browser's address. `show` takes it and
    draws every one of `parts`; it is called when the tab is opened, by a click or by an address.
    """

    name: str
    view: gr.JSON
    parts: Parts
    show: Callable[[View], Drawn]


def view_of(name: str) -> gr.JSON:
    """The hidden component that holds a tab's view."""
    return gr.JSON({}, visible="hidden", elem_id=f"{name}-view")


def change_view(view: View, **changes: object) -> View:
    """`view` with some entries changed; None and "" remove an entry."""
    merged = view | {name: "" if value is None else str(value) for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value != ""}
