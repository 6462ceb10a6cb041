"""What the Explore tab draws of a scene: the pictures of a page, one sample with all its questions, counts, report."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr

from ui.components.parts import Drawn
from ui.components.sentences import translate
from ui.components.tab import change_view
from ui.components.widgets import Bar, Cell
from ui.components.words import Words
from ui.explore.scene import Scene, quoted
from ui.workspace.pictures import FULL, WHOLE
from ui.workspace.workspace import Workspace
from vqa_core.data.index.index import IndexedImage
from vqa_core.data.index.run_layer import find_predictions
from vqa_core.data.index.selection import FACETS
from vqa_core.runs.choices import list_choices
from vqa_core.runs.predictions import Prediction

BARS = ("split", "type", "answer_type", "answer", "length", "tag")
ORDER = {
    "split": ("train", "val", "test"),
    "length": ("1-4", "5-6", "7-8", "9-12", "13+"),
}  # the other facets: by frequency
SIGNS = {"right": "✓", "wrong": "✗", "": ""}
PICTURES = ("found", "clear", "gallery", "page", "page_of", "page_previous", "page_next", "pager")
SAMPLE = ("place", "previous", "next", "picture", "no_file", "facts", "links")


def shown(value: dict[str, Any]) -> dict[str, Any]:
    """A widget's value; an empty widget takes no room."""
    return gr.update(value=value, visible=bool(value))


def draw_pictures(workspace: Workspace, t: Words, scene: Scene) -> Drawn:
    """The page of the gallery and where it is."""
    index, selection = scene.index, scene.selection
    if index is None or selection is None:
        return dict.fromkeys(PICTURES, gr.skip()) | {"gallery": {"cells": []}}
    number, images, rows = selection.page(scene.page)
    cells: list[Cell] = []
    for image, (image_id, path), question in zip(images, index.files(images), index.questions(rows)):
        answer = "–" if question.answer is None else question.answer or t("explore.empty_answer")
        cell: Cell = {"key": str(image), "caption": question.question or image_id, "note": answer}
        if path:
            cell["src"] = workspace.pictures.url(index.root / path)
        cells.append(cell)
    filtered = any(scene.view.get(name) for name in ("q", *FACETS))
    found = {"images": f"{len(selection.images):,}", "questions": f"{selection.questions:,}"}
    return {
        "found": t("explore.found" if filtered else "explore.found_all", **found),
        "clear": gr.Button(visible=filtered),
        "gallery": {"cells": cells, "empty": t("explore.nothing")},
        "page": number,
        "page_of": t("explore.page_of", pages=f"{selection.pages:,}"),
        "page_previous": gr.Button(interactive=number > 1),
        "page_next": gr.Button(interactive=number < selection.pages),
        "pager": gr.Row(visible=selection.pages > 1),
    }


def draw_sample(workspace: Workspace, t: Words, scene: Scene) -> Drawn:
    """The chosen sample in the place of the gallery, or the gallery."""
    index, selection, image = scene.index, scene.selection, scene.image
    drawn: Drawn = {"detail": gr.Column(visible=image is not None), "browse": gr.Column(visible=image is None)}
    drawn |= dict.fromkeys(SAMPLE, gr.skip())
    if index is None or selection is None or image is None:
        return drawn
    place = selection.position(image.number)
    of = {"place": f"{place + 1:,}", "images": f"{len(selection.images):,}"} if place is not None else {}
    sides = {"src": FULL, "whole": WHOLE}
    shown_at = {
        name: workspace.pictures.url(index.root / image.path, side) for name, side in sides.items() if image.path
    }
    words = {"to_whole": t("explore.to_whole"), "broken": t("explore.broken", image=image.path)}
    return drawn | {
        "place": t("explore.place", **of) if of else t("explore.no_place"),
        "previous": gr.Button(interactive=selection.beside(image.number, -1) is not None),
        "next": gr.Button(interactive=selection.beside(image.number, 1) is not None),
        "picture": shown({**shown_at, **words, "alt": image.image_id, "caption": image.path} if shown_at else {}),
        "no_file": shown({} if shown_at else {"title": t("explore.no_file", image=image.image_id), "mark": "wrong"}),
        "facts": _facts(t, scene, image),
        "links": {"links": _links(t, scene, image)},
    }


def draw_counts(t: Words, scene: Scene) -> Drawn:
    """The bars beside the pictures: every filter with its counts, and how many questions the pictures have."""
    selection, wanted = scene.selection, scene.filter
    if selection is None:
        return dict.fromkeys((*BARS, "per_image"), gr.skip())
    drawn: Drawn = {}
    for facet in BARS:
        counts = selection.counts[facet]
        chosen, most = getattr(wanted, facet), max((count for _, count in counts), default=0)
        rows: list[Bar] = [
            {
                "key": quoted(value) if facet == "answer" else value,
                "label": _label(t, facet, value),
                "share": count / max(most, 1),
                "text": f"{count:,}",
                "chosen": value == chosen,
            }
            for value, count in sorted(counts, key=partial(_rank, ORDER.get(facet, ())))
        ]
        if selection.more[facet]:
            rows.append({"label": t("explore.more", more=f"{selection.more[facet]:,}")})
        drawn[facet] = shown({"rows": rows, "title": t(f"explore.{facet}")} if rows else {})
    most = max(selection.per_image.values(), default=0)
    sizes: list[Bar] = [
        {
            "label": str(size),
            "share": images / most,
            "text": f"{images:,}",
        }
        for size, images in selection.per_image.items()
    ]
    drawn["per_image"] = shown({"rows": sizes, "title": t("explore.per_image")} if sizes else {})
    return drawn


def draw_report(t: Words, scene: Scene) -> Drawn:
    """The DataReport: what the files hold, and the findings, those with samples to be clicked."""
    index = scene.index
    report = index.report if index else None
    if index is None or report is None:
        pending = {"rows": [], "empty": t("explore.report_pending")} if index else {"rows": []}
        return {"summary": {"rows": []}, "findings": pending}
    splits = report["splits"]
    names = [t(f"explore.split_{split}") for split in splits]
    rows = [
        [t(f"explore.{name}"), *(f"{facts[key]:,}" for facts in splits.values())]
        for name, key in (("rows", "rows"), ("images", "images"), ("missing", "missing"), ("broken_images", "broken"))
    ]
    rows.append([t("explore.mean"), *(f"{facts['questions_per_image']['mean']:.1f}" for facts in splits.values())])
    ceiling = report["answers"]["exact_match_ceiling"]
    if ceiling < 1:
        rows.append([t("explore.ceiling"), f"{ceiling:.2%}", *[""] * (len(names) - 1)])
    found = report["findings"]
    return {
        "summary": {"head": ["", *names], "rows": rows},
        "findings": {
            "head": [t("explore.findings"), t("explore.finding_kind")],
            "rows": [[translate(item["message"], t), t(f"explore.severity_{item['severity']}")] for item in found],
            "keys": [item["code"] if item["code"] in index.findings else "" for item in found],
            "marks": ["wrong" if item["severity"] == "error" else "" for item in found],
            "empty": t("explore.no_findings"),
        },
    }


def draw_state(t: Words, scene: Scene) -> Drawn:
    """The progress of the index, and the notices about the view."""
    state, index, wanted = scene.status.state, scene.index, scene.filter
    failed = state is not None and state.stage == "failed"
    notices = list(scene.notices)
    if wanted.finding and index and index.report:
        messages = {item["code"]: item["message"] for item in index.report["findings"]}
        if wanted.finding in messages:
            notices.append(t("explore.finding_shown", finding=translate(messages[wanted.finding], t)))
    drawn: Drawn = {
        "notices": shown({"title": notices[0], "text": " ".join(notices[1:])} if notices else {}),
        "status": shown({}),
        "timer": gr.Timer(active=state is not None and not failed),
        "failed": gr.Row(visible=failed),
        "forget": gr.Button(visible=failed and scene.dataset is not None and scene.dataset.opened),
        "stamp": scene.stamp,
        "open_box": gr.skip(),
        "path": gr.skip(),
    }
    if state is None:
        return drawn
    status: dict[str, Any] = {"title": t(f"explore.stage_{state.stage}")}
    if failed:
        unknown = t("explore.failed_unknown", log=f"indexes/{scene.dataset.key if scene.dataset else ''}/log.txt")
        drawn |= {"open_box": gr.Accordion(open=True), "path": str(scene.dataset.folder) if scene.dataset else ""}
        status |= {"mark": "wrong", "text": translate(state.error, t) if state.error else unknown}
    else:
        status["share"] = state.done / state.total if state.total else None
        if state.total:
            status["text"] = t("explore.progress", done=f"{state.done:,}", total=f"{state.total:,}")
    if index:
        status["note"] = t("explore.usable" if state.mark == index.fingerprint else "explore.older")
    return drawn | {"status": shown(status)}


def _rank(order: Sequence[str], item: tuple[str, int]) -> int:
    """Sorting is stable, so what has no order stays by frequency."""
    return order.index(item[0]) if item[0] in order else len(order)


def _label(t: Words, facet: str, value: str) -> str:
    """What a value of a facet is called."""
    if facet == "answer":
        return value or t("explore.empty_answer")
    key = f"errors.tag_{value}" if facet == "tag" else f"explore.{facet}_{value}"
    return t(key) if t.has(key) else value


def _facts(t: Words, scene: Scene, image: IndexedImage) -> dict[str, Any]:
    """Every question about the image, with what the run predicted."""
    head = ["question", "answer", *(["prediction", "confidence"] if scene.run else []), "split", "id"]
    predicted = _predictions(scene, image)
    tagged = {question.row: scene.layer.tags_of(question) for question in image.questions}
    rows, marks = [], []
    for question in image.questions:
        answer = question.answer
        asked = "\n".join([question.question, *list_choices(question.choices)])
        row = [asked, "–" if answer is None else answer]
        mark = ""
        if scene.run:
            given = predicted.get(question.row)
            if given is not None and answer is not None:
                mark = "right" if given.answer == answer else "wrong"
            row += ["–", "–"] if given is None else [given.answer, f"{SIGNS[mark]} {_percent(given)}".strip()]
        row += [t(f"explore.split_{scene.layer.split_of(question)}"), question.question_id]
        if any(tagged.values()):
            row.append(", ".join(_label(t, "tag", tag) for tag in tagged[question.row]))
        rows.append(row)
        marks.append(mark)
    titles = [t(f"explore.{name}") for name in head] + [t("explore.tag")] * any(tagged.values())
    return {"head": titles, "rows": rows, "marks": marks}


def _predictions(scene: Scene, image: IndexedImage) -> dict[int, Prediction]:
    """The run's predictions by row."""
    if not scene.run:
        return {}
    by_split: dict[str, list[Any]] = {}
    for question in image.questions:
        by_split.setdefault(scene.layer.split_of(question), []).append(question)
    found: dict[int, Prediction] = {}
    for split, questions in by_split.items():
        given = find_predictions(scene.run.predictions(split), [question.question_id for question in questions])
        found |= {q.row: given[q.question_id] for q in questions if q.question_id in given}
    return found


def _percent(given: Prediction) -> str:
    return "–" if given.probability is None else f"{given.probability:.1%}"


def _links(t: Words, scene: Scene, image: IndexedImage) -> list[dict[str, Any]]:
    run = scene.run.root.name if scene.run else ""
    links = []
    if image.path and scene.dataset:
        view = {"tab": "ask", "data": scene.dataset.key, "sample": str(image.number)}
        links.append({"text": t("explore.to_ask"), "view": change_view(view, run=run)})
    if run:
        links.append({"text": t("explore.to_errors"), "view": {"tab": "errors", "run": run}})
    return links
