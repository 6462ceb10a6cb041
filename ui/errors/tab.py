"""Errors: where a run is wrong and why, sample by sample, and how it compares with another run."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from ui.components.parts import Page, Tab, View, moved, view_of
from ui.components.widgets import bars, facts, gallery, links, matrix, picture
from ui.components.words import Words
from ui.errors.compare import draw_compare
from ui.errors.moves import CHOICES, CLICKS, PICKS, Changes, pick_sample
from ui.errors.panels import draw_panels
from ui.errors.samples import draw_samples
from ui.errors.scene import Scene, read_scene
from ui.train.quick_demo import quick_demo_button
from ui.workspace.workspace import Workspace
from vqa_core.analysis.errors import SHOWN, SORTS
from vqa_core.analysis.review import review_csv
from vqa_core.analysis.slicing import BY
from vqa_core.runs.tags import TAGS, Tags

NAME = "errors"
_SEE = "document.querySelector('#errors-{0}')?.scrollIntoView({{ behavior: 'smooth' }})"
SAMPLES, DETAIL = _SEE.format("samples"), f"if (innerWidth < 800) {_SEE.format('detail')}"
SEEN_AFTER = {"matrix": SAMPLES, "near": SAMPLES, "pairs": SAMPLES, "gallery": DETAIL, "same_image": DETAIL}


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace, view = page.t, page.workspace, view_of(NAME)
    parts = _layout(page)
    file = gr.DownloadButton(visible="hidden", elem_id="errors-file")
    outputs = [view, *parts.values()]

    def show(view: View) -> list[Any]:
        drawn = draw(workspace, t, view)
        return [drawn[name] for name in parts]

    def go(change: Callable[..., Changes], view: View, *values: Any) -> list[Any]:
        view = moved(view, **change(read_scene(workspace, t, view), *values))
        return [view, *show(view)]

    def picking(change: Callable[[Scene, str], Changes]) -> Callable[..., list[Any]]:
        def picked(view: View, event: gr.EventData) -> list[Any]:  # Gradio reads the annotation: no partial
            return go(change, view, str(event.key))

        return picked

    for name, chosen in CHOICES.items():
        page.wire(parts[name].input, partial(go, chosen), [view, parts[name]], outputs)
    for name, clicked in CLICKS.items():
        page.wire(parts[name].click, partial(go, clicked), view, outputs)
    for name, picked in PICKS.items():
        made = page.wire(parts[name].select, picking(picked), view, outputs)
        if name in SEEN_AFTER:
            made.success(None, None, None, js=f"() => {{ {SEEN_AFTER[name]}; }}")
    for tag in TAGS:
        page.wire(parts[f"tag_{tag}"].click, partial(go, partial(toggle, tag)), view, outputs)
    made = page.wire(parts["review"].click, partial(review, workspace, t), view, [file])
    made.success(None, None, None, js="() => { document.querySelector('#errors-file').click(); }")
    return Tab(NAME, view, outputs[1:], show)


def draw(workspace: Workspace, t: Words, view: View) -> dict[str, Any]:
    """A value for each component, by name."""
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


def review(workspace: Workspace, t: Words, view: View) -> list[str | None]:
    """The path of a review CSV of the samples that the view finds, in its order."""
    scene = read_scene(workspace, t, view)
    if scene.answers is None:
        return [None]
    folder = tempfile.mkdtemp(dir=gr.utils.get_upload_folder())
    path = Path(folder) / f"review-{scene.answers.run.root.name}-{scene.split}.csv"
    path.write_bytes(review_csv(scene.answers, scene.found.tolist(), scene.tags or {}))
    return [str(path)]


def _draw_head(t: Words, scene: Scene) -> dict[str, Any]:
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
    """The button that leads on from a run without an answer, or with none that is known to be right."""
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


def _draw_choices(t: Words, scene: Scene) -> dict[str, Any]:
    scored = scene.answers is not None and scene.answers.right is not None
    kinds = scene.answers.slicings["question_type"].keys if scene.answers else []
    kind, counts = scene.view.get("type", ""), scene.counts or {}
    return {
        "by": gr.Dropdown(
            choices=[(t(f"errors.by_{by}" + ("_unscored" * (by == "answer" and not scored))), by) for by in BY],
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


def _layout(page: Page) -> dict[str, Any]:
    """The components by name, in the order of the page."""
    t, parts = page.t, dict[str, Any]()

    def put(name: str, part: Any) -> Any:
        parts[name] = part
        return part

    def dropdown(name: str, choices: list[tuple[str, str]], **options: Any) -> None:
        label = t(f"errors.{'kind' if name == 'type' else name}")
        put(name, gr.Dropdown(choices, label=label, elem_id=f"errors-{name}", min_width=180, **options))

    def button(name: str, **options: Any) -> None:
        put(
            name,
            gr.Button(
                t(f"errors.{name}"), size="sm", elem_id=f"errors-{name.replace('_', '-')}", min_width=120, **options
            ),
        )

    with put("top", gr.Row()):
        dropdown("run", [], scale=2)
        put("split", gr.Radio([], label=t("errors.split"), elem_id="errors-split", scale=2, min_width=220))
        dropdown("with", [], scale=2)
    put("notices", facts("errors-notices", t("errors.notice")))
    put("demo", quick_demo_button(page, "errors-start", visible=False))
    put("next", gr.Button(visible=False, variant="primary", elem_id="errors-next"))
    with put("body", gr.Column(visible=False)):
        put("headline", bars("errors-headline", t("errors.headline"), ["wb-long"]))
        with put("compare", gr.Column(visible=False, elem_id="errors-compare")):
            gr.Markdown("### " + t("errors.compare"))
            with gr.Row():
                with gr.Column(min_width=320):
                    put("pairs", bars("errors-pairs", t("errors.pair")))
                with gr.Column(min_width=320):
                    put("verdict", facts("errors-verdict", t("errors.verdict")))
            with gr.Accordion(t("errors.settings"), open=False):
                put("settings", facts("errors-settings", t("errors.settings")))
        with gr.Row():
            with gr.Column(min_width=340):
                put("slices_title", gr.Markdown())
                dropdown("by", [])
                put("slices", bars("errors-slices", t("errors.slices"), ["wb-long"]))
                with put("formed", gr.Column()):
                    gr.Markdown("### " + t("errors.near"))
                    put("near_note", gr.Markdown(elem_id="errors-near-note"))
                    put("near", bars("errors-near", t("errors.near"), ["wb-long"]))
            with put("scored", gr.Column(min_width=340)):
                gr.Markdown("### " + t("errors.matrix"))
                dropdown("type", [])
                put("matrix", matrix("errors-matrix", t("errors.matrix")))
                put("matrix_note", gr.Markdown(elem_id="errors-matrix-note"))
        gr.Markdown("## " + t("errors.samples"), elem_id="errors-samples")
        with gr.Row():
            put("show", gr.Radio([], label=t("errors.show"), elem_id="errors-show", scale=3, min_width=320))
            dropdown("sort", [(t(f"errors.sort_{name}"), name) for name in SORTS], scale=1)
            tags = [(t("errors.tag_any"), ""), *((t(f"errors.tag_{tag}"), tag) for tag in TAGS)]
            dropdown("tag", tags, scale=1)
        put("filters", facts("errors-filters", t("errors.filters")))
        with gr.Row():
            button("clear", scale=0)
            button("review", scale=0)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                put("gallery", gallery("errors-gallery", t("errors.gallery")))
                with gr.Row():
                    button("page_previous")
                    put("page", gr.Markdown(elem_id="errors-page"))
                    button("page_next")
            with put("detail", gr.Column(scale=2, min_width=320, elem_id="errors-detail")):
                _sample(t, put, button)
    return parts


def _sample(t: Words, put: Callable[[str, Any], Any], button: Callable[..., None]) -> None:
    """The components of one sample in full."""
    with gr.Row():
        button("sample_previous", elem_classes=["key-k"])
        button("sample_next", elem_classes=["key-j"])
    put("picture", picture("errors-picture", t("errors.picture")))
    put("facts", facts("errors-facts", t("errors.detail")))
    with gr.Row():
        for number, tag in enumerate(TAGS, start=1):
            button(f"tag_{tag}", elem_classes=[f"key-{number}"])
    put("links", links("errors-links", t("errors.detail")))
    gr.Markdown("### " + t("errors.same_image"))
    put("same_image", facts("errors-same-image", t("errors.same_image")))
