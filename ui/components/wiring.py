"""Wiring: connects every handler to its event, so that none is a public endpoint and none fails without a sentence."""

import functools
import html
import inspect
import logging
import secrets
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.components.parts import Parts
from ui.components.sentences import translate
from ui.components.words import Words
from vqa_core.files import InputError

logger = logging.getLogger("vqa.page")

Handler = Callable[..., Any]


def log_unexpected(error: Exception, t: Words, where: str, key: str = "common.unexpected") -> gr.Error:
    """Log an error that nobody foresaw, and return what the reader sees of it: a reference number."""
    reference = secrets.token_hex(3)
    logger.error("error %s in %s", reference, where, exc_info=error)
    return gr.Error(t(key, reference=reference), title=t("common.error"), duration=None, print_exception=False)


def explain_errors(
    handler: Handler,
    t: Words,
    *,
    inputs: Parts | None = None,
    outputs: Parts | None = None,
    as_html: bool = False,
) -> Handler:
    """`handler`, with each error as a sentence in the reader's language, and with its values by name.

    An InputError keeps its sentence; any other error becomes a reference number, and its trace goes to the log. With
    `inputs`, the handler gets its values as one `{name: value}`; with `outputs`, it draws `{name: value}` for these.
    `as_html` is for a caller that shows the sentence as HTML, which a name or a path in it must not become.
    """

    def error_for_reader(error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        if isinstance(error, InputError):
            text = translate(str(error), t)
            text = html.escape(text) if as_html else text
            return gr.Error(text, title=t("common.not_possible"), duration=15, print_exception=False)
        return log_unexpected(error, t, getattr(handler, "__qualname__", repr(handler)))

    def named(args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args if inputs is None else (inputs.by_name(args[0]), *args[1:])

    def drawn(values: Any) -> Any:
        return values if outputs is None else outputs.by_component(values)

    if _streams(handler):

        @functools.wraps(handler)
        def stream(*args: Any) -> Generator[Any, None, None]:
            try:
                for values in handler(*named(args)):
                    yield drawn(values)
            except Exception as error:
                raise error_for_reader(error) from None

        return stream

    @functools.wraps(handler)
    def call(*args: Any) -> Any:
        try:
            return drawn(handler(*named(args)))
        except Exception as error:
            raise error_for_reader(error) from None

    return call


def _streams(handler: Handler) -> bool:
    """Whether the handler yields values one after another."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.isgeneratorfunction(handler)


@dataclass(frozen=True, slots=True)
class Wiring:
    """`wire(button.click, handler, [inputs], parts)`; further options are Gradio's own.

    A handler draws a value for each of `parts` by name. It gets the values of its inputs one by one, or, where `inputs`
    are Parts too, all of them by name. Only a generator goes through Gradio's queue: the queue takes two more
    requests, and an event that joins it while the answer to another ends is never answered (Gradio 6.31: the server
    closes the stream of messages, which the browser takes for open). Gradio shows errors of its queue as HTML;
    ui/server/assets/workbench.js shows those of the other events as text.
    """

    t: Words

    def __call__(
        self,
        event: Callable[..., Any],
        handler: Handler | None,
        inputs: Any = None,
        outputs: Parts | None = None,
        **options: Any,
    ) -> Any:
        queue = handler is not None and _streams(handler)
        options = {"api_visibility": "private", "show_progress": "hidden", "queue": queue} | options
        by_name = inputs if isinstance(inputs, Parts) else None
        if handler is not None:
            as_html = bool(options["queue"])
            handler = explain_errors(handler, self.t, inputs=by_name, outputs=outputs, as_html=as_html)
        given = inputs if by_name is None else set(by_name.values())  # Gradio gives a set's values by component
        return event(handler, given, None if outputs is None else list(outputs.values()), **options)

    def each(self, events: Sequence[Callable[..., Any]], *args: Any, **options: Any) -> None:
        """Connect the same handler to several events."""
        for event in events:
            self(event, *args, **options)
