"""Tools for assistants that speak the Model Context Protocol: the endpoints that only look, offered by `--mcp`.

Gradio makes a tool of every endpoint of a page that it serves, so these are a small application of their own. They
are not queued: Gradio would call itself over HTTP then, without the password that the page may have.
"""

import base64
import binascii
import functools
import importlib.util
import inspect
import json
import threading
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.events import api
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.components.wiring import explain_errors
from ui.components.words import Words
from ui.server.api import Endpoints, Record, text_of
from ui.server.blocks import PageBlocks
from ui.server.guard import TOOLS as PROTOCOL
from ui.server.guard import TOOLS_LIMIT
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError

TOOLS = ("ask", "ask_many", "job_status", "score")
PATH = "/tools"  # an assistant is given http://127.0.0.1:7860/tools/gradio_api/mcp/
AT_ONCE = 4  # questions that may wait for the model


class Tools:
    """A picture arrives as text, and every tool returns JSON; an assistant sees the docstrings."""

    def __init__(self, workspace: Workspace) -> None:
        self.endpoints = Endpoints(workspace)
        self._waiting = threading.BoundedSemaphore(AT_ONCE)

    def ask(self, image: str, question: str, run: str = "") -> str:
        """Ask a trained visual question answering model a question about a picture.

        Args:
            image: the picture as a data URL, `data:image/png;base64,...`.
            question: the question.
            run: name of the run whose model answers; empty for the newest one that is trained.
        """
        return _json(self._answers(image, [question], run)[0])

    def ask_many(self, image: str, questions: list[str], run: str = "") -> str:
        """Ask a trained visual question answering model several questions about one picture.

        Args:
            image: the picture as a data URL, `data:image/png;base64,...`.
            questions: the questions, at most 32.
            run: name of the run whose model answers; empty for the newest one that is trained.
        """
        return _json(self._answers(image, questions, run))

    def job_status(self, job_id: str) -> str:
        """How a job of the workbench stands, and the last lines of its log.

        Args:
            job_id: the job's id.
        """
        return _json(self.endpoints.job_status(job_id))

    def score(self, run: str, split: str = "val") -> str:
        """The score of a run, with intervals, slices and the question-only baseline.

        Args:
            run: name of the run.
            split: `val` or `test`.
        """
        return _json(self.endpoints.score(run, split))

    def _answers(self, image: str, questions: list[str], run: str) -> list[Record]:
        if not self._waiting.acquire(blocking=False):
            raise InputError("the model is busy with other questions. Ask again in a moment.")
        try:
            return self.endpoints.answers(_bytes_of(image), questions, run)
        finally:
            self._waiting.release()


def mount_tools(app: FastAPI, workspace: Workspace) -> None:
    """Put the tools on the server, before the page, which takes all paths; an InputError without the extra `mcp`."""
    if importlib.util.find_spec("mcp") is None:
        raise InputError("--mcp needs the package `mcp`. Install `gradio[mcp]`, or leave --mcp out.")
    t, tools = Words("en"), Tools(workspace)
    with PageBlocks(t, title=t("common.title"), analytics_enabled=False) as blocks:
        for name in TOOLS:
            api(explain_errors(getattr(tools, name), t), api_name=name, queue=False)
    _allow_pictures()
    app.add_middleware(OnlyMcp)
    gr.mount_gradio_app(
        app, blocks, path=PATH, footer_links=[], run_history=False, show_error=False, ssr_mode=False, mcp_server=True
    )


def _allow_pictures() -> None:
    """Let the protocol's own package take what the guard lets through: newer ones refuse more than 4 MB."""
    from gradio.mcp import GradioMCPServer
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager as Manager

    if "max_request_body_size" in inspect.signature(Manager).parameters:
        sized = functools.partial(Manager, max_request_body_size=TOOLS_LIMIT)
        GradioMCPServer.StreamableHTTPSessionManager = staticmethod(sized)  # type: ignore[assignment,misc]


class OnlyMcp:
    """ASGI middleware: of what lies below PATH only the protocol is served, no page and no uploads."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if (path == PATH or path.startswith(f"{PATH}/")) and not path.startswith(PROTOCOL):
            await PlainTextResponse("Not found", 404)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _bytes_of(image: Any) -> bytes:
    """The picture of a data URL."""
    head, comma, body = text_of(image, "image").partition(",")
    try:
        if comma and head.startswith("data:") and head.endswith(";base64"):
            return base64.b64decode(body, validate=True)
    except binascii.Error:
        pass
    raise InputError("image is no picture as a data URL. Send it as `data:image/png;base64,...`.")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
