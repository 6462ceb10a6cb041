"""The table of runs: one row per run, read from its files, and the comparison with the pinned baseline.

The contents of a file are cached until it changes, so a table of hundreds of runs costs little more than a `stat` of
each file.
"""

import statistics
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from vqa_core.files import InputError, read_json, read_json_lines, stamp_of, write_json
from vqa_core.runs.metrics import seconds_per_step
from vqa_core.runs.predictions import read_predictions
from vqa_core.runs.run_dir import RunDir, list_runs, with_model
from vqa_core.scoring.comparison import Paired, compare
from vqa_core.settings import differing_settings
from vqa_core.submission.history import list_submissions

STATUSES = ("started", "prepared", "partly trained", "trained", "predicted", "scored", "submitted")
"""The progress of a run, by the files it has."""

PIN = "baseline.json"
KEPT = 4096  # files to cache

T = TypeVar("T")
Stamp = tuple[str, int, int]
"""A file: path, modification time in ns, size in bytes; both numbers are 0 if it is missing."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The mean of `metric` over `n` questions.

    `low` and `high` are None if there is no interval, as for the accuracy that training measures on a few questions.
    """

    metric: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in one row.

    `data` is the value of `--data`; `stage` is what is trained ("" for nothing); `speed` is in questions per second of
    training; `public_score` is that of the newest submission with one, as typed; `changed` is in seconds since 1970;
    `problems` says what could not be read, one sentence each.
    """

    name: str
    status: str
    data: str = ""
    stage: str = ""
    validation: Measure | None = None
    test: Measure | None = None
    speed: float | None = None
    public_score: str = ""
    changed: float = 0.0
    config: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_rows(folder: Path) -> list[RunRow]:
    """One row per run below `folder`, newest first. A damaged file leaves only its part of the row empty."""
    return [read_row(run) for run in list_runs(folder)]


def read_row(run: RunDir) -> RunRow:
    """The row of one run."""
    files = {
        "config": run.config,
        "score": run.score,
        "metrics": run.metrics,
        "model": run.model / "vqa.json",
        "submissions": run.submissions,
        "submission": run.submission,
        "data": run.train,
    }
    stamps = {name: _stamp(path) for name, path in files.items()}
    answers = [_stamp(path) for path in run.predictions("test").parent.glob("*.jsonl")]
    problems: list[str] = []

    def part(name: str, reader: Callable[[Stamp], tuple[T, str]]) -> T:
        value, problem = reader(stamps[name])
        problems.extend([problem] if problem else [])
        return value

    config, model = part("config", _read_config), part("model", _read_config)
    config = with_model(config, model)
    scores = part("score", _read_scores)
    dataset, train = _section(config, "dataset"), _section(config, "train")
    kind = str(_section(model, "stage").get("name", "")) or str(train.get("stage", ""))
    present = {name for name, stamp in stamps.items() if stamp[1]}
    return RunRow(
        name=run.root.name,
        status=_find_status(present, any(size for _, _, size in answers), bool(dataset)),
        data=str(dataset.get("source", "")),
        stage=kind,
        validation=scores.get("val") or _validation_of(model),
        test=scores.get("test"),
        speed=_compute_speed(part("metrics", _read_step_seconds), train, _section(model, "trained")),
        public_score=part("submissions", _read_public_score),
        changed=max(time for _, time, _ in (*stamps.values(), *answers)) / 1e9,
        config=config,
        problems=tuple(problems),
    )


def differences(baseline: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """`{"train.seed": (0, 1)}`: settings of the baseline and of a run that differ.

    A section that only one of them has is one entry, `train.*`. Data differ only if the questions do, whatever their
    folder and columns, and are one entry with the names of both.
    """
    ours, theirs = (dict(each) for each in (baseline, config))
    data = [_section(each, "dataset") for each in (ours, theirs)]
    found: dict[str, tuple[Any, Any]] = {}
    for name in [*ours, *theirs]:
        if name == "dataset" or (name in ours) == (name in theirs):
            continue
        found[f"{name}.*"] = ("…" if name in ours else None, "…" if name in theirs else None)
    both = ours.keys() & theirs.keys() - {"dataset"}
    found |= differing_settings({n: v for n, v in ours.items() if n in both}, {n: theirs[n] for n in both})
    if data[0].get("fingerprint") != data[1].get("fingerprint"):
        found["dataset"] = (data[0].get("source"), data[1].get("source"))
    return found


def against(run: RunDir, baseline: RunDir, split: str = "val") -> Paired | None:
    """Exact match of `run` (a) against `baseline` (b) on the same questions of a split.

    None if the two have no answers to the same questions, or if the right answers are not known.
    """
    files = [of.root / f"{split}.jsonl" for of in (run, baseline)]
    answers = [of.predictions(split) for of in (run, baseline)]
    return _compare_files(*(_stamp(path) for path in (*files, *answers)))


def pinned(folder: Path) -> str:
    """The name of the baseline of the runs below `folder`; "" if none is pinned, or if the run is gone."""
    value, _ = _read_config(_stamp(folder / PIN))
    name = value.get("run", "")
    known = isinstance(name, str) and name in {run.root.name for run in list_runs(folder)}
    return name if known else ""


def pin(folder: Path, name: str) -> None:
    """Pin the run `name` as the baseline of the runs below `folder`; "" unpins it."""
    if name:
        write_json(folder / PIN, {"run": name})
    else:
        (folder / PIN).unlink(missing_ok=True)


def _stamp(path: Path) -> Stamp:
    return str(path), *stamp_of(path)


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _find_status(present: Collection[str], answered: bool, prepared: bool) -> str:
    marks = {
        "submitted": "submission" in present,
        "scored": "score" in present,
        "predicted": answered,
        "trained": "model" in present,
        "partly trained": "metrics" in present,
        "prepared": prepared and "data" in present,
    }
    return next((status for status, reached in marks.items() if reached), "started")


def _read_object(stamp: Stamp) -> tuple[Mapping[str, Any], str]:
    """The JSON object in a file, {} if the file is missing, and what is wrong with the file."""
    if not stamp[1]:
        return {}, ""
    try:
        value = read_json(Path(stamp[0]))
    except (InputError, OSError) as error:
        return {}, str(error)
    return (
        (value, "")
        if isinstance(value, dict)
        else ({}, f"{stamp[0]} is not a JSON object. Correct it, or move it away.")
    )


_read_config = lru_cache(KEPT)(_read_object)


@lru_cache(KEPT)
def _read_scores(stamp: Stamp) -> tuple[Mapping[str, Measure], str]:
    """Split -> its score, and what is wrong with the file."""
    scores, problem = _read_object(stamp)
    measures = {}
    for split, score in scores.items():
        try:
            metric = score["metric"]
            overall = score["overall"][metric]
            numbers = (float(overall["value"]), int(overall["n"]), float(overall["low"]), float(overall["high"]))
        except (KeyError, TypeError, ValueError):
            problem = problem or f"{stamp[0]} has no valid score of {split!r}. Write it with `python -m eval.score`."
            continue
        measures[split] = Measure(str(metric), *numbers)
    return measures, problem


def _validation_of(model: Mapping[str, Any]) -> Measure | None:
    """The validation accuracy that training measured for the weights it kept."""
    validation = _section(model, "validation")
    try:
        return Measure("exact", float(validation["accuracy"]), int(validation["questions"])) if validation else None
    except (KeyError, TypeError, ValueError):
        return None


@lru_cache(KEPT)
def _read_step_seconds(stamp: Stamp) -> tuple[float | None, str]:
    """The median seconds per step over the intervals between lines of metrics, without those with a validation."""
    if not stamp[1]:
        return None, ""
    try:
        paces = seconds_per_step(read_json_lines(Path(stamp[0])))
    except (InputError, OSError) as error:
        return None, str(error)
    except (KeyError, TypeError):
        return None, f"{stamp[0]} has a line that is not a training metric, so the training speed is not known."
    return (statistics.median(paces) if paces else None), ""


def _compute_speed(seconds: float | None, train: Mapping[str, Any], trained: Mapping[str, Any]) -> float | None:
    """Questions per second, from the mean step if training has ended, else from a full step."""
    try:
        if trained.get("steps"):
            questions = float(trained["questions"]) / float(trained["steps"])
        else:
            questions = float(train["batch_questions"]) * float(train["accumulate"])
        return questions / seconds if seconds else None
    except (KeyError, TypeError, ValueError):
        return None


@lru_cache(KEPT)
def _read_public_score(stamp: Stamp) -> tuple[str, str]:
    """The score of the newest submission that has one; entering a score changes the folder's modification time."""
    if not stamp[1]:
        return "", ""
    try:
        kept = list_submissions(RunDir(Path(stamp[0]).parent))
    except (InputError, OSError, AttributeError) as error:
        return "", str(error)
    return next((item.public_score for item in kept if item.public_score), ""), ""


@lru_cache(KEPT)
def _compare_files(*stamps: Stamp) -> Paired | None:
    """Compare two runs; `stamps` are those of both files of questions, then of both files of answers."""
    if not all(stamp[1] for stamp in stamps):
        return None
    paths = [Path(stamp[0]) for stamp in stamps]
    split = paths[0].stem
    runs = [RunDir(path.parent) for path in paths[:2]]
    try:
        ours, theirs = ({e.question_id: e for e in run.examples(split)} for run in runs)
        if ours != theirs:
            return None
        return compare(list(ours.values()), *map(read_predictions, paths[2:])).paired
    except (InputError, OSError):
        return None
