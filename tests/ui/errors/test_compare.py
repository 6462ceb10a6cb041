from pathlib import Path
from typing import Any

from tests.support.answered import answered
from ui.components.tab import View
from ui.components.words import Words
from ui.errors import tab as errors
from ui.workspace.workspace import Workspace


def draw(workspace: Workspace, view: View) -> dict[str, Any]:
    return errors.draw(workspace, Words("en"), view)


def test_a_run_against_one_that_answers_alike_is_tied(tmp_path: Path) -> None:
    rows = [("a", "is it?", "yes", "yes", 0.9), ("b", "is it?", "yes", "no", 0.9)]
    answered(tmp_path / "runs" / "a", rows)
    answered(tmp_path / "runs" / "b", rows, train={"seed": 1})
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    view: View = {"run": "a", "split": "val", "with": "b"}
    assert (
        draw(workspace, view)["verdict"]["rows"][0][1] == "Tied: both runs are right and wrong on the same questions."
    )
    assert draw(workspace, view)["settings"]["rows"] == [["train.seed", "–", "1"]]
    answered(tmp_path / "runs" / "c", [*rows[:1], ("b", "is it?", "yes", "yes", 0.9)])
    assert draw(workspace, view | {"with": "c"})["verdict"]["rows"][0][1].startswith("Tied: the interval")


def test_runs_that_cannot_be_compared_say_why(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    answered(runs / "a", [("a", "is it?", "yes", "yes", 0.9)])
    answered(runs / "b", [("z", "what?", "yes", "yes", 0.9)])
    drawn = draw(Workspace(runs, tmp_path), {"run": "a", "with": "b"})
    assert "are not the same" in drawn["pairs"]["empty"]
    assert drawn["compare"].visible
    assert "no run 'nobody'" in draw(Workspace(runs, tmp_path), {"run": "a", "with": "nobody"})["pairs"]["empty"]
