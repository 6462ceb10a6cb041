"""The page as a whole: the tabs in one language, the address they share, and the server they are put on."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import gradio as gr
from fastapi import FastAPI

from ui.ask import tab as ask
from ui.components.parts import Drawn, Parts
from ui.components.tab import Page, Tab, View
from ui.components.widgets import corner
from ui.components.wiring import Wiring
from ui.components.words import LANGUAGES, Words, catalogue
from ui.errors import tab as errors
from ui.explore import tab as explore
from ui.predict import tab as predict
from ui.runs import tab as runs
from ui.server.api import add_endpoints
from ui.server.blocks import PageBlocks
from ui.server.languages import PATHS, Languages
from ui.server.style import THEME
from ui.server.tools import mount_tools
from ui.server.uploads import FILE_LIMIT
from ui.train import tab as train
from ui.workspace.pictures import add_routes
from ui.workspace.workspace import Workspace

ASSETS = Path(__file__).parent / "assets"
TABS = {module.NAME: module for module in (explore, ask, train, predict, errors, runs)}
QUEUE = 64  # requests that may wait


def build_page(workspace: Workspace, language: str) -> gr.Blocks:
    """The six tabs in one language."""
    t = Words(language)
    blocks = PageBlocks(t, title=t("common.title"), analytics_enabled=False, delete_cache=(3600, 86_400))
    with blocks:
        page = Page(workspace, t, Wiring(t))
        with gr.Row(elem_id="top"):
            gr.Markdown(f"# {t('common.title')}", elem_id="title")
            corner()
        loaded = gr.Textbox("", visible="hidden", elem_id="loaded")  # "yes" once the address was drawn
        with gr.Tabs(elem_id="tabs", selected=next(iter(TABS))) as tabs:
            opened: list[tuple[gr.Tab, Tab]] = []
            for name, module in TABS.items():
                with gr.Tab(t(f"{name}.tab"), id=name, elem_id=f"tab-{name}") as item:
                    opened.append((item, module.build(page)))
        for item, tab in opened:
            write = f"(view) => {{ window.workbench.write('{tab.name}', view); }}"
            page.wire(item.select, partial(_select, tab), [tab.view, loaded], tab.parts)
            page.wire(item.select, None, tab.view, None, js=write)
            page.wire(tab.view.change, None, tab.view, None, js=write)
        _open_by_address(page, blocks, tabs, loaded, [tab for _, tab in opened])
        if PATHS[language] == "/":
            add_endpoints(page)
    blocks.queue(api_open=False, max_size=QUEUE, default_concurrency_limit=4)
    return blocks


def _select(tab: Tab, view: View, loaded: str) -> Drawn:
    """The tab as its view says. Gradio selects its first tab by itself while the page loads; that one draws nothing,
    as what it drew might come after what the address asks for."""
    return tab.show(view) if loaded else tab.parts.unchanged()


def _open_by_address(page: Page, blocks: gr.Blocks, tabs: gr.Tabs, loaded: gr.Textbox, opened: Sequence[Tab]) -> None:
    """When the page is loaded: choose the tab that the address names, and draw it as the address says."""
    outputs = Parts(tabs=tabs, loaded=loaded)
    for tab in opened:
        outputs |= Parts(**{f"{tab.name}.{name}": part for name, part in {"view": tab.view, **tab.parts}.items()})

    def load(request: gr.Request) -> Drawn:
        view: View = {name: value for name, value in dict(request.query_params).items() if not name.startswith("__")}
        name = view.pop("tab", "")
        chosen = next((tab for tab in opened if tab.name == name), opened[0])
        drawn = {"view": view, **chosen.parts.checked(chosen.show(view))}
        here = {"tabs": gr.Tabs(selected=chosen.name), "loaded": "yes"}
        return outputs.unchanged() | here | {f"{chosen.name}.{name}": value for name, value in drawn.items()}

    # until then the tab that Gradio shows first must not overwrite the address that the reader opened
    page.wire(blocks.load, load, None, outputs).then(None, None, None, js="() => { window.workbench.opened(); }")


def build_server(workspace: Workspace, *, mcp: bool = False) -> FastAPI:
    """The page in every language on one server, and the route of the pictures."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_routes(app, workspace.pictures)
    app.add_middleware(Languages, scripts={language: _script(language) for language in LANGUAGES})
    if mcp:
        mount_tools(app, workspace)
    for language in sorted(LANGUAGES, key=lambda language: -len(PATHS[language])):  # "/" takes what is left
        gr.mount_gradio_app(
            app,
            build_page(workspace, language),
            path=PATHS[language],
            theme=THEME,
            css_paths=[ASSETS / "workbench.css"],
            footer_links=[],
            run_history=False,
            show_error=False,  # except gr.Error, which has our own sentences: ui/components/wiring.py
            ssr_mode=False,
            max_file_size=FILE_LIMIT,
            mcp_server=False,
        )
    return app


def _script(language: str) -> str:
    """Our script, and the words and the language that it needs."""
    keys = {key: Words(language)(f"keys.{key}") for key in KEYS}
    gradio = {texts["en"]: texts[language] for key, texts in catalogue().items() if key.startswith("gradio.")}
    facts = {
        "language": language,
        "other": _other(language),
        "keys": keys,
        "gradio": gradio if language != "en" else {},
    }
    shown = json.dumps(facts).replace("<", "\\u003c")
    return f"window.workbenchFacts = {shown};\n" + (ASSETS / "workbench.js").read_text(encoding="utf-8")


def _other(language: str) -> dict[str, str]:
    other = next(name for name in LANGUAGES if name != language)
    return {"language": other, "text": Words(other)("common.this_language")}


KEYS: tuple[str, ...] = ("title", "next", "previous", "search", "tag", "arrows", "help", "close", "corner")
