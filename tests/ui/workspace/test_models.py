"""The page's models: which there are, when they are loaded, and when their memory is given back."""

import gc
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tiny import TINY_MODEL, tiny_competition, tiny_parts, tiny_picture
from ui.workspace import models as module
from ui.workspace.models import SHIPPED, Models
from ui.workspace.workspace import Workspace
from vqa_core import ROOT
from vqa_core.config import DataSettings, ModelSettings
from vqa_core.data.prepare import prepare
from vqa_core.files import InputError
from vqa_core.model.folder import save_model_folder
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import build_vlm
from vqa_core.runs.model_folder import Stage
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

QUESTION = ["What colour is the shape?"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    tiny_parts(folder)
    tiny_competition(folder / "data", train_images=3, test_images=2)
    for seed, name in enumerate("abcd"):
        run = RunDir(folder / "runs" / name)
        prepare(run, str(folder / "data"), DataSettings())
        if name != "d":
            write_model(run, folder, seed)
    return folder


def write_model(run: RunDir, parts: Path, seed: int = 0) -> None:
    """Random weights."""
    settings = ModelSettings(
        **TINY_MODEL, vision_tower=str(parts / "tower"), language_model=str(parts / "language-model")
    )
    vlm = build_vlm(settings, seed=seed)
    prepare_stage(vlm, Stage("align"))
    save_model_folder(run.model, vlm, Stage("align"), about={})


@pytest.fixture
def workspace(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three runs, `a` the newest, and one without a model; nothing shipped."""
    monkeypatch.setattr(module, "SHIPPED_FOLDER", tmp_path / "shipped")
    shutil.copytree(parts / "runs", tmp_path / "runs")
    for age, name in enumerate("abcd"):
        os.utime(tmp_path / "runs" / name, (time.time() - 60 * age,) * 2)
    return Workspace(tmp_path / "runs", tmp_path / "data")


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_run_with_weights_is_a_model_and_so_is_the_shipped_one(workspace: Workspace) -> None:
    models = Models(workspace.runs)
    assert models.names() == ["a", "b", "c"]
    (module.SHIPPED_FOLDER / "model").mkdir(parents=True)
    for name in ("vqa.json", "trained.safetensors"):
        (module.SHIPPED_FOLDER / "model" / name).write_bytes((workspace.runs / "c" / "model" / name).read_bytes())
    assert models.names() == ["a", "b", "c", SHIPPED]
    assert models.run(SHIPPED).root == module.SHIPPED_FOLDER
    (workspace.runs / "a").rename(workspace.runs / SHIPPED)
    assert sorted(models.names()) == ["b", "c", SHIPPED]
    assert models.run(SHIPPED).root == workspace.runs / SHIPPED
    (workspace.runs / SHIPPED / "model" / "vqa.json").unlink()  # the run's own weights are not whole
    assert models.run(SHIPPED).root == module.SHIPPED_FOLDER


@pytest.mark.parametrize("name", ["d", "nobody", "", "../runs/a", "a/", ".page", SHIPPED])
def test_a_name_is_never_a_path(name: str, workspace: Workspace) -> None:
    with pytest.raises(InputError, match=r"no trained model .*'a', 'b', 'c'"), Models(workspace.runs).engine(name):
        pass


def test_where_there_is_no_model_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHIPPED_FOLDER", tmp_path / "shipped")
    models = Models(tmp_path / "runs")
    assert models.names() == []
    with pytest.raises(InputError, match="Train one first"):
        models.run(SHIPPED)


def test_torch_is_not_imported_before_a_model_is_asked() -> None:
    code = "import sys, ui.ask.tab, ui.workspace.workspace; assert not {'torch', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_model_is_loaded_once_and_with_the_settings_of_its_run(workspace: Workspace) -> None:
    RunDir(workspace.runs / "a").write_section("predict", {"max_new_tokens": 3, "engine": "naive", "precision": "fp32"})
    models = Models(workspace.runs)
    with models.engine("a") as first:
        assert (first.settings.max_new_tokens, first.settings.engine) == (3, "shared")
    with models.engine("a") as second:
        assert second is first


def test_the_model_longest_unused_makes_room(workspace: Workspace) -> None:
    models = Models(workspace.runs, most=2)
    for name in ("a", "b", "a", "c"):
        with models.engine(name):
            pass
    assert [models.ready(name) for name in "abc"] == [True, False, True]


def test_weights_that_changed_are_read_again(workspace: Workspace, parts: Path) -> None:
    models = Models(workspace.runs)
    with models.engine("a") as old:
        before = old.ask(tiny_picture(0), QUESTION)
    write_model(RunDir(workspace.runs / "a"), parts, seed=7)
    assert not models.ready("a")
    with models.engine("a") as new:
        assert new is not old
        assert new.ask(tiny_picture(0), QUESTION) != before


def test_memory_is_given_back_when_nobody_asks(workspace: Workspace) -> None:
    models = Models(workspace.runs, idle_s=0.2)
    with models.engine("a") as engine:
        weights = weakref.ref(engine.vlm.model)
        time.sleep(0.4)  # longer than it may lie idle, but it is at work
        assert models.ready("a")
        del engine
    wait_until(lambda: not models.ready("a"))
    gc.collect()
    assert weights() is None


def test_a_model_in_use_again_is_not_dropped(workspace: Workspace) -> None:
    models = Models(workspace.runs, idle_s=0.6)
    with models.engine("a"):
        pass
    for _ in range(6):
        time.sleep(0.2)
        assert models.ready("a")
        with models.engine("a"):
            pass


def test_one_question_is_answered_at_a_time(workspace: Workspace) -> None:
    models = Models(workspace.runs)
    order: list[str] = []

    def ask(name: str) -> None:
        with models.engine("a"):
            order.append(f"{name} in")
            time.sleep(0.05)
            order.append(f"{name} out")

    threads = [threading.Thread(target=ask, args=[name]) for name in "xyz"]
    for thread in threads:
        thread.start()
    wait_until(lambda: models.busy)
    for thread in threads:
        thread.join()
    assert not models.busy
    assert all(order[at].split()[0] == order[at + 1].split()[0] for at in (0, 2, 4))


def test_a_question_that_fails_or_is_given_up_lets_the_next_one_in(workspace: Workspace) -> None:
    models = Models(workspace.runs)
    with pytest.raises(RuntimeError), models.engine("a"):
        raise RuntimeError("shapes differ")

    def asking():  # type: ignore[no-untyped-def]
        with models.engine("a") as engine:
            yield engine

    given_up = asking()
    next(given_up)
    assert models.busy
    thread = threading.Thread(target=given_up.close)  # as a browser that is closed, in another thread
    thread.start()
    thread.join()
    assert not models.busy


def test_a_model_is_loaded_in_the_background_where_that_works(workspace: Workspace) -> None:
    models = Models(workspace.runs)
    models.warm("a")
    models.warm("a")
    wait_until(lambda: models.ready("a"))
    (workspace.runs / "b" / "model" / "trained.safetensors").write_bytes(b"cut")
    models.warm("b")
    wait_until(lambda: not models._warming)
    assert not models.ready("b")
    with pytest.raises(Exception, match="no file of safetensors: it has 3 bytes"), models.engine("b"):
        pass
