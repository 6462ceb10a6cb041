"""What each choice and click on the Errors tab changes in its view, as plain functions (scene, value) -> changes."""

from collections.abc import Callable

from ui.errors.samples import neighbour
from ui.errors.scene import Scene

Changes = dict[str, object]
FROM_START: Changes = {"page": None, "sample": None}  # other samples are shown, so start at the first
NO_CELL: Changes = {"wanted": None, "given": None}
KEPT = ("run", "split", "with", "by", "sort")  # what stays of a view when its filters are cleared


def chooses(name: str, **further: object) -> Callable[[Scene, str | None], Changes]:
    """The change for a choice that the view has under that name."""
    return lambda _, value: FROM_START | further | {name: value}


def choose_run(scene: Scene, name: str | None) -> Changes:
    return dict.fromkeys(scene.view) | {part: scene.view.get(part) for part in ("split", "with", "by")} | {"run": name}


def choose_split(scene: Scene, name: str | None) -> Changes:
    return dict.fromkeys(scene.view) | {part: scene.view.get(part) for part in ("run", "with", "by")} | {"split": name}


def clear(scene: Scene) -> Changes:
    return {name: None for name in scene.view if name not in KEPT}


def drop_filter(_: Scene, name: str) -> Changes:
    return FROM_START | (NO_CELL if name == "cell" else {name: None})


def pick_slice(scene: Scene, key: str) -> Changes:
    name = "type" if scene.by == "question_type" else "slice"
    return FROM_START | NO_CELL | {name: None if scene.view.get(name) == key else key}


def pick_cell(scene: Scene, cell: str) -> Changes:
    """A cell of the matrix, by `row:column`."""
    row, _, column = cell.partition(":")
    keys = scene.answers.confusion(scene.part).keys if scene.answers else []
    if not all(text.isdecimal() and int(text) < len(keys) for text in (row, column)):
        return {}
    picked: Changes = {"wanted": keys[int(row)], "given": keys[int(column)]}
    if all(scene.view.get(name) == key for name, key in picked.items()):
        return FROM_START | NO_CELL
    return FROM_START | picked | {"show": "all"}


def pick_form(scene: Scene, form: str) -> Changes:
    return FROM_START | {"form": None if scene.form == form else form, "show": None if scene.form == form else "near"}


def pick_pair(scene: Scene, pair: str) -> Changes:
    return FROM_START | {"pair": None if scene.pair == pair else pair, "show": None if scene.pair == pair else "all"}


def pick_sample(scene: Scene, question_id: str) -> Changes:
    return {"sample": question_id, "page": scene.page}


def turn_page(scene: Scene, step: int) -> Changes:
    return {"page": scene.page + step, "sample": None}


CHOICES: dict[str, Callable[[Scene, str | None], Changes]] = {
    "run": choose_run,
    "split": choose_split,
    "with": chooses("with", pair=None),
    "by": chooses("by", slice=None),
    "type": chooses("type", **NO_CELL),
    "show": chooses("show"),
    "sort": chooses("sort"),
    "tag": chooses("tag"),
}
"""By component, what choosing a value changes."""

PICKS: dict[str, Callable[[Scene, str], Changes]] = {
    "slices": pick_slice,
    "matrix": pick_cell,
    "near": pick_form,
    "pairs": pick_pair,
    "filters": drop_filter,
    "gallery": pick_sample,
    "same_image": pick_sample,
}
"""By widget, what a click on the thing of a key changes."""

CLICKS: dict[str, Callable[[Scene], Changes]] = {
    "clear": clear,
    "page_previous": lambda scene: turn_page(scene, -1),
    "page_next": lambda scene: turn_page(scene, 1),
    "sample_previous": lambda scene: neighbour(scene, -1),
    "sample_next": lambda scene: neighbour(scene, 1),
}
"""By button, what a click changes."""
