"""Which datasets there are, and their indexes: made by processes of their own, which are killed here for real."""

import os
import shutil
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tiny import tiny_competition, tiny_run
from ui.workspace.datasets import Dataset, Datasets
from ui.workspace.index_job import IndexJob, IndexState
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError, read_json
from vqa_core.runs.examples import ColumnMap

PATIENCE_S = 60.0


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "runs").mkdir()
    return Workspace(tmp_path / "runs", tmp_path / "data")


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ready(datasets: Datasets, dataset: Dataset) -> None:
    wait(lambda: datasets.update_index(dataset).state is None)


def job_of(workspace: Workspace, dataset: Dataset) -> IndexJob:
    return IndexJob(workspace.cache / "indexes" / dataset.key)


def builder(job: IndexJob) -> int:
    """The process that builds: the one that has its folder on its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(job.folder.resolve()).encode() in words:
            return int(path.parent.name)
    return 0


def test_there_are_those_below_data_those_of_runs_and_those_opened(workspace: Workspace, tmp_path: Path) -> None:
    datasets = workspace.datasets
    assert (datasets.all(), datasets.default()) == ([], None)
    tiny_competition(workspace.data / "mine", train_images=2, test_images=1)
    (workspace.data / "no dataset").mkdir()
    run = tiny_run(tmp_path / "elsewhere", train_images=4, test_images=1)
    shutil.copytree(run.root, workspace.runs / "one")
    tiny_competition(tmp_path / "third" / "wrapped", train_images=2, test_images=1)
    opened = datasets.open(f" '{tmp_path / 'third'}' ")
    assert [dataset.name for dataset in datasets.all()] == ["data", "mine", "third"]
    assert opened.root == (tmp_path / "third" / "wrapped").resolve()
    of_run = datasets.of_run(workspace.run("one"))
    assert of_run is not None
    assert of_run == datasets.default()
    assert datasets.runs_of(of_run) == ["one"]
    assert Datasets(workspace.data, workspace.runs, workspace.cache).get(opened.key) == opened
    datasets.forget(opened.key)
    assert [dataset.name for dataset in datasets.all()] == ["data", "mine"]
    with pytest.raises(InputError, match="no dataset"):
        datasets.get("../../etc")
    wait(lambda: not job_of(workspace, opened).building)


def test_columns_are_those_typed_else_those_of_the_newest_run(workspace: Workspace, tmp_path: Path) -> None:
    folder = tiny_competition(tmp_path / "odd", train_images=2, test_images=1)
    for name in ("train.csv", "test.csv"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("question", "utterance", 1), encoding="utf-8")
    datasets = workspace.datasets
    dataset = datasets.open(str(folder))
    wait(lambda: (datasets.update_index(dataset).state or IndexState("")).stage == "failed")
    assert "no column 'question'" in (datasets.update_index(dataset).state or IndexState("")).error
    first = read_json(job_of(workspace, dataset).folder / "state.json")
    datasets.update_index(dataset)  # what failed is not tried again by looking at it
    assert read_json(job_of(workspace, dataset).folder / "state.json") == first
    dataset = datasets.open(str(folder), ColumnMap(question="utterance"))
    ready(datasets, dataset)
    assert datasets.index(dataset.key).images == 3


def test_data_that_changed_is_read_again_and_shown_as_it_was_meanwhile(workspace: Workspace) -> None:
    folder = tiny_competition(workspace.data / "mine", train_images=2, test_images=1)
    datasets = workspace.datasets
    dataset = datasets.all()[0]
    with pytest.raises(InputError, match="still being read"):
        datasets.index(dataset.key)
    ready(datasets, dataset)
    assert datasets.image_path(dataset.key, 0) == folder.resolve() / "image/train/train_0000.png"
    with pytest.raises(InputError, match="no image 3"):
        datasets.image_path(dataset.key, 3)
    tiny_competition(folder, train_images=5, test_images=1)
    status = datasets.update_index(dataset)
    assert status.state is not None
    assert status.index is not None
    assert status.index.images == 3
    ready(datasets, dataset)
    assert datasets.index(dataset.key).images == 6


def test_a_killed_build_is_told_and_tried_again_when_asked(workspace: Workspace, tmp_path: Path) -> None:
    tiny_competition(workspace.data / "mine", train_images=2, test_images=1)
    datasets = workspace.datasets
    dataset = datasets.all()[0]
    datasets.update_index(dataset)
    job = job_of(workspace, dataset)
    wait(lambda: builder(job) > 0)
    assert job.building
    job.start(str(dataset.folder), tmp_path, dataset.columns, "another")  # one process at a time
    assert (job.state() or IndexState("")).mark != "another"
    os.kill(builder(job), signal.SIGKILL)
    wait(lambda: not job.building)
    assert datasets.update_index(dataset).state == IndexState("failed", mark=(job.state() or IndexState("")).mark)
    assert not job.index.exists()
    datasets.update_index(dataset, again=True)
    ready(datasets, dataset)


def zipped(folder: Path, path: Path, train_images: int) -> str:
    """A zip at `path` of a new competition folder `folder`."""
    tiny_competition(folder, train_images=train_images, test_images=1)
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder.parent))
    return str(path)


def images(workspace: Workspace, dataset: Dataset) -> int:
    wait(lambda: workspace.datasets.get(dataset.key).root is not None)
    ready(workspace.datasets, workspace.datasets.get(dataset.key))
    return workspace.datasets.index(dataset.key).images


def test_another_zip_of_the_same_name_is_another_dataset(workspace: Workspace, tmp_path: Path) -> None:
    datasets = workspace.datasets
    first = datasets.open(zipped(tmp_path / "one", tmp_path / "a/open.zip", 2))
    waiting = datasets.open(zipped(tmp_path / "two", tmp_path / "b/open.zip", 3))  # the first may not be unpacked yet
    assert (images(workspace, first), images(workspace, waiting)) == (3, 4)
    assert datasets.open(str(tmp_path / "a/open.zip")) == datasets.get(first.key), "opened again, nothing new"
    again = datasets.open(zipped(tmp_path / "three", tmp_path / "a/open.zip", 5))  # fetched anew at the same place
    assert images(workspace, again) == 6
    assert images(workspace, first) == 3
    assert [dataset.name for dataset in datasets.all()] == ["open", "open-2", "open-3"]
    (workspace.data / "open/.extracted.json").write_text("[")
    assert datasets.open(str(tmp_path / "b/open.zip")).key == waiting.key


def test_a_zip_is_unpacked_below_data(workspace: Workspace, tmp_path: Path) -> None:
    dataset = workspace.datasets.open(zipped(tmp_path / "open", tmp_path / "한글 open.zip", 2))
    assert (dataset.root, dataset.name) == (None, "한글 open")
    wait(lambda: workspace.datasets.get(dataset.key).root is not None)
    dataset = workspace.datasets.get(dataset.key)
    ready(workspace.datasets, dataset)
    assert dataset.root == (workspace.data / "한글 open" / "open").resolve()
    assert workspace.datasets.image_path(dataset.key, 2).is_file()


@pytest.mark.parametrize("text", ["", "  ", "/nowhere/at/all", "\0", __file__])
def test_what_is_no_dataset_is_refused_and_not_remembered(workspace: Workspace, text: str) -> None:
    with pytest.raises(InputError):
        workspace.datasets.open(text)
    with pytest.raises(InputError, match="does not hold"):
        workspace.datasets.open(str(workspace.runs))
    assert workspace.datasets.all() == []


def test_a_damaged_list_of_opened_datasets_is_as_none(workspace: Workspace) -> None:
    workspace.cache.mkdir()
    (workspace.cache / "datasets.json").write_text("[1, 2")
    assert workspace.datasets.all() == []
