"""What the Ask tab draws: the picture, the model, the answers, and one answer in full."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr
from PIL import Image

from ui.ask.about import describe_model
from ui.ask.examples import list_examples
from ui.ask.model_input import draw_input, fit_image
from ui.ask.scene import choose_answer, find_subject, read_subject
from ui.components.parts import Drawn
from ui.components.tab import View
from ui.components.widgets import Bar
from ui.components.words import Words
from ui.workspace.history import Answer
from ui.workspace.pictures import DECODING
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError
from vqa_core.runs.predictions import FALLBACKS, PartialAnswer

SHOWN = 30  # answers in the table
PREVIEW, SMALL = 1024, 340  # pixels of the longest side of the picture; one below SMALL is enlarged


def draw_picture(workspace: Workspace, view: View) -> Drawn:
    """The picture as every browser can show it, upright; and the examples, one of them marked if it is the picture."""
    return {"picture": _preview(workspace, view)} | draw_examples(workspace, view)


def draw_examples(workspace: Workspace, view: View) -> Drawn:
    cells = [
        {
            "key": example.key,
            "src": workspace.pictures.url(example.path),
            "caption": example.questions.replace("\n", " · "),
        }
        for example in list_examples().values()
    ]
    return {"examples": {"cells": cells, "chosen": view.get("example", "")}}


def draw_model(workspace: Workspace, t: Words, name: str) -> Drawn:
    """The choice of a model, what the chosen one was trained on, and the way to a first one where there is none."""
    models = workspace.models
    about = describe_model(t, models, name) if name else t("ask.no_model")
    return {
        "run": gr.Dropdown(choices=models.names(), value=name or None),
        "about": {"rows": [], "empty": about},
        "demo": gr.Button(visible=not name),
        "submit": gr.Button(interactive=bool(name)),
    }


def draw_answers(workspace: Workspace, t: Words, view: View) -> Drawn:
    """The answers about the view's picture, and one of them in full."""
    subject, notices = read_subject(workspace, t, view)
    answers = workspace.history.answers(subject.key) if subject else []
    chosen = choose_answer(view, answers)
    given = draw_input(workspace, t, subject, chosen) if subject and chosen else {"whole": {}, "seen": {}}
    return {
        "status": explain_answer(t, chosen, answers) if subject else t("ask.no_picture_yet"),
        "answers": tabulate_answers(t, answers) if subject else {"rows": []},
        "result": gr.update(visible=chosen is not None),
        "likeliest": draw_likeliest(t, chosen),
        **given,
        "prompt": chosen.prompt if chosen else "",
        "json": format_json(answers) if subject else "",
        "notices": {"title": notices[0], "text": " ".join(notices[1:])} if notices else {},
    }


def tabulate_answers(
    t: Words, answers: Sequence[Answer], arriving: Sequence[tuple[str, PartialAnswer]] = ()
) -> dict[str, Any]:
    """The answers about a picture: the last ones first, and those that were asked together in their order.

    Above them stand the questions that are being answered, each with its answer as far as it has arrived.
    """
    rows = [
        [question, text or ("…" if probability is None else t("ask.empty")), format_percent(probability), ""]
        for question, (text, probability) in arriving
    ]
    keys = [""] * len(rows)
    newest = sorted(enumerate(answers), key=lambda item: item[1].asked, reverse=True)
    for at, each in newest[:SHOWN]:
        rows.append([each.question, each.answer or t("ask.empty"), format_percent(each.probability), each.run])
        keys.append(str(at))
    head = [t("ask.question_column"), t("ask.answer_column"), t("ask.probability_column"), t("ask.model_column")]
    return {"head": head, "rows": rows, "keys": keys, "empty": t("ask.no_answers")}


def draw_likeliest(t: Words, chosen: Answer | None) -> dict[str, Any]:
    """The likeliest answers to one question as bars from 0."""
    if chosen is None:
        return {"rows": []}
    rows: list[Bar] = [
        {
            "label": each["answer"] or t("ask.empty"),
            "share": each["probability"],
            "text": format_percent(each["probability"]),
            "chosen": each["answer"] == chosen.answer,
        }
        for each in chosen.likeliest
    ]
    return {
        "rows": rows,
        "title": t("ask.likeliest", question=chosen.question),
        "empty": t("ask.none_likely" if chosen.searched else "ask.not_searched"),
    }


def explain_answer(t: Words, chosen: Answer | None, answers: Sequence[Answer]) -> str:
    """How the answer came about, in texts of the page alone: a model's text would be read as Markdown."""
    if chosen is None:
        return ""
    together = sum(each.asked == chosen.asked for each in answers)
    lines = [t("ask.time" if together == 1 else "ask.time_together", seconds=chosen.seconds, questions=together)]
    if chosen.status == "empty":
        lines.append(t("ask.was_empty"))
    elif chosen.status in FALLBACKS:
        lines.append(t("ask.was_not_computed"))
    elif chosen.status == "question_cut":
        lines.append(t("ask.question_was_cut"))
    elif chosen.detail:
        lines.append(t("ask.was_cut"))
    return " ".join(lines)


def format_json(answers: Sequence[Answer]) -> str:
    """The answers as a reader may copy them."""
    return json.dumps([asdict(each) for each in answers], ensure_ascii=False, indent=2)


def format_percent(probability: float | None) -> str:
    """`99.97%`, or `< 0.01%` for a smaller probability that is not 0. The blank does not break a line."""
    if probability is None:
        return ""
    text = "< 0.01%" if 0 < probability < 0.0001 else f"{100 * probability:.2f}%"
    return text.replace(" ", "\u00a0")


def _preview(workspace: Workspace, view: View) -> Image.Image | None:
    try:
        subject = find_subject(workspace, view)
        if subject is None:
            return None
        with DECODING:
            image = workspace.open_image(subject.path)
            return fit_image(image, SMALL if max(image.size) < SMALL else PREVIEW)
    except InputError:
        return None
