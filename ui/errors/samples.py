"""The lower half of the Errors tab: the samples that the filters choose, and one of them in full."""

from typing import Any

import gradio as gr

from ui.components.sentences import translate
from ui.components.words import Words
from ui.errors.panels import answer_label, percent, slice_label
from ui.errors.scene import PAGE, Scene
from ui.workspace.pictures import FULL, THUMB, WHOLE
from ui.workspace.workspace import Workspace
from vqa_core.analysis.errors import Answers
from vqa_core.analysis.slicing import key_of
from vqa_core.files import InputError
from vqa_core.runs.choices import find_choice, letter
from vqa_core.runs.predictions import SHORTENED
from vqa_core.runs.tags import TAGS


def draw_samples(workspace: Workspace, t: Words, scene: Scene) -> dict[str, Any]:
    """The filters, the gallery and its page, the chosen sample."""
    answers = scene.answers
    filters = chosen_filters(t, scene)
    first, last = (scene.page - 1) * PAGE + 1, min(scene.page * PAGE, len(scene.found))
    count = f"{len(scene.found):,}"
    text = t("errors.page", first=f"{first:,}", last=f"{last:,}", count=count) if last else t("errors.page_none")
    return {
        "filters": {
            "rows": [[f"✕ {label}", value] for label, value in filters.values()],
            "keys": list(filters),
        },
        "clear": gr.Button(visible=len(filters) > 1),
        "gallery": gallery(workspace, t, scene, answers) if answers else {},
        "page": text,
        "page_previous": gr.Button(interactive=scene.page > 1),
        "page_next": gr.Button(interactive=scene.page < scene.pages),
        **_detail(workspace, t, scene),
    }


def chosen_filters(t: Words, scene: Scene) -> dict[str, tuple[str, str]]:
    """The active filters: name -> (label, value) as the reader sees them."""
    view, found = scene.view, {}
    if view.get("type"):
        found["type"] = t("errors.kind"), view["type"]
    if view.get("slice"):
        found["slice"] = t(f"errors.by_{scene.by}"), slice_label(t, scene.by, view["slice"])
    row, column = (answer_label(t, view[name]) if view.get(name) else "…" for name in ("wanted", "given"))
    if view.get("wanted") or view.get("given"):
        found["cell"] = f"{t('errors.wanted')} → {t('errors.given')}", f"{row} → {column}"
    if scene.form:
        found["form"] = t("errors.form"), t(f"errors.form_{scene.form}")
    if scene.pair:
        found["pair"] = t("errors.pair"), t(f"errors.pair_{scene.pair}")
    return found


def gallery(workspace: Workspace, t: Words, scene: Scene, answers: Answers) -> dict[str, Any]:
    """The pictures of one page."""
    cells = []
    for place in scene.on_page.tolist():
        example = answers.examples[place]
        cells.append(
            {
                "key": example.question_id,
                "src": address(workspace, answers, place, THUMB),
                "caption": example.question,
                "note": note(t, scene, answers, place),
                "mark": mark(answers, place),
            }
        )
    chosen = answers.examples[scene.chosen].question_id if scene.chosen is not None else ""
    nothing = scene.show == "wrong" and not chosen_filters(t, scene) and not scene.tag
    return {"cells": cells, "chosen": chosen, "empty": t("errors.no_wrong" if nothing else "errors.no_samples")}


def address(workspace: Workspace, answers: Answers, place: int, side: int) -> str:
    """The address of a question's picture, "" where it has none."""
    image = answers.examples[place].image
    try:
        return workspace.pictures.url_below(answers.run.data_root(), image, side)
    except InputError:  # the run does not say where its data is
        return ""


def note(t: Words, scene: Scene, answers: Answers, place: int) -> str:
    """The line below a picture: `no ≠ yes · 98.1%`, or both runs' answers."""
    item = answers.predictions[place]
    text = answer_label(t, key_of(item.answer))
    if scene.paired:
        other = scene.paired.b.predictions[scene.paired.others[place]].answer
        return t("errors.pair_note", a=text, b=answer_label(t, key_of(other)))
    if answers.references is not None and mark(answers, place) == "wrong":
        text += f" ≠ {answer_label(t, key_of(answers.references[place]))}"
    return text if item.probability is None else f"{text} · {percent(item.probability)}"


def mark(answers: Answers, place: int) -> str:
    """`right` or `wrong`; "" where that is not known."""
    return "" if answers.right is None else "right" if answers.right[place] else "wrong"


def neighbour(scene: Scene, step: int) -> dict[str, object]:
    """The changes of the view that go to the next (1) or previous (-1) sample; none at the ends."""
    if scene.answers is None or not len(scene.found):
        return {}
    order = scene.found.tolist()
    at = order.index(scene.chosen) + step if scene.chosen in order else 0
    if not 0 <= at < len(order):
        return {}
    return {"sample": scene.answers.examples[order[at]].question_id, "page": at // PAGE + 1}


def _detail(workspace: Workspace, t: Words, scene: Scene) -> dict[str, Any]:
    answers, place = scene.answers, scene.chosen
    if answers is None or place is None:
        off = {f"tag_{tag}": gr.Button(interactive=False, variant="secondary") for tag in TAGS}
        empty = {
            "picture": {},
            "facts": {},
            "same_image": {},
            "links": {"links": []},
            "detail": gr.Column(visible=False),
        }
        return empty | off | dict.fromkeys(("sample_previous", "sample_next"), gr.Button(interactive=False))
    example = answers.examples[place]
    src = address(workspace, answers, place, FULL)
    mine = (scene.tags or {}).get(example.question_id, [])
    return {
        "detail": gr.Column(visible=True),
        "picture": {
            "src": src,
            "whole": address(workspace, answers, place, WHOLE),
            "to_whole": t("explore.to_whole"),
            "alt": example.question,
            "caption": example.image_id,
            "broken": t("explore.broken", image=example.image_id),
        }
        if src
        else {},
        "facts": _facts(t, scene, answers, place),
        "same_image": _same_image(t, answers, place),
        "links": {"links": _links(t, answers, place)},
        "sample_previous": gr.Button(interactive=bool(neighbour(scene, -1))),
        "sample_next": gr.Button(interactive=bool(neighbour(scene, 1))),
    } | {f"tag_{tag}": tag_button(t, tag, tag in mine) for tag in TAGS}


def _links(t: Words, answers: Answers, place: int) -> list[dict[str, Any]]:
    run, question_id = answers.run.root.name, answers.examples[place].question_id
    sample = {"run": run, "split": answers.split, "sample": question_id}
    return [
        {"text": t("errors.to_ask"), "view": {"tab": "ask", **sample, "of": run}},
        {"text": t("errors.to_explore"), "view": {"tab": "explore", **sample}},
    ]


def tag_button(t: Words, tag: str, on: bool) -> gr.Button:
    """A tag's button: its key, its name, and whether the sample has it."""
    text = f"{TAGS.index(tag) + 1} {t(f'errors.tag_{tag}')}" + (" ✓" if on else "")
    return gr.Button(text, variant="primary" if on else "secondary", interactive=True)


def _facts(t: Words, scene: Scene, answers: Answers, place: int) -> dict[str, Any]:
    example, item = answers.examples[place], answers.predictions[place]
    rows = [["question", "\n".join([example.question, *_choices(t, answers, place)])]]
    rows.append(["answer", answer_label(t, key_of(item.answer))])
    if answers.references is not None:
        rows.append(["reference", answer_label(t, key_of(answers.references[place]))])
    if scene.paired:
        other = scene.paired.b.predictions[scene.paired.others[place]]
        rows.append(["other_answer", answer_label(t, key_of(other.answer))])
    if item.probability is not None:
        rows.append(["confidence", f"{item.probability:.2%}"])
    if answers.near[place]:
        rows.append(["form", t(f"errors.form_{answers.near[place]}")])
    if item.status != "ok":
        key = "shortened" if item.status in SHORTENED else "status"
        rows.append([key, f"{t(f'errors.status_{item.status}')} {_explain(t, item.detail)}".strip()])
    return {"rows": [[t(f"errors.{name}"), text] for name, text in rows], "marks": ["", mark(answers, place)]}


def _explain(t: Words, detail: str) -> str:
    """A prediction's detail, which may be about its answer and about its question."""
    return "; ".join(translate(part, t) for part in detail.split("; "))


def _choices(t: Words, answers: Answers, place: int) -> list[str]:
    """The choices of a question, one a line, the given and the right one marked."""
    example, item = answers.examples[place], answers.predictions[place]
    reference = answers.references[place] if answers.references is not None else None
    given, right = (find_choice(text, example.choices, example.answer_form) for text in (item.answer, reference))
    lines = []
    for index, choice in enumerate(example.choices):
        said = [t("errors.choice_given")] * (index == given) + [t("errors.choice_right")] * (index == right)
        share = [percent(item.options[index])] if index < len(item.options) else []
        lines += [" · ".join([line, *share, *said]) for line in [f"{letter(index)}. {choice}"] if choice]
    return lines


def _same_image(t: Words, answers: Answers, place: int) -> dict[str, Any]:
    rows, keys, marks = [], [], []
    for other in answers.same_image(place):
        item = answers.predictions[other]
        row = [answers.examples[other].question, answer_label(t, key_of(item.answer))]
        if answers.references is not None:
            row.append(answer_label(t, key_of(answers.references[other])))
        row.append("" if item.probability is None else percent(item.probability))
        rows.append(row)
        keys.append("" if other == place else answers.examples[other].question_id)
        marks.append(mark(answers, other))
    known = ["reference"] if answers.references is not None else []
    head = [t(f"errors.{name}") for name in ("question", "answer", *known, "confidence")]
    return {"head": head, "rows": rows, "keys": keys, "marks": marks}
