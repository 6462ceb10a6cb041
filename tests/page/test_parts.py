"""Parts.script in a browser: what a script draws by name reaches the parts in their order; a wrong name is an error."""

from typing import TYPE_CHECKING

import gradio as gr
import pytest

from ui.components.parts import Parts

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_script_draws_by_name(page: "Page") -> None:
    from playwright.sync_api import Error

    script = Parts(status=gr.Markdown(), answers=gr.JSON()).script("(drawn, more) => ({ ...drawn, ...more })")
    given = page.evaluate(f"({script})({{ answers: [1] }}, {{ status: 'a' }})")
    assert given == ["a", [1]]
    assert page.evaluate(f"({script})({{ answers: [1] }}, {{}})[0] === undefined"), "it stays as it is"
    with pytest.raises(Error, match="no part of the event: statsu"):
        page.evaluate(f"({script})({{ statsu: 'a' }}, {{}})")
