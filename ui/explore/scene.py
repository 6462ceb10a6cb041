"""Scene: what a view of the Explore tab stands for, read from the files. Every address has one, whatever it says."""

import json
from dataclasses import dataclass, replace

from ui.components.sentences import translate
from ui.components.tab import View, change_view
from ui.components.words import Words
from ui.workspace.datasets import NOTHING_YET, Dataset, IndexStatus
from ui.workspace.workspace import Workspace
from vqa_core.data.index.index import DataIndex, IndexedImage
from vqa_core.data.index.run_layer import NO_RUN, RunLayer, layer_of
from vqa_core.data.index.selection import FACETS, PAGE, Filter, Selection, select
from vqa_core.files import InputError
from vqa_core.runs.run_dir import RunDir


@dataclass(frozen=True)
class Scene:
    """`view` is the `requested` view without what makes no sense, which `notices` name, and with the rest filled in.

    `dataset` is None where there are no datasets, `index` while it is being made. `image` is the sample shown in full.
    """

    view: View
    requested: View
    datasets: tuple[Dataset, ...] = ()
    dataset: Dataset | None = None
    runs: tuple[str, ...] = ()
    run: RunDir | None = None
    status: IndexStatus = NOTHING_YET
    layer: RunLayer = NO_RUN
    selection: Selection | None = None
    page: int = 1
    image: IndexedImage | None = None
    notices: tuple[str, ...] = ()

    @property
    def index(self) -> DataIndex | None:
        return self.status.index

    @property
    def filter(self) -> Filter:
        return filter_of(self.view)

    @property
    def stamp(self) -> str:
        """Changes when there is more to see of the dataset than before."""
        index = self.index
        return f"{self.dataset.key if self.dataset else ''} {index.fingerprint} {bool(index.report)}" if index else ""


def scene_of(workspace: Workspace, t: Words, view: View) -> Scene:
    """Read the scene of a view."""
    view = {str(name): str(value) for name, value in (view or {}).items()}
    there = tuple(workspace.datasets.all())
    scene = Scene(view, view, there)
    if not there:
        return replace(scene, view={})
    scene = _with_dataset(workspace, t, scene)
    index = scene.index
    if index is None:
        return scene
    scene = _with_run(workspace, t, scene, index)
    return _with_image(t, scene, index, select(index, scene.filter, scene.layer))


def _with_dataset(workspace: Workspace, t: Words, scene: Scene) -> Scene:
    datasets, key, run = workspace.datasets, scene.view.get("data", ""), scene.view.get("run", "")
    dataset = next((dataset for dataset in scene.datasets if dataset.key == key), None)
    notices = scene.notices
    if key and not dataset:
        notices += (t("explore.no_dataset", key=key),)
    if not dataset and run in workspace.run_names():
        dataset = datasets.of_run(workspace.run(run))
    dataset = dataset or datasets.default() or scene.datasets[0]
    view = scene.view if dataset.key == key else change_view(scene.view, data=dataset.key)
    if key and dataset.key != key:
        view = change_view(view, sample=None)  # a number of another dataset
    return replace(
        scene,
        view=view,
        dataset=dataset,
        runs=tuple(datasets.runs_of(dataset)),
        status=datasets.update_index(dataset),
        notices=notices,
    )


def _with_run(workspace: Workspace, t: Words, scene: Scene, index: DataIndex) -> Scene:
    name = scene.view.get("run", "")
    if not name:
        return scene
    if name not in scene.runs:
        notices = (*scene.notices, t("explore.no_run", run=name))
        return replace(scene, view=change_view(scene.view, run=None), notices=notices)
    run = workspace.run(name)
    try:
        return replace(scene, run=run, layer=layer_of(run, index))
    except InputError as error:  # a damaged file of the run: the data is shown all the same
        return replace(scene, run=run, notices=(*scene.notices, translate(str(error), t)))


def _with_image(t: Words, scene: Scene, index: DataIndex, selection: Selection) -> Scene:
    view = scene.view
    page = selection.page(number_in(view, "page") or 1)[0]
    named = view.get("sample", "")
    if "data" in scene.requested:
        number = number_in(view, "sample")
    else:  # numbers are a dataset's own; another tab names the question
        number = index.image_of(named, test=view.get("split") == "test") if named else None
    image = index.image(number) if number is not None and number < index.images else None
    notices = scene.notices if image or not named else (*scene.notices, t("explore.no_sample", sample=named))
    if image:
        place = selection.position(image.number)
        page = page if place is None else place // PAGE + 1
    view = change_view(view, page=page if page > 1 else None, sample=image.number if image else None)
    return replace(scene, view=view, selection=selection, page=page, image=image, notices=notices)


def filter_of(view: View) -> Filter:
    """The filter that a view names."""
    named = {name: view[name] for name in FACETS if view.get(name)}
    if "answer" in named:
        named["answer"] = unquoted(named["answer"])
    return Filter(text=view.get("q", ""), **named)


def quoted(answer: str) -> str:
    """An answer as a view holds it: an empty one, which a view would leave out, in double quotes."""
    return json.dumps(answer, ensure_ascii=False) if not answer or answer.startswith('"') else answer


def unquoted(text: str) -> str:
    """The answer that `quoted` was given."""
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def number_in(view: View, name: str) -> int | None:
    """A number of at least 0 in a view; None where there is none."""
    text = view.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
