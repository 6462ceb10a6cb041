"""The button that a tab shows where there is no run: it starts the quick demo run and goes to Train to watch it."""

import gradio as gr

from ui.components.parts import Parts
from ui.components.tab import Page
from ui.train.plan import start_quick_demo

TO_TRAIN = "(run) => { location.search = new URLSearchParams({ tab: 'train', run }).toString(); }"


def quick_demo_button(page: Page, elem_id: str, *, visible: bool = True) -> gr.Button:
    """Draw and wire it."""
    button = gr.Button(page.t("runs.start"), variant="primary", visible=visible, elem_id=elem_id)
    started = gr.Textbox(visible="hidden", elem_id=f"{elem_id}ed")
    clicked = page.wire(
        button.click, lambda: {"run": start_quick_demo(page.workspace, page.t)}, None, Parts(run=started)
    )
    clicked.success(None, started, None, js=TO_TRAIN)
    return button
