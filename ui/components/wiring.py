"""Wiring: every handler is hooked up here, so that none is a public endpoint and none fails without a sentence."""

import functools
import html
import inspect
import logging
import secrets
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.components.sentences import sentence
from ui.components.words import Words
from vqa_core.files import InputError

logger = logging.getLogger("vqa.page")

Handler = Callable[..., Any]


def unexpected(error: Exception, t: Words, where: str, key: str = "common.unexpected") -> gr.Error:
    """What the reader sees of an error that nobody foresaw: a reference number, whose trace goes to the log."""
    reference = secrets.token_hex(3)
    logger.error("error %s in %s", reference, where, exc_info=error)
    return gr.Error(t(key, reference=reference), title=t("common.error"), duration=None, print_exception=False)


def explained(handler: Handler, t: Words, *, alone: bool = False, as_html: bool = False) -> Handler:
    """`handler`, its errors as sentences in the reader's language; with `alone` its one value is taken out of its list.

    An InputError is told as it is; anything else becomes a reference number, its trace going to the log. `as_html`
    is for who shows the sentence as HTML, which a name or a path in it must not become.
    """

    def told(error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        if isinstance(error, InputError):
            text = sentence(str(error), t)
            text = html.escape(text) if as_html else text
            return gr.Error(text, title=t("common.not_possible"), duration=15, print_exception=False)
        return unexpected(error, t, getattr(handler, "__qualname__", repr(handler)))

    if _streams(handler):

        @functools.wraps(handler)
        def stream(*args: Any) -> Generator[Any, None, None]:
            try:
                for values in handler(*args):
                    yield values[0] if alone else values
            except Exception as error:
                raise told(error) from None

        return stream

    @functools.wraps(handler)
    def call(*args: Any) -> Any:
        try:
            values = handler(*args)
            return values[0] if alone else values
        except Exception as error:
            raise told(error) from None

    return call


def _streams(handler: Handler) -> bool:
    """Does it yield values as they come?"""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.isgeneratorfunction(handler)


@dataclass(frozen=True, slots=True)
class Wiring:
    """`wire(button.click, handler, [inputs], [outputs])`; further options are Gradio's own.

    A handler whose outputs are a list returns a list, be it of one. Only what yields goes through Gradio's queue: the
    queue takes two requests more, and an event that joins it while the answer to another ends is never answered
    (Gradio 6.31: the server closes the stream of messages that the browser still takes for open). Gradio shows errors
    of its queue, as HTML; those of the other events ui/server/assets/workbench.js shows, as text.
    """

    t: Words

    def __call__(
        self,
        event: Callable[..., Any],
        handler: Handler | None,
        inputs: Any = None,
        outputs: Any = None,
        **options: Any,
    ) -> Any:
        queue = handler is not None and _streams(handler)
        options = {"api_visibility": "private", "show_progress": "hidden", "queue": queue} | options
        alone = isinstance(outputs, list) and len(outputs) == 1
        told = explained(handler, self.t, alone=alone, as_html=bool(options["queue"])) if handler else None
        return event(told, inputs, outputs, **options)

    def each(self, events: Sequence[Callable[..., Any]], *args: Any, **options: Any) -> None:
        """The same handler for several events."""
        for event in events:
            self(event, *args, **options)
