import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vqa_core.runs.run_dir import RunDir
from vqa_core.training.trackers import Tracker


def fake_tracker(monkeypatch: pytest.MonkeyPatch, fails: str = "") -> list[tuple[str, Any, Any]]:
    """Put a `trackio` in place that notes its calls and raises in the one named."""
    calls: list[tuple[str, Any, Any]] = []
    module = ModuleType("trackio")

    def call(name: str) -> Any:
        def act(*args: Any, **kwargs: Any) -> None:
            calls.append((name, args, kwargs))
            if name == fails:
                raise ConnectionError("no network")

        return act

    for name in ("init", "log", "finish"):
        setattr(module, name, call(name))
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.setattr(logging.getLogger("vqa"), "propagate", True)
    return calls


def use(tmp_path: Path) -> None:
    tracker = Tracker("trackio", RunDir(tmp_path / "mine"), {"train": {"epochs": 2}})
    tracker.log({"step": 3, "loss": 0.5}, 3)
    tracker.log({"step": 4, "loss": 0.4}, 4)
    tracker.finish()


def test_a_tracker_gets_the_run_s_name_its_settings_and_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_tracker(monkeypatch)
    use(tmp_path)
    assert calls == [
        ("init", (), {"project": "vqa-workbench", "name": "mine", "config": {"train": {"epochs": 2}}}),
        ("log", ({"loss": 0.5},), {"step": 3}),
        ("log", ({"loss": 0.4},), {"step": 4}),
        ("finish", (), {}),
    ]


@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_a_tracker_that_raises_is_left_out_with_a_warning(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = fake_tracker(monkeypatch, fails)
    use(tmp_path)
    assert calls[-1][0] == fails
    assert "trackio failed (no network) and is left out; metrics.jsonl goes on." in caplog.text


def test_a_tracker_that_is_not_installed_is_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_tracker(monkeypatch)
    monkeypatch.setitem(sys.modules, "trackio", None)  # what an import of a missing module finds
    use(tmp_path)
    assert "trackio failed" in caplog.text


def test_of_several_processes_only_the_first_speaks_to_the_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_tracker(monkeypatch)
    monkeypatch.setenv("RANK", "1")
    use(tmp_path)
    assert calls == []
