"""Errors: where a run is wrong and why, sample by sample, and how it compares with another run."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from ui.components.parts import Drawn, Parts
from ui.components.tab import Page, Tab, View, change_view, view_of
from ui.components.words import Words
from ui.errors.compare import draw_compare
from ui.errors.layout import lay_out
from ui.errors.moves import CHOICES, CLICKS, PICKS, Changes, pick_sample
from ui.errors.panels import draw_panels
from ui.errors.samples import draw_samples
from ui.errors.scene import Scene, read_scene
from ui.workspace.workspace import Workspace
from vqa_core.analysis.errors import SHOWN
from vqa_core.analysis.review import review_csv
from vqa_core.runs.tags import TAGS, Tags

NAME = "errors"
_SEE = "document.querySelector('#errors-{0}')?.scrollIntoView({{ behavior: 'smooth' }})"
SAMPLES, DETAIL = _SEE.format("samples"), f"if (innerWidth < 800) {_SEE.format('detail')}"
SEEN_AFTER = {"matrix": SAMPLES, "near": SAMPLES, "pairs": SAMPLES, "gallery": DETAIL, "same_image": DETAIL}


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace, view, parts = page.t, page.workspace, view_of(NAME), lay_out(page)
    file = Parts(file=gr.DownloadButton(visible="hidden", elem_id="errors-file"))
    everything = Parts(view=view) | parts

    def go(change: Callable[..., Changes], view: View, *values: Any) -> Drawn:
        view = change_view(view, **change(read_scene(workspace, t, view), *values))
        return {"view": view} | draw(workspace, t, view)

    def picking(change: Callable[[Scene, str], Changes]) -> Callable[..., Drawn]:
        def picked(view: View, event: gr.EventData) -> Drawn:  # Gradio reads the annotation: no partial
            return go(change, view, str(event.key))

        return picked

    for name, chosen in CHOICES.items():
        page.wire(parts[name].input, partial(go, chosen), [view, parts[name]], everything)
    for name, clicked in CLICKS.items():
        page.wire(parts[name].click, partial(go, clicked), view, everything)
    for name, picked in PICKS.items():
        made = page.wire(parts[name].select, picking(picked), view, everything)
        if name in SEEN_AFTER:
            made.success(None, None, None, js=f"() => {{ {SEEN_AFTER[name]}; }}")
    for tag in TAGS:
        page.wire(parts[f"tag_{tag}"].click, partial(go, partial(toggle, tag)), view, everything)
    made = page.wire(parts["review"].click, partial(review, workspace, t), view, file)
    made.success(None, None, None, js="() => { document.querySelector('#errors-file').click(); }")
    return Tab(NAME, view, parts, partial(draw, workspace, t))


def draw(workspace: Workspace, t: Words, view: View) -> Drawn:
    """Every part of the tab."""
    scene = read_scene(workspace, t, view)
    return (
        _draw_head(t, scene)
        | draw_panels(t, scene)
        | draw_compare(t, scene)
        | _draw_choices(t, scene)
        | draw_samples(workspace, t, scene)
    )


def toggle(tag: str, scene: Scene) -> Changes:
    """Put a tag on the chosen sample, or take it off; the sample stays in sight though a filter may lose it."""
    if scene.answers is None or scene.chosen is None:
        return {}
    question_id = scene.answers.examples[scene.chosen].question_id
    Tags(scene.answers.run, scene.split).toggle(question_id, tag)
    return pick_sample(scene, question_id)


def review(workspace: Workspace, t: Words, view: View) -> Drawn:
    """Write a review CSV of the samples that the view finds, in its order."""
    scene = read_scene(workspace, t, view)
    if scene.answers is None:
        return {"file": None}
    folder = tempfile.mkdtemp(dir=gr.utils.get_upload_folder())
    path = Path(folder) / f"review-{scene.answers.run.root.name}-{scene.split}.csv"
    path.write_bytes(review_csv(scene.answers, scene.found.tolist(), scene.tags or {}))
    return {"file": str(path)}


def _draw_head(t: Words, scene: Scene) -> Drawn:
    """Choice of run, split and other run; what the reader should know, and what to do next."""
    name = scene.run.root.name if scene.run else None
    others = [other for other in scene.names if other != name]
    other = scene.view.get("with", "")
    return {
        "top": gr.Row(visible=bool(scene.names)),
        "run": gr.Dropdown(choices=list(scene.names), value=name),
        "split": gr.Radio(choices=[(t(f"errors.split_{split}"), split) for split in scene.splits], value=scene.split),
        "with": gr.Dropdown(
            choices=[(t("errors.with_none"), ""), *((other, other) for other in others)],
            value=other if other in others else "",
            visible=bool(others),
        ),
        "notices": {"empty": " ".join(scene.notices)},
        "demo": gr.Button(visible=scene.run is None),
        "next": _next_step(t, scene),
        "body": gr.Column(visible=scene.answers is not None),
    }


def _next_step(t: Words, scene: Scene) -> gr.Button:
    """The button to Predict for a run without answers, or without answers that can be scored."""
    if scene.run is None:
        return gr.Button(visible=False)
    there = {"tab": "predict", "run": scene.run.root.name}
    if scene.answers is None:
        text, there = "to_predict", there | {"split": scene.split}
    elif scene.answers.right is None:
        text, there = "to_predict_val", there | {"split": "val"}
    else:
        return gr.Button(visible=False)
    return gr.Button(t(f"errors.{text}"), link=f"?{urlencode(there)}", visible=True)


def _draw_choices(t: Words, scene: Scene) -> Drawn:
    scored = scene.answers is not None and scene.answers.right is not None
    kinds = scene.answers.slicings["question_type"].keys if scene.answers else []
    kind, counts = scene.view.get("type", ""), scene.counts or {}
    return {
        "by": gr.Dropdown(
            choices=[(t(f"errors.by_{by}" + ("_unscored" * (by == "answer" and not scored))), by) for by in scene.ways],
            value=scene.by,
        ),
        "slices_title": "### " + t("errors.slices" if scored else "errors.slices_unscored"),
        "type": gr.Dropdown(
            choices=[(t("errors.kind_all"), ""), *((known, known) for known in sorted(kinds))],
            value=kind if kind in kinds else "",
        ),
        "scored": gr.Column(visible=scored),
        "formed": gr.Column(visible=scored),
        "show": gr.Radio(
            choices=[(f"{t(f'errors.show_{show}')} {counts.get(show, 0):,}", show) for show in SHOWN],
            value=scene.show,
            visible=scored,
        ),
        "sort": scene.sort,
        "tag": scene.tag,
        "review": gr.Button(interactive=len(scene.found) > 0),
    }
