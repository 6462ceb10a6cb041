"""Explore: looking through a dataset of any size, by text and by kind, and at one sample with all its questions."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import gradio as gr

from ui.components.parts import Page, Tab, View, moved, view_of
from ui.components.words import Words
from ui.explore.layout import COLUMNS, layout
from ui.explore.panel import BARS, Drawn, draw_counts, draw_pictures, draw_report, draw_sample, draw_state
from ui.explore.scene import Scene, scene_of
from ui.workspace.workspace import Workspace
from vqa_core.data.index.selection import FACETS
from vqa_core.data.sources import EASY_VQA
from vqa_core.runs.examples import ColumnMap

NAME = "explore"
FIELDS = ("path", *(f"column_{name}" for name in COLUMNS))
TO_TOP = "() => document.querySelector('#explore-top')?.scrollIntoView({ block: 'nearest' })"
STATE = ("timer", "status")  # the data may have changed: then its index is made anew, and the timer draws it
TURNING = ("gallery", "page", "page_of", "page_previous", "page_next", *STATE)
SAMPLE = ("place", "previous", "next", "picture", "no_file", "facts", "links", *STATE)
OPENING = ("browse", "detail", *SAMPLE)
FOUND = ("browse", "detail", "notices", "found", "clear", *TURNING, "pager", *BARS, "per_image")
Parts = dict[str, Any]


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace, view = page.t, page.workspace, view_of(NAME)
    parts = layout(t)
    names = [name for name in parts if not name.startswith("column_")]
    outputs = [parts[name] for name in names]

    def values(drawn: Drawn) -> list[Any]:
        return [drawn.get(name, gr.skip()) for name in names]

    def show(view: View) -> list[Any]:
        return values(draw(workspace, t, scene_of(workspace, t, view)))

    def go(change: Callable[..., View], *given: Any) -> list[Any]:
        """Handlers get the old view, then what was chosen; what is drawn is the new one."""
        scene = scene_of(workspace, t, change(*given))
        return [scene.view, *values(draw(workspace, t, scene))]

    everything = [view, *outputs]
    for name, change in CHOICES.items():
        page.wire(parts[name].input, partial(go, change), [view, parts[name]], everything)
    _wire_filters(page, parts, view)
    _wire_moves(page, parts, view)

    def tick(view: View, stamp: str) -> list[Any]:
        scene = scene_of(workspace, t, view)
        drawn = draw_state(t, scene) if scene.stamp == stamp else draw(workspace, t, scene) | {"search": gr.skip()}
        return values(drawn)

    page.wire(parts["timer"].tick, tick, [view, parts["stamp"]], outputs)
    page.wire(parts["again"].click, partial(go, partial(tried_again, workspace)), view, everything)
    page.wire(parts["forget"].click, partial(go, partial(forgotten, workspace)), view, everything)
    fields = [parts[name] for name in FIELDS]
    page.wire(parts["open"].click, partial(go, partial(opened, workspace)), [view, *fields], everything)
    page.wire(parts["path"].submit, partial(go, partial(opened, workspace)), [view, *fields], everything)
    page.wire(parts["write_demo"].click, partial(go, partial(demo_opened, workspace)), view, everything)
    return Tab(NAME, view, outputs, show)


def _wire_filters(page: Page, parts: Parts, view: gr.JSON) -> None:
    """What is searched for, and the bars and findings that filter. Only what may change is an output: the browser
    spends time on every one, changed or not."""
    workspace, t = page.workspace, page.t

    def look(names: Sequence[str], change: Callable[..., View], stamp: str, *given: Any) -> list[Any]:
        scene = scene_of(workspace, t, change(*given))
        drawn = draw(workspace, t, scene) | caught_up(t, scene, stamp)
        return [scene.view, *(drawn.get(name, gr.skip()) for name in names)]

    found = [view, *(parts[name] for name in FOUND)]
    search = partial(look, FOUND, searched)  # the box is no output: one may have typed on
    box = [parts["stamp"], view, parts["search"]]
    page.wire(parts["search"].input, search, box, found, trigger_mode="always_last")
    page.wire(parts["search"].submit, search, box, found)
    for facet in (*BARS, "finding"):

        def picked(stamp: str, view: View, event: gr.EventData, facet: str = facet) -> list[Any]:
            return look(FOUND, toggled, stamp, view, facet, str(event.key))

        clicked = parts["findings" if facet == "finding" else facet].select
        page.wire(clicked, picked, [parts["stamp"], view], found)
    names = ("search", *FOUND)
    outputs = [view, *(parts[name] for name in names)]
    page.wire(parts["clear"].click, partial(look, names, cleared), [parts["stamp"], view], outputs)


def _wire_moves(page: Page, parts: Parts, view: gr.JSON) -> None:
    """From page to page and from sample to sample."""
    workspace, t = page.workspace, page.t

    def move(names: Iterable[str], change: Callable[..., View], stamp: str, view: View, *given: Any) -> list[Any]:
        scene = scene_of(workspace, t, change(scene_of(workspace, t, view), *given))
        drawn = draw_pictures(workspace, t, scene) | draw_sample(workspace, t, scene) | caught_up(t, scene, stamp)
        return [scene.view, *(drawn[name] for name in names)]

    def seen(stamp: str, view: View, event: gr.EventData) -> list[Any]:
        return move(OPENING, lambda scene: moved(scene.view, sample=str(event.key)), stamp, view)

    def wire(event: Any, names: Iterable[str], change: Callable[..., View], *given: Any) -> Any:
        outputs = [view, *(parts[name] for name in names)]
        return page.wire(event, partial(move, names, change), [parts["stamp"], view, *given], outputs)

    opening = [view, *(parts[name] for name in OPENING)]
    page.wire(parts["gallery"].select, seen, [parts["stamp"], view], opening).success(None, None, None, js=TO_TOP)
    wire(parts["back"].click, dict.fromkeys((*OPENING, *TURNING)), lambda scene: moved(scene.view, sample=None))
    for name, step in (("previous", -1), ("next", 1)):
        wire(parts[name].click, SAMPLE, partial(beside, step))
    for name, step in (("page_previous", -1), ("page_next", 1)):
        wire(parts[name].click, TURNING, partial(turned, step)).success(None, None, None, js=TO_TOP)
    wire(parts["page"].submit, TURNING, turned_to, parts["page"])


def draw(workspace: Workspace, t: Words, scene: Scene) -> Drawn:
    """A value for every part that a view draws."""
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


def caught_up(t: Words, scene: Scene, stamp: str) -> Drawn:
    """The state of the dataset; where the page, drawn at `stamp`, is behind it, the timer is set off to draw it all."""
    drawn = draw_state(t, scene)
    return {"status": drawn["status"], "timer": gr.Timer(active=True) if scene.stamp != stamp else drawn["timer"]}


def with_data(view: View, key: str) -> View:
    """Another dataset, from its start."""
    return {"data": key}


def with_run(view: View, run: str) -> View:
    """Another run's predictions over the same data; filters that are the run's own fall away."""
    kept = {name: value for name, value in view.items() if name != "tag" and (name, value) != ("split", "val")}
    return moved(kept, run=run, page=None)


def searched(view: View, text: str) -> View:
    """A text to look for."""
    return moved(view, q=text.strip(), page=None, sample=None)


def toggled(view: View, facet: str, key: str) -> View:
    """A filter set to `key`, or taken away where that was it."""
    return moved(view, **{facet: None if view.get(facet) == key else key}, page=None, sample=None)


def cleared(view: View) -> View:
    """No filter."""
    return moved(view, **dict.fromkeys(("q", *FACETS, "page", "sample")))


def beside(step: int, scene: Scene) -> View:
    """The next or previous sample; the same at the end."""
    if scene.selection is None or scene.image is None:
        return scene.view
    number = scene.selection.beside(scene.image.number, step)
    return scene.view if number is None else moved(scene.view, sample=number)


def turned(step: int, scene: Scene) -> View:
    """The next or previous page."""
    return moved(scene.view, page=max(1, scene.page + step), sample=None)


def turned_to(scene: Scene, number: float | None) -> View:
    """The page that was typed, or the nearest there is."""
    return moved(scene.view, page=max(1, int(number or 1)), sample=None)


def tried_again(workspace: Workspace, view: View) -> View:
    """Read the dataset again after a failure."""
    workspace.datasets.preprocess(workspace.datasets.get(view.get("data", "")), again=True)
    return view


def forgotten(workspace: Workspace, view: View) -> View:
    """Take the dataset from the list."""
    workspace.datasets.forget(view.get("data", ""))
    return {}


def opened(workspace: Workspace, view: View, path: str, *columns: str) -> View:
    """Open the dataset that was typed."""
    named = {name: text for name, text in zip(COLUMNS, columns) if text.strip()}
    return {"data": workspace.datasets.open(path, ColumnMap(**named) if named else None).key}


def demo_opened(workspace: Workspace, view: View) -> View:
    """Write easy-VQA below the folder of the datasets."""
    return {"data": workspace.datasets.open(EASY_VQA).key}


CHOICES: dict[str, Callable[[View, str], View]] = {"data": with_data, "run": with_run}
