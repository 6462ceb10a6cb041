"""The table of runs: what the files of each run say of it in one row, and how it compares with the pinned baseline.

What is read from a file is kept until the file changes, so that a table of hundreds of runs costs little more than
asking the disk when each file was written.
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
from vqa_core.runs.run_dir import RunDir, list_runs
from vqa_core.scoring.comparison import Paired, compare
from vqa_core.settings import differing_settings
from vqa_core.submission.history import list_submissions

STATUSES = ("started", "prepared", "partly trained", "trained", "predicted", "scored", "submitted")
"""How far a run has come, by the files it has."""

PIN = "baseline.json"
KEPT = 4096  # files whose contents are kept in memory

T = TypeVar("T")
Stamp = tuple[str, int, int]
"""A file: path, time of its last change in ns, size in bytes; the two numbers are 0 where it is not there."""


@dataclass(frozen=True, slots=True)
class Measure:
    """How right answers are: the mean of `metric` over `n` questions.

    `low` and `high` are None where no interval is known: training measures on a few questions while it goes on.
    """

    metric: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in one row.

    `data` is what was given as `--data`; `stage` what is trained ("" where nothing is); `speed` questions a second in
    training; `public_score` that of the newest submission that has one, as it was typed; `changed` seconds since 1970;
    `problems` says what of the run could not be read, a sentence each.
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
    """A row for each run below `folder`, newest first. A damaged file empties its part of the row, no more."""
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

    config = part("config", _config)
    model = part("model", _config)
    scores = part("score", _scores)
    dataset, train = _section(config, "dataset"), _section(config, "train")
    kind = str(_section(model, "stage").get("name", "")) or str(train.get("stage", ""))
    there = {name for name, stamp in stamps.items() if stamp[1]}
    return RunRow(
        name=run.root.name,
        status=_status(there, any(size for _, _, size in answers), bool(dataset)),
        data=str(dataset.get("source", "")),
        stage=kind,
        validation=scores.get("val") or _while_training(model),
        test=scores.get("test"),
        speed=_speed(part("metrics", _seconds_a_step), train, _section(model, "trained")),
        public_score=part("submissions", _public_score),
        changed=max(time for _, time, _ in (*stamps.values(), *answers)) / 1e9,
        config=config,
        problems=tuple(problems),
    )


def differences(baseline: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """`{"train.seed": (0, 1)}`: settings of the baseline and of a run that differ.

    A section that one of the two has not is one line, `train.*`. Of the data, its name stands for it, and only where
    the questions differ: where it lies and how it was read don't count.
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
    """Exact match of `run` (a) and `baseline` (b) on the same questions of a split.

    None where the two have no answers to the same questions, or the right answers are not known.
    """
    files = [of.root / f"{split}.jsonl" for of in (run, baseline)]
    answers = [of.predictions(split) for of in (run, baseline)]
    return _paired(*(_stamp(path) for path in (*files, *answers)))


def pinned(folder: Path) -> str:
    """The name of the baseline of the runs below `folder`; "" where none is pinned or the run is gone."""
    value, _ = _config(_stamp(folder / PIN))
    name = value.get("run", "")
    known = isinstance(name, str) and name in {run.root.name for run in list_runs(folder)}
    return name if known else ""


def pin(folder: Path, name: str) -> None:
    """Make the run `name` the baseline of the runs below `folder`; "" unpins it."""
    if name:
        write_json(folder / PIN, {"run": name})
    else:
        (folder / PIN).unlink(missing_ok=True)


def _stamp(path: Path) -> Stamp:
    return str(path), *stamp_of(path)


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _status(there: Collection[str], answered: bool, prepared: bool) -> str:
    marks = {
        "submitted": "submission" in there,
        "scored": "score" in there,
        "predicted": answered,
        "trained": "model" in there,
        "partly trained": "metrics" in there,
        "prepared": prepared and "data" in there,
    }
    return next((status for status, reached in marks.items() if reached), "started")


def _object(stamp: Stamp) -> tuple[Mapping[str, Any], str]:
    """A JSON object, and what is wrong with its file; {} where there is none."""
    if not stamp[1]:
        return {}, ""
    try:
        value = read_json(Path(stamp[0]))
    except (InputError, OSError) as error:
        return {}, str(error)
    return (
        (value, "")
        if isinstance(value, dict)
        else ({}, f"{stamp[0]} holds no JSON object. Correct it, or move it away.")
    )


_config = lru_cache(KEPT)(_object)


@lru_cache(KEPT)
def _scores(stamp: Stamp) -> tuple[Mapping[str, Measure], str]:
    """By split."""
    scores, problem = _object(stamp)
    found = {}
    for split, score in scores.items():
        try:
            metric = score["metric"]
            overall = score["overall"][metric]
            numbers = (float(overall["value"]), int(overall["n"]), float(overall["low"]), float(overall["high"]))
        except (KeyError, TypeError, ValueError):
            problem = problem or f"{stamp[0]} holds no score of {split!r}. Write it with `python -m eval.score`."
            continue
        found[split] = Measure(str(metric), *numbers)
    return found, problem


def _while_training(model: Mapping[str, Any]) -> Measure | None:
    """What training measured of the weights that it kept."""
    found = _section(model, "validation")
    try:
        return Measure("exact", float(found["accuracy"]), int(found["questions"])) if found else None
    except (KeyError, TypeError, ValueError):
        return None


@lru_cache(KEPT)
def _seconds_a_step(stamp: Stamp) -> tuple[float | None, str]:
    """The median over the intervals between lines of metrics, those with a validation in them left out."""
    if not stamp[1]:
        return None, ""
    try:
        paces = seconds_per_step(read_json_lines(Path(stamp[0])))
    except (InputError, OSError) as error:
        return None, str(error)
    except (KeyError, TypeError):
        return None, f"{stamp[0]} holds a line that is no metrics of a training, so its speed is not known."
    return (statistics.median(paces) if paces else None), ""


def _speed(seconds: float | None, train: Mapping[str, Any], trained: Mapping[str, Any]) -> float | None:
    """Questions a second: those of a mean step where training ended, else those of a full step."""
    try:
        if trained.get("steps"):
            questions = float(trained["questions"]) / float(trained["steps"])
        else:
            questions = float(train["batch_questions"]) * float(train["accumulate"])
        return questions / seconds if seconds else None
    except (KeyError, TypeError, ValueError):
        return None


@lru_cache(KEPT)
def _public_score(stamp: Stamp) -> tuple[str, str]:
    """That of the newest submission that has one; the folder's time changes when a score is told."""
    if not stamp[1]:
        return "", ""
    try:
        kept = list_submissions(RunDir(Path(stamp[0]).parent))
    except (InputError, OSError, AttributeError) as error:
        return "", str(error)
    return next((item.public_score for item in kept if item.public_score), ""), ""


@lru_cache(KEPT)
def _paired(*stamps: Stamp) -> Paired | None:
    """`stamps` are those of both runs' questions and of both runs' answers."""
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
