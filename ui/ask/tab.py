"""Ask: questions about one picture. The answer streams; then the likeliest ones, and what the model was given."""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ui.ask.answering import check_choices, check_questions, split_lines, stream_answers
from ui.ask.examples import list_examples
from ui.ask.layout import lay_out
from ui.ask.panel import draw_answers, draw_examples, draw_model, draw_picture, tabulate_answers
from ui.ask.scene import SOURCES, choose_model, find_subject, keep_existing, with_picture
from ui.components.parts import Drawn
from ui.components.tab import Page, Tab, View, change_view
from ui.components.words import Words
from ui.workspace.pictures import DECODING
from ui.workspace.workspace import Workspace
from vqa_core.data.images import open_image
from vqa_core.files import InputError
from vqa_core.runs.predictions import PartialAnswer

NAME = "ask"
LONGEST_Q = 500  # characters of a question that an address carries
MODEL = ("run", "about", "demo", "submit")
ANSWERS = ("status", "answers", "result", "likeliest", "whole", "seen", "prompt", "json", "notices")
SHOWN = ("picture", "examples", "question", "options", *MODEL, *ANSWERS)

# An answer is drawn only where the page still shows the picture it was asked about: another may have been chosen
# meanwhile. The rest of the view is the reader's too; only the first arrival sets it to what was asked.
ARRIVE = """(arrival, view) => {
  const picture = (of) => JSON.stringify(SOURCES.map((name) => of?.[name] ?? ""));
  if (!arrival.view || picture(arrival.view) !== picture(view)) return {};
  const { at, ...kept } = view;
  const next = arrival.begins ? arrival.view : at === undefined ? undefined : kept;
  return { view: next, ...arrival.drawn };
}""".replace("SOURCES", json.dumps(SOURCES))


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace, parts = page.t, page.workspace, lay_out(page, NAME)
    view, picture, run = (parts[name] for name in ("view", "picture", "run"))
    question, options = parts["question"], parts["options"]

    def wire(event: Callable[..., Any], handler: Callable[..., Any], inputs: list[Any], *outputs: str) -> Any:
        return page.wire(event, functools.partial(handler, workspace, t), inputs, parts.only(*outputs))

    # files, paste and camera cause `upload`; a removal causes `input` too, with the old picture
    kept = wire(picture.upload, upload_picture, [view, picture], "view", "picture", "examples", *ANSWERS)
    page.wire(kept.failure, lambda: {"picture": None}, None, parts.only("picture"))  # a picture that was refused
    wire(picture.clear, clear_picture, [view], "view", "examples", *ANSWERS)
    wire(run.input, choose_run, [view, run], "view", *MODEL, "notices")
    wire(parts["forget"].click, forget_answers, [view], "view", *ANSWERS)

    def answer_clicked(view: View, event: gr.EventData) -> Drawn:  # Gradio reads the annotation: no partial
        return look_at_answer(workspace, t, view, str(event.key))

    def example_clicked(view: View, event: gr.EventData) -> Drawn:
        return choose_example(workspace, t, view, str(event.key))

    page.wire(parts["answers"].select, answer_clicked, [view], parts.only("view", *ANSWERS))
    shown = parts.only("view", "picture", "examples", "question", "options", *ANSWERS)
    taken = page.wire(parts["examples"].select, example_clicked, [view], shown)

    answer = functools.partial(ask, workspace, t)
    several = {"trigger_mode": "multiple", "concurrency_limit": 8, "concurrency_id": "ask"}
    for event in (functools.partial(gr.on, [parts["submit"].click, question.submit]), taken.success):
        page.wire(event, answer, [view, question, run, options], parts.only("arrival"), **several)
    arriving = parts.only("view", *ANSWERS)
    page.wire(parts["arrival"].change, None, [parts["arrival"], view], arriving, js=arriving.script(ARRIVE))
    return Tab(NAME, view, parts.only(*SHOWN), functools.partial(show, workspace, t))


def show(workspace: Workspace, t: Words, view: View) -> Drawn:
    """The whole tab; its model is loaded meanwhile, so that the first answer comes soon."""
    name = choose_model(workspace, view)
    if name:
        workspace.models.warm(name)
    return {
        "question": view.get("q", ""),
        "options": view.get("options", ""),
        **draw_picture(workspace, view),
        **draw_model(workspace, t, name),
        **draw_answers(workspace, t, view),
    }


def ask(workspace: Workspace, t: Words, view: View, text: str, run: str, options: str = "") -> Iterator[Drawn]:
    """Answer the questions of `text` about the view's picture; the answers grow as they come.

    With `options`, one a line, the answer to each question is one of those.
    Each arrival, which ARRIVE draws, is {"view": that of the question, "begins": whether it is the first one, "drawn":
    values for some of ANSWERS}.
    """
    text, options = text or "", options or ""
    kept = {
        "q": text if len(text) <= LONGEST_Q else None,
        "options": options if 0 < len(options) <= LONGEST_Q else None,
    }
    view = change_view(view, run=run, at=None, **kept)
    subject = find_subject(workspace, view)
    if subject is None:
        raise InputError("There is no picture. Upload or paste one, or choose an example.")
    questions, choices = check_questions(split_lines(text)), check_choices(split_lines(options))
    with DECODING:
        image = workspace.open_image(subject.path)
    models, before = workspace.models, workspace.history.answers(subject.key)

    def arrive(drawn: Drawn, *, begins: bool = False) -> Drawn:
        return {"arrival": {"view": view, "begins": begins, "drawn": drawn}}

    def draw_growing(status: str, answers: Sequence[PartialAnswer]) -> Drawn:
        table = tabulate_answers(t, before, list(zip(questions, answers, strict=True)))
        return {"status": t(status), "answers": table}

    ready = models.ready(run)
    status = "ask.loading" if not ready else "ask.waiting" if models.busy else "ask.answering"
    yield arrive(draw_growing(status, [("", None)] * len(questions)), begins=True)
    with workspace.history.once((subject.key, run, *questions, "", *choices)) as first:
        if first:
            keep = functools.partial(workspace.history.keep_seen, subject.key)
            stream = stream_answers(models, image, questions, run, choices=choices, keep=keep)
            try:
                while True:
                    yield arrive(draw_growing("ask.answering", next(stream)))
            except StopIteration as stop:
                workspace.history.add(subject.key, stop.value)
            except Exception:
                yield arrive(draw_answers(workspace, t, view))
                raise
    yield arrive(draw_answers(workspace, t, view))


def upload_picture(workspace: Workspace, t: Words, view: View, path: str | None) -> Drawn:
    """Keep the uploaded picture and draw its history."""
    if not path:
        raise InputError("This is no picture that was uploaded. Choose a file.")
    with DECODING:
        open_image(Path(path))  # refuses it by its header, before anything is decoded
    view = keep_existing(workspace, t, with_picture(view, picture=workspace.history.keep(Path(path))))
    return {"view": view} | draw_picture(workspace, view) | draw_answers(workspace, t, view)


def clear_picture(workspace: Workspace, t: Words, view: View) -> Drawn:
    """Take the picture away."""
    view = keep_existing(workspace, t, with_picture(view))
    return {"view": view} | draw_examples(workspace, view) | draw_answers(workspace, t, view)


def choose_example(workspace: Workspace, t: Words, view: View, key: str) -> Drawn:
    """Take an example's picture and question."""
    view = with_picture(view, example=key)
    find_subject(workspace, view)  # refuses an unknown key
    text = list_examples()[key].questions
    view = keep_existing(workspace, t, change_view(view, q=text, options=None))
    drawn = draw_picture(workspace, view) | draw_answers(workspace, t, view)
    return {"view": view, "question": text, "options": ""} | drawn


def choose_run(workspace: Workspace, t: Words, view: View, run: str) -> Drawn:
    """Ask this model from now on."""
    view = keep_existing(workspace, t, change_view(view, run=run))
    name = choose_model(workspace, view)
    if name:
        workspace.models.warm(name)
    return {"view": view, "notices": {}} | draw_model(workspace, t, name)


def look_at_answer(workspace: Workspace, t: Words, view: View, key: str) -> Drawn:
    """Look at an earlier answer."""
    view = keep_existing(workspace, t, change_view(view, at=key))
    return {"view": view} | draw_answers(workspace, t, view)


def forget_answers(workspace: Workspace, t: Words, view: View) -> Drawn:
    """Remove the answers about the picture."""
    view = keep_existing(workspace, t, change_view(view, at=None))
    subject = find_subject(workspace, view)
    if subject:
        workspace.history.forget(subject.key)
    return {"view": view} | draw_answers(workspace, t, view)
