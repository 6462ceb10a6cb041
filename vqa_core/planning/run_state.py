"""How far a run's folder has come, read from its files: may a training start there, continue, or start over?"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from vqa_core.config import DataSettings, settings_of
from vqa_core.data.prepare import tables_of
from vqa_core.drives import rename_folder, replace_file
from vqa_core.files import InputError, read_json
from vqa_core.runs.checkpoints import PLAN, steps_below
from vqa_core.runs.predictions import refuse_while_written
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
    """Whether the run has a checkpoint that is not yet at its last step, or whose model was not yet written."""
    progress = checkpoint_progress(run)
    return progress is not None and (progress[0] < progress[1] or _lacks_model(run, progress[0]))


def checkpoint_progress(run: RunDir) -> tuple[int, int] | None:
    """(step, total steps) of the newest readable checkpoint; None if there is none."""
    for step, path in reversed(steps_below(run.checkpoints)):
        try:
            return step, int(read_json(path / "trainer_state.json")["max_steps"])
        except (InputError, KeyError, TypeError, ValueError):
            continue
    return None


def discard_training(run: RunDir, *, checkpoints: bool = True, start: str = "") -> None:
    """Put what an earlier training has left out of the way of one that starts from its first step.

    Its model and what was made with it (`RunDir.of_model`) get `.earlier-1`, `-2`, ... into their names: beside the
    settings of the new training they would be taken for its. They stay if the new training starts from that model,
    the folder `start`. Its metrics and, unless they shall stay, its checkpoints are deleted. Raises InputError while
    answers are being written.
    """
    for path in sorted(run.predictions("test").parent.glob("*.jsonl")):
        refuse_while_written(path)
    if checkpoints:
        shutil.rmtree(run.checkpoints, ignore_errors=True)
    run.metrics.unlink(missing_ok=True)
    run.tracker.unlink(missing_ok=True)
    if not start or Path(start).resolve() != run.model.resolve():
        _set_aside([path for path in run.of_model() if path.exists()])


def _set_aside(paths: Sequence[Path]) -> None:
    """Give all of them the same number, which none has yet."""
    for number in count(1):
        moved = [_earlier(path, number) for path in paths]
        if not any(path.exists() for path in moved):
            break
    for path, target in zip(paths, moved, strict=True):
        (rename_folder if path.is_dir() else replace_file)(path, target)


def _earlier(path: Path, number: int) -> Path:
    """`submission.card.json` -> `submission.earlier-1.card.json`."""
    stem, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{stem}.earlier-{number}{dot}{suffixes}")


def _lacks_model(run: RunDir, step: int) -> bool:
    """Whether the training with a checkpoint at its last step, `step`, was stopped before it wrote its model."""
    if not (run.checkpoints / f"checkpoint-{step}" / PLAN).is_file():
        return False
    if not run.has_model:
        return True
    try:
        return bool(read_json(run.model / "vqa.json")["trained"]["steps"] != step)
    except (InputError, KeyError, TypeError):
        return False


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
