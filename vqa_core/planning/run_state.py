"""How far a run's folder has come, read from its files: may a training start there, continue, or start over?"""

import os
import shutil
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from vqa_core.config import DataSettings, settings_of
from vqa_core.data.prepare import tables_of
from vqa_core.files import InputError, read_json
from vqa_core.runs.checkpoints import steps_below
from vqa_core.runs.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class RunState:
    """What a folder holds for somebody who wants to train there on certain data.

    `kind` is one of

    - "free": nothing
    - "files": only files that no stage wrote, or notes and answers
    - "prepared", "other": this data, or other data; no training yet
    - "trained", "trained_other": a checkpoint or a model of this data, or of other data

    `ways` are the ways to train there all the same: "resume" (continue from the newest checkpoint), "restart" (discard
    the checkpoints) and "anew" (prepare the folder with the wanted data). `source` and `questions` describe the data in
    the folder, `step` is that of the newest checkpoint.
    """

    kind: str
    ways: tuple[str, ...] = ()
    source: str = ""
    questions: int = 0
    step: int = 0


def inspect_run(run: RunDir, root: Path, data: DataSettings) -> RunState:
    """The state of `run` for a training on the data in the folder `root`, split as `data` says."""
    steps = steps_below(run.checkpoints)
    trained = bool(steps) or run.model.exists()
    used = trained or run.predictions("test").parent.exists()
    config = run.read_config() if run.config.is_file() else {}
    record = config.get("dataset")
    if not isinstance(record, dict):
        if used:
            return RunState("trained_other")
        return RunState("files", ("anew",)) if _holds_other_files(run) else RunState("free")
    state = RunState(
        "prepared",
        source=str(record.get("source", "")),
        questions=_count_questions(record),
        step=steps[-1][0] if steps else 0,
    )
    if not _is_same_data(record, config.get("data"), root, data):
        # the predictions, too, were made with the old data: train.prepare refuses to replace it beneath them
        return replace(state, kind="trained_other") if used else replace(state, kind="other", ways=("anew",))
    if not trained:
        return state
    return replace(state, kind="trained", ways=("resume", "restart") if can_resume(run) else ("restart",))


def can_resume(run: RunDir) -> bool:
    """Whether the run has a checkpoint that is not yet at its last step."""
    progress = checkpoint_progress(run)
    return progress is not None and progress[0] < progress[1]


def checkpoint_progress(run: RunDir) -> tuple[int, int] | None:
    """(step, total steps) of the newest readable checkpoint; None if there is none."""
    for step, path in reversed(steps_below(run.checkpoints)):
        try:
            return step, int(read_json(path / "trainer_state.json")["max_steps"])
        except (InputError, KeyError, TypeError, ValueError):
            continue
    return None


def discard_training(run: RunDir) -> None:
    """Delete the checkpoints and metrics of a run and set its model aside, so that its training starts over.

    The model goes to `model.earlier-1`, `-2`, ...: beside the settings of the new training it would be taken for its.
    """
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    run.metrics.unlink(missing_ok=True)
    run.tracker.unlink(missing_ok=True)
    if run.model.is_dir():
        names = (run.root / f"model.earlier-{number}" for number in count(1))
        os.rename(run.model, next(path for path in names if not path.exists()))


def _holds_other_files(run: RunDir) -> bool:
    """Whether the folder holds anything but hidden files and what an interrupted `train.prepare` leaves."""
    prepared = {run.config, run.report, run.train, run.val, run.test, run.unanswered, run.llava, run.rows, run.log}
    return run.root.is_dir() and any(path not in prepared and path.name[0] != "." for path in run.root.iterdir())


def _count_questions(record: dict[str, Any]) -> int:
    """The training questions that a run's section `dataset` records; 0 if it is damaged."""
    counts = record.get("questions")
    questions = counts.get("train") if isinstance(counts, dict) else 0
    return questions if isinstance(questions, int) else 0


def _is_same_data(record: dict[str, Any], recorded_settings: Any, root: Path, data: DataSettings) -> bool:
    """Whether the run was prepared from the data in `root` as it is now, with the settings `data`."""
    try:
        same_folder = Path(record["root"]).resolve() == root.resolve()
        # settings that the section does not name have their defaults
        same_settings = settings_of(DataSettings, {"data": dict(recorded_settings or {})}, {}) == data
    except (InputError, KeyError, TypeError, ValueError, OSError):
        return False
    return same_folder and same_settings and ("tables" not in record or record["tables"] == tables_of(root))
