import gradio as gr
import pytest

from ui.components.form import Form
from ui.components.words import Words
from ui.train.layout import draw_form


@pytest.fixture(scope="module")
def form() -> Form:
    """Train's form in English."""
    with gr.Blocks(analytics_enabled=False):
        return draw_form(Words("en"))
