"""The commands that answer a split of a run, and what the run's files say about its answers."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ui.components.tab import View
from ui.jobs.jobs import Job
from ui.workspace.workspace import Workspace
from vqa_core import ROOT
from vqa_core.config import PredictSettings, settings_of
from vqa_core.files import InputError, changed_s, read_json
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.watching import count_lines
from vqa_core.settings import flag_of

KIND = "predict"
SPLITS = ("val", "test")
DEMO = "demo"

Command = tuple[str, ...]


def build_prediction_commands(
    run: RunDir, split: str, settings: PredictSettings, *, restart: bool = False
) -> list[Command]:
    """What a person would type to answer a split and, where its answers are known, to score them."""
    place = ("--run", str(run.root), "--split", split)
    commands: list[Command] = [
        ("-m", "eval.predict", *place, *_flags(settings), *(["--restart"] if restart else [])),
    ]
    if split == "val":
        commands.append(("-m", "eval.score", *place))
    elif solution := _solution(run):
        commands.append(("-m", "eval.score", *place, "--answers", _shown(solution)))
    return commands


def start_prediction(
    workspace: Workspace, name: str, split: str, settings: PredictSettings, *, restart: bool = False
) -> Job:
    """Start or resume the answers to a split of the run `name`; an InputError where it has no model or no questions."""
    run = workspace.run(name)
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r}; choose from {', '.join(SPLITS)}.")
    if not run.has_model:
        raise InputError(f"{run.model} holds no trained model. Train one in the tab Train, or choose another run.")
    if not questions_of(run, split):
        raise InputError(f"{run.root} has no questions of the split {split!r}.")
    return workspace.jobs.start(KIND, name, build_prediction_commands(run, split, settings, restart=restart))


def start_demo(workspace: Workspace) -> View:
    """Start what `make demo` does, and return the view that shows it."""
    workspace.jobs.start(DEMO, DEMO, build_demo_commands(workspace))
    return {"run": DEMO, "split": "test"}


def build_demo_commands(workspace: Workspace) -> list[Command]:
    """What `make demo` does: easy-VQA's test questions, answered by the model that comes with the workbench."""
    run, config = ("--run", str(workspace.runs / DEMO)), ("--config", _shown(ROOT / "configs" / "demo.json"))
    split = ("--split", "test")
    # the first command writes it if it is not there
    data = workspace.data / "easy-vqa" if (workspace.data / "easy-vqa").is_dir() else Path("data") / "easy-vqa"
    source = str(data) if data.is_dir() else "easy-vqa"
    return [
        ("-m", "train.prepare", "--data", source, *run, *config),
        ("-m", "eval.predict", *run, "--model", _shown(ROOT / "demo" / "model"), *config, *split),
        ("-m", "eval.score", *run, *split, "--answers", str(data / "solution.csv")),
        ("-m", "eval.submit", *run, "--data", str(data)),
    ]


def choose_run_and_split(workspace: Workspace, view: View) -> tuple[str, str]:
    """The run and split of the view; without them the newest run, or one that is being made; "" where there is none."""
    names = workspace.run_names()
    name = view.get("run", "")
    if name not in names and not (name and workspace.jobs.active(name)):
        making = [job.run for job in workspace.jobs.active(kind=DEMO)] if not names else []
        name = (names or making or [""])[0]
    split = view.get("split", "")
    return name, split if split in SPLITS else "test"


def last_job(workspace: Workspace, name: str, split: str) -> Job | None:
    """The newest job that answers this split of the run; None where somebody has answered since without the page."""
    jobs = (job for job in workspace.jobs.list() if job.run == name)
    job = next((job for job in jobs if any(_answers(command, split) for command in job.commands)), None)
    return None if job and job.before(changed_s(RunDir(workspace.runs / name).predictions(split))) else job


def questions_of(run: RunDir, split: str) -> int:
    """How many questions a split of the run has."""
    return count_lines(run.root / f"{split}.jsonl")


def settings_used(run: RunDir) -> PredictSettings:
    """The settings of the run's last prediction; the defaults if there was none, or it has no valid ones."""
    try:
        return settings_of(PredictSettings, {"predict": run.read_config().get("predict", {})}, {})
    except (InputError, TypeError, ValueError):
        return PredictSettings()


def score_of(run: RunDir, split: str) -> dict[str, Any] | None:
    """What `eval.score` found for a split; None where it has not run yet."""
    scores = read_json(run.score) if run.score.is_file() else {}
    score = scores.get(split) if isinstance(scores, Mapping) else None
    return dict(score) if isinstance(score, Mapping) else None


def _flags(settings: PredictSettings) -> list[str]:
    """The flags of the settings that are not the defaults."""
    defaults = PredictSettings().to_dict()
    given = {name: value for name, value in settings.to_dict().items() if value != defaults.get(name)}
    return [text for name, value in given.items() for text in (flag_of(name), str(value))]


def _solution(run: RunDir) -> Path | None:
    """The file of the right answers to the test questions, where the dataset has one."""
    try:
        solution = run.data_root() / "solution.csv"
    except (InputError, KeyError, TypeError):
        return None
    return solution if solution.is_file() else None


def _answers(command: Command, split: str) -> bool:
    return "eval.predict" in command and ("--split", split) in itertools.pairwise(command)


def _shown(path: Path) -> str:
    """A file of the workbench, as a person in the server's folder would type it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
