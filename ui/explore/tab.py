"""Explore: look through a dataset of any size, by text and by kind, and at one sample with all its questions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr

from ui.components.parts import Drawn, Parts
from ui.components.tab import Page, Tab, View, change_view
from ui.components.words import Words
from ui.explore.layout import COLUMNS, lay_out
from ui.explore.panel import BARS, SAMPLE, draw_counts, draw_pictures, draw_report, draw_sample, draw_state
from ui.explore.scene import Scene, scene_of
from ui.workspace.workspace import Workspace
from vqa_core.data.index.selection import FACETS
from vqa_core.data.sources import EASY_VQA
from vqa_core.runs.examples import ColumnMap

NAME = "explore"
COLUMN_FIELDS = {f"column_{name}": name for name in COLUMNS}  # text boxes for the names of columns
TO_TOP = "() => document.querySelector('#explore-top')?.scrollIntoView({ block: 'nearest' })"
STATE = ("timer", "status")  # if the data has changed, its index is made again and the timer draws it
TURNING = ("gallery", "page", "page_of", "page_previous", "page_next", *STATE)
STEPPING = (*SAMPLE, *STATE)
OPENING = ("browse", "detail", *STEPPING)
FILTERING = ("browse", "detail", "notices", "found", "clear", *TURNING, "pager", *BARS, "per_image")


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace, parts = page.t, page.workspace, lay_out(page.t, NAME)
    view = parts["view"]
    shown = parts.without("view", "write_demo", "again", "back", "open", *COLUMN_FIELDS)

    def show(view: View) -> Drawn:
        return draw(workspace, t, scene_of(workspace, t, view))

    def go(change: Callable[..., View], *given: Any) -> Drawn:
        """Draw the view that `change` makes of what the event gives it."""
        scene = scene_of(workspace, t, change(*given))
        return {"view": scene.view} | draw(workspace, t, scene)

    def tick(view: View, stamp: str) -> Drawn:
        scene = scene_of(workspace, t, view)
        if scene.stamp == stamp:
            return shown.unchanged() | draw_state(t, scene)
        return draw(workspace, t, scene) | {"search": gr.skip()}

    def wire(event: Callable[..., Any], change: Callable[..., View], inputs: Any) -> None:
        page.wire(event, partial(go, change), inputs, parts.only("view") | shown)

    page.wire(parts["timer"].tick, tick, [view, parts["stamp"]], shown)
    for name, change in CHOICES.items():
        wire(parts[name].input, change, [view, parts[name]])
    typed = parts.only("path", *COLUMN_FIELDS)
    wire(parts["open"].click, partial(open_data, workspace), typed)
    wire(parts["path"].submit, partial(open_data, workspace), typed)
    wire(parts["write_demo"].click, partial(open_demo, workspace), None)
    wire(parts["again"].click, partial(try_again, workspace), view)
    wire(parts["forget"].click, partial(forget, workspace), view)
    _wire_filters(page, parts)
    _wire_moves(page, parts)
    return Tab(NAME, view, shown, show)


def _wire_filters(page: Page, parts: Parts) -> None:
    """The search box, and the bars and findings that filter. Only parts that may change are outputs: the browser spends
    time on each of them, changed or not."""
    workspace, t, view, stamp = page.workspace, page.t, parts["view"], parts["stamp"]

    def look(names: Sequence[str], change: Callable[..., View], stamp: str, *given: Any) -> Drawn:
        scene = scene_of(workspace, t, change(*given))
        drawn = draw(workspace, t, scene) | catch_up(t, scene, stamp)
        return {"view": scene.view} | {name: drawn[name] for name in names}

    found = parts.only("view", *FILTERING)
    search = partial(look, FILTERING, search_for)  # the box is no output: one may have typed on
    page.wire(parts["search"].input, search, [stamp, view, parts["search"]], found, trigger_mode="always_last")
    page.wire(parts["search"].submit, search, [stamp, view, parts["search"]], found)
    for facet in (*BARS, "finding"):

        def picked(stamp: str, view: View, event: gr.EventData, facet: str = facet) -> Drawn:
            return look(FILTERING, toggle_filter, stamp, view, facet, str(event.key))

        page.wire(parts["findings" if facet == "finding" else facet].select, picked, [stamp, view], found)
    names = ("search", *FILTERING)
    page.wire(parts["clear"].click, partial(look, names, clear_filters), [stamp, view], parts.only("view", *names))


def _wire_moves(page: Page, parts: Parts) -> None:
    """From page to page and from sample to sample."""
    workspace, t, view, stamp = page.workspace, page.t, parts["view"], parts["stamp"]

    def move(names: Iterable[str], change: Callable[..., View], stamp: str, view: View, *given: Any) -> Drawn:
        scene = scene_of(workspace, t, change(scene_of(workspace, t, view), *given))
        drawn = draw_pictures(workspace, t, scene) | draw_sample(workspace, t, scene) | catch_up(t, scene, stamp)
        return {"view": scene.view} | {name: drawn[name] for name in names}

    def seen(stamp: str, view: View, event: gr.EventData) -> Drawn:
        return move(OPENING, lambda scene: change_view(scene.view, sample=str(event.key)), stamp, view)

    def wire(event: Callable[..., Any], names: Iterable[str], change: Callable[..., View], *given: Any) -> Any:
        return page.wire(event, partial(move, names, change), [stamp, view, *given], parts.only("view", *names))

    opening = parts.only("view", *OPENING)
    page.wire(parts["gallery"].select, seen, [stamp, view], opening).success(None, None, None, js=TO_TOP)
    wire(parts["back"].click, (*OPENING, *TURNING), lambda scene: change_view(scene.view, sample=None))
    for name, step in (("previous", -1), ("next", 1)):
        wire(parts[name].click, STEPPING, partial(step_to, step))
    for name, step in (("page_previous", -1), ("page_next", 1)):
        wire(parts[name].click, TURNING, partial(turn_page, step)).success(None, None, None, js=TO_TOP)
    wire(parts["page"].submit, TURNING, turn_to, parts["page"])


def draw(workspace: Workspace, t: Words, scene: Scene) -> Drawn:
    """Every part of the tab."""
    there = scene.index is not None
    choices = [(dataset.name, dataset.key) for dataset in scene.datasets]
    names = [name for name, _ in choices]
    choices = [(name if names.count(name) == 1 else f"{name} ({key})", key) for name, key in choices]
    drawn: Drawn = {
        "empty": gr.Column(visible=not scene.datasets),
        "choice": gr.Row(visible=bool(scene.datasets)),
        "body": gr.Row(visible=there),
        "data": gr.Dropdown(choices=choices, value=scene.dataset.key if scene.dataset else None),
        "run": gr.Dropdown(
            choices=[(t("explore.run_none"), ""), *((name, name) for name in scene.runs)],
            value=scene.run.root.name if scene.run else "",
        ),
        "search": scene.view.get("q", ""),
    }
    return (
        drawn
        | draw_state(t, scene)
        | draw_pictures(workspace, t, scene)
        | draw_sample(workspace, t, scene)
        | draw_counts(t, scene)
        | draw_report(t, scene)
    )


def catch_up(t: Words, scene: Scene, stamp: str) -> Drawn:
    """The state of the dataset. If the page was drawn at an older `stamp`, the timer starts and draws it anew."""
    drawn = draw_state(t, scene)
    return {"status": drawn["status"], "timer": gr.Timer(active=True) if scene.stamp != stamp else drawn["timer"]}


def with_data(_: View, key: str) -> View:
    """The view of another dataset, from its start."""
    return {"data": key}


def with_run(view: View, run: str) -> View:
    """The view with another run over the same data, without the filters that belong to a run."""
    kept = {name: value for name, value in view.items() if name != "tag" and (name, value) != ("split", "val")}
    return change_view(kept, run=run, page=None)


def search_for(view: View, text: str) -> View:
    """The view with a text to search for."""
    return change_view(view, q=text.strip(), page=None, sample=None)


def toggle_filter(view: View, facet: str, key: str) -> View:
    """The view with a filter set to `key`, or without it if it was `key` already."""
    return change_view(view, **{facet: None if view.get(facet) == key else key}, page=None, sample=None)


def clear_filters(view: View) -> View:
    """The view without filters."""
    return change_view(view, **dict.fromkeys(("q", *FACETS, "page", "sample")))


def step_to(step: int, scene: Scene) -> View:
    """The view of the next or previous sample; the same view at the end."""
    if scene.selection is None or scene.image is None:
        return scene.view
    number = scene.selection.beside(scene.image.number, step)
    return scene.view if number is None else change_view(scene.view, sample=number)


def turn_page(step: int, scene: Scene) -> View:
    """The view of the next or previous page."""
    return change_view(scene.view, page=max(1, scene.page + step), sample=None)


def turn_to(scene: Scene, number: float | None) -> View:
    """The view of the page that was typed, or the nearest there is."""
    return change_view(scene.view, page=max(1, int(number or 1)), sample=None)


def try_again(workspace: Workspace, view: View) -> View:
    """Read the dataset again after a failure."""
    workspace.datasets.update_index(workspace.datasets.get(view.get("data", "")), again=True)
    return view


def forget(workspace: Workspace, view: View) -> View:
    """Remove the dataset from the list."""
    workspace.datasets.forget(view.get("data", ""))
    return {}


def open_data(workspace: Workspace, typed: Mapping[str, str]) -> View:
    """Open the dataset whose path, and perhaps columns, were typed."""
    named = {column: typed[name] for name, column in COLUMN_FIELDS.items() if typed[name].strip()}
    return {"data": workspace.datasets.open(typed["path"], ColumnMap(**named) if named else None).key}


def open_demo(workspace: Workspace) -> View:
    """Write easy-VQA below the folder of the datasets."""
    return {"data": workspace.datasets.open(EASY_VQA).key}


CHOICES: dict[str, Callable[[View, str], View]] = {"data": with_data, "run": with_run}
