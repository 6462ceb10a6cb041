"""Ask: questions about one picture. The answer streams; then the likeliest ones, and what the model was given."""

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ui.ask.about import about
from ui.ask.answering import answering, checked, lines_of
from ui.ask.examples import ask_examples
from ui.ask.picture_input import PictureInput
from ui.ask.scene import (
    SOURCES,
    Subject,
    answer_table,
    as_json,
    chosen_of,
    fitted,
    likeliest_bars,
    seen_pictures,
    subject_of,
    told,
)
from ui.components import widgets
from ui.components.parts import Page, Tab, View, moved, view_of
from ui.components.sentences import sentence
from ui.components.words import Words
from ui.train.quick_demo import quick_demo_button
from ui.workspace.pictures import DECODING
from ui.workspace.workspace import Workspace
from vqa_core.data.images import open_image
from vqa_core.files import InputError
from vqa_core.runs.predictions import PartialAnswer

NAME = "ask"
PREVIEW, SMALL = 1024, 340  # pixels of the longest side of a picture as it is shown; a smaller one is enlarged
LONGEST_Q = 500  # characters of a question that an address carries

# What comes is drawn only where the page still shows the picture it was asked about: meanwhile another may have been
# chosen. What stands in a view beside the picture is the reader's too, but for what was asked.
ARRIVE = """(coming, view) => {
  const of = (each) => JSON.stringify(SOURCES.map((name) => each?.[name] ?? ""));
  if (!coming.view || of(coming.view) !== of(view)) return [];
  const { at, ...kept } = view;
  const now = coming.begins ? coming.view : at === undefined ? undefined : kept;
  return [now, ...coming.scene.map((part) => part ?? undefined)];
}""".replace("SOURCES", json.dumps(SOURCES))

Values = list[Any]


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace = page.t, page.workspace
    view = view_of(NAME)
    notices = widgets.progress("ask-notices", t("ask.notices"))
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            picture = PictureInput(
                label=t("ask.picture"), alt_text=t("ask.picture_alt"), placeholder=t("ask.placeholder"),
                type="filepath", image_mode=None, sources=["upload", "clipboard", "webcam"], height=340,
                buttons=["fullscreen"], elem_id="ask-picture",
            )  # fmt: skip
            gr.Markdown(f"### {t('ask.examples')}", visible=bool(ask_examples()))
            examples = widgets.gallery("ask-examples", t("ask.examples"))
            widgets.links(
                "ask-to-explore", t("ask.to_explore"), to=[{"text": t("ask.to_explore"), "view": {"tab": "explore"}}]
            )
        with gr.Column(min_width=320):
            run = gr.Dropdown(label=t("ask.model"), choices=[], allow_custom_value=True, elem_id="ask-run")
            trained_on = widgets.facts("ask-about", t("ask.model"))  # a text of a run, so no Markdown
            demo = quick_demo_button(page, "ask-start", visible=False)
            question = gr.Textbox(
                label=t("ask.question"), info=t("ask.question_info"), placeholder=t("ask.question_placeholder"),
                lines=1, max_lines=8, elem_id="ask-question", elem_classes=["key-search"],
            )  # fmt: skip
            submit = gr.Button(t("ask.ask"), variant="primary", elem_id="ask-submit")
            status = gr.Markdown(elem_id="ask-status")
            answers = widgets.facts("ask-answers", t("ask.answers"))
            with gr.Column(visible=False) as result:
                bars = widgets.bars("ask-likeliest", t("ask.likeliest_label"))
                gr.Markdown(t("ask.probability_note"), elem_classes=["wb-small"])
                with gr.Accordion(t("ask.gets"), open=False, elem_id="ask-gets"):
                    with gr.Row():
                        whole = widgets.picture("ask-whole", t("ask.whole"))
                        seen = widgets.picture("ask-seen", t("ask.seen_label"))
                    prompt = gr.Textbox(
                        label=t("ask.prompt"), interactive=False, buttons=["copy"], lines=3, max_lines=12,
                        elem_id="ask-prompt", elem_classes=["wb-mono"],
                    )  # fmt: skip
                with gr.Accordion(t("ask.json"), open=False, elem_id="ask-json-box"):
                    code = gr.Code(
                        language="json", interactive=False, show_label=False, max_lines=24, elem_id="ask-json"
                    )
                forget = gr.Button(t("ask.forget"), size="sm", elem_id="ask-forget")

    model = [run, trained_on, demo, submit]
    scene = [status, answers, result, bars, whole, seen, prompt, code, notices]
    outputs = [picture, examples, question, *model, *scene]
    show = functools.partial(shown, workspace, t)

    def wire(event: Any, handler: Any, inputs: Values, outputs: Values, **options: Any) -> Any:
        return page.wire(event, functools.partial(handler, workspace, t), inputs, outputs, **options)

    # `upload` comes of files, paste and camera; `input` also of a removal, with the old picture
    arrived = wire(picture.upload, uploaded, [view, picture], [view, picture, examples, *scene])
    page.wire(arrived.failure, lambda: [None], None, [picture])  # what was refused is not shown either
    wire(picture.clear, cleared, [view], [view, examples, *scene])
    wire(run.input, run_chosen, [view, run], [view, *model, notices])

    def answer_clicked(view: View, event: gr.EventData) -> Values:  # Gradio reads the annotation: no partial
        return answer_chosen(workspace, t, view, str(event.key))

    def example_clicked(view: View, event: gr.EventData) -> Values:
        return example_chosen(workspace, t, view, str(event.key))

    page.wire(answers.select, answer_clicked, [view], [view, *scene])
    wire(forget.click, forgotten, [view], [view, *scene])
    coming = gr.JSON({}, visible="hidden", elem_id="ask-coming")
    several = {"trigger_mode": "multiple", "concurrency_limit": 8, "concurrency_id": "ask"}
    ask_ = functools.partial(gr.on, [submit.click, question.submit])
    wire(ask_, ask, [view, question, run], [coming], **several)
    taken = page.wire(examples.select, example_clicked, [view], [view, picture, examples, question, *scene])
    wire(taken.success, ask, [view, question, run], [coming], **several)
    page.wire(coming.change, None, [coming, view], [view, *scene], js=ARRIVE)
    return Tab(NAME, view, outputs, show)


def shown(workspace: Workspace, t: Words, view: View) -> Values:
    """The whole tab; its model is loaded meanwhile, so that the first answer comes soon."""
    name = _model(workspace, view)
    if name:
        workspace.models.warm(name)
    return [
        _preview(workspace, view),
        _examples(workspace, view),
        view.get("q", ""),
        *_draw_model(workspace, t, name),
        *draw(workspace, t, view),
    ]


def draw(workspace: Workspace, t: Words, view: View) -> Values:
    """The answers about the view's picture, and the one that it looks at."""
    subject, told_of = _there(workspace, t, view)
    notices = {"title": told_of[0], "text": " ".join(told_of[1:])} if told_of else {}
    if subject is None:
        return [t("ask.no_picture_yet"), {"rows": []}, gr.update(visible=False), {"rows": []}, {}, {}, "", "", notices]
    answers = workspace.asked.answers(subject.key)
    chosen = chosen_of(view, answers)
    whole, seen = seen_pictures(workspace, t, subject, chosen) if chosen else ({}, {})
    return [
        told(t, chosen, answers),
        answer_table(t, answers),
        gr.update(visible=chosen is not None),
        likeliest_bars(t, chosen),
        whole,
        seen,
        chosen.prompt if chosen else "",
        as_json(answers),
        notices,
    ]


def ask(workspace: Workspace, t: Words, view: View, text: str, run: str) -> Iterator[Values]:
    """Answer the questions of `text` about the view's picture; the answers grow as they come.

    Yields [{"view": that of the question, "begins": whether it is told for the first time, "scene": values of the
    scene, None for what stays}], which ARRIVE draws.
    """
    text = text or ""
    view = moved(view, run=run, q=text if len(text) <= LONGEST_Q else None, at=None)
    subject = subject_of(workspace, view)
    if subject is None:
        raise InputError("There is no picture. Upload or paste one, or choose an example.")
    questions = checked(lines_of(text))
    with DECODING:
        image = open_image(subject.path)
    models, before = workspace.models, workspace.asked.answers(subject.key)

    def growing(status: str, coming: Sequence[PartialAnswer], *, begins: bool = False) -> Values:
        table = answer_table(t, before, list(zip(questions, coming, strict=True)))
        return [{"view": view, "begins": begins, "scene": [status, table]}]

    def whole() -> Values:
        return [{"view": view, "begins": False, "scene": draw(workspace, t, view)}]

    ready = models.ready(run)
    status = "ask.loading" if not ready else "ask.waiting" if models.busy else "ask.answering"
    yield growing(t(status), [("", None)] * len(questions), begins=True)
    with workspace.asked.once((subject.key, run, *questions)) as first:
        if first:
            keep = functools.partial(workspace.asked.keep_seen, subject.key)
            stream = answering(models, image, questions, run, keep=keep)
            try:
                while True:
                    yield growing(t("ask.answering"), next(stream))
            except StopIteration as stop:
                workspace.asked.add(subject.key, stop.value)
            except Exception:
                yield whole()
                raise
    yield whole()


def uploaded(workspace: Workspace, t: Words, view: View, path: str | None) -> Values:
    """Keep the picture that came, and start its history."""
    if not path:
        raise InputError("This is no picture that was uploaded. Choose a file.")
    with DECODING:
        open_image(Path(path))  # refuses it, by its header before anything is decoded
    view = _whole(workspace, t, _about_picture(view, picture=workspace.asked.keep(Path(path))))
    return [view, _preview(workspace, view), _examples(workspace, view), *draw(workspace, t, view)]


def cleared(workspace: Workspace, t: Words, view: View) -> Values:
    """No picture any more."""
    view = _whole(workspace, t, _about_picture(view))
    return [view, _examples(workspace, view), *draw(workspace, t, view)]


def example_chosen(workspace: Workspace, t: Words, view: View, key: str) -> Values:
    """Take an example's picture and question."""
    view = _about_picture(view, example=key)
    subject_of(workspace, view)  # refuses a key that there is not
    text = ask_examples()[key].questions
    view = _whole(workspace, t, moved(view, q=text))
    drawn = draw(workspace, t, view)
    return [view, _preview(workspace, view), _examples(workspace, view), text, *drawn]


def run_chosen(workspace: Workspace, t: Words, view: View, run: str) -> Values:
    """Ask another model from here on."""
    view = _whole(workspace, t, moved(view, run=run))
    name = _model(workspace, view)
    if name:
        workspace.models.warm(name)
    return [view, *_draw_model(workspace, t, name), {}]


def answer_chosen(workspace: Workspace, t: Words, view: View, key: str) -> Values:
    """Look at an earlier answer."""
    view = _whole(workspace, t, moved(view, at=key))
    return [view, *draw(workspace, t, view)]


def forgotten(workspace: Workspace, t: Words, view: View) -> Values:
    """Remove the answers about the picture."""
    view = _whole(workspace, t, moved(view, at=None))
    subject = subject_of(workspace, view)
    if subject:
        workspace.asked.forget(subject.key)
    return [view, *draw(workspace, t, view)]


def _there(workspace: Workspace, t: Words, view: View) -> tuple[Subject | None, list[str]]:
    """The picture that a view names, and what of the view is gone, each told in a sentence."""
    notices = []
    if view.get("run", "") not in ("", *workspace.models.names()):
        notices.append(t("ask.no_run", run=view["run"]))
    try:
        return subject_of(workspace, view), notices
    except InputError as error:
        return None, [*notices, sentence(str(error), t)]


def _whole(workspace: Workspace, t: Words, view: View) -> View:
    """The view without what is gone."""
    subject, _ = _there(workspace, t, view)
    kept = view if subject else _about_picture(view)
    return kept if kept.get("run") in workspace.models.names() else moved(kept, run=None)


def _about_picture(view: View, **source: str) -> View:
    """The view of another picture, or of none."""
    return {name: value for name, value in view.items() if name not in (*SOURCES, "at")} | source


def _model(workspace: Workspace, view: View) -> str:
    """The model that the view names, else the first there is; "" where there is none."""
    names = workspace.models.names()
    return view["run"] if view.get("run") in names else next(iter(names), "")


def _draw_model(workspace: Workspace, t: Words, name: str) -> Values:
    models = workspace.models
    told = about(t, models, name) if name else t("ask.no_model")
    choices = gr.Dropdown(choices=models.names(), value=name or None)
    return [choices, {"rows": [], "empty": told}, gr.Button(visible=not name), gr.Button(interactive=bool(name))]


def _preview(workspace: Workspace, view: View) -> Any:
    """The picture as it is shown: what every browser can show, upright."""
    try:
        subject = subject_of(workspace, view)
        if subject is None:
            return None
        with DECODING:
            image = open_image(subject.path)
            return fitted(image, SMALL if max(image.size) < SMALL else PREVIEW)
    except InputError:
        return None


def _examples(workspace: Workspace, view: View) -> dict[str, Any]:
    cells = [
        {
            "key": example.key,
            "src": workspace.pictures.url(example.path),
            "caption": example.questions.replace("\n", " · "),
        }
        for example in ask_examples().values()
    ]
    return {"cells": cells, "chosen": view.get("example", "")}
