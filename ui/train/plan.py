"""What starting a training does: the run's name, the state of its folder, and the exact commands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ui.components.form import Sections
from ui.components.words import Words
from ui.workspace.workspace import Workspace
from vqa_core import ROOT
from vqa_core.config import DataSettings, ModelSettings, TrainSettings, read_config, settings_of
from vqa_core.data.sources import EASY_VQA
from vqa_core.data.texts.file_names import is_refused
from vqa_core.files import InputError
from vqa_core.planning.run_state import RunState, inspect_run
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.run_lock import refuse_in_use
from vqa_core.settings import flags_between

CONFIGS = ROOT / "configs"
KINDS = {"data": DataSettings, "model": ModelSettings, "train": TrainSettings}
LONGEST_NAME = 64
CHOICE_NEEDED = ("files", "other", "trained", "trained_other", "busy")
"""Kinds of RunState that a start never overwrites unless a way is chosen."""
QUICK_DEMO = ("demo-quick", {"max_steps": 30, "max_minutes": 6.0, "log_every": 1, "eval_every": 10,
                             "eval_questions": 200})  # fmt: skip
"""A preset and what is changed of it: under two minutes on two free cores, and six at most on busy ones."""

Commands = tuple[tuple[str, ...], ...]
_NAME = re.compile(r"[^\W_][\w.-]*")


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset: what `--data` and `--data-dir` are given, the folder it is or will be, and its columns if known.

    `dataset` is its key among the workspace's datasets, "" where it is not one yet.
    """

    key: str
    name: str
    argument: str
    root: Path
    data_dir: str = ""
    columns: ColumnMap | None = None
    dataset: str = ""


def list_presets() -> dict[str, Path]:
    """The configs that come with the workbench, by name."""
    return {path.stem: path for path in sorted(CONFIGS.glob("*.json"))}


def preset_sections(name: str) -> Sections:
    """The settings of a preset; the defaults where there is none of that name."""
    return sections_of(read_config(list_presets().get(name)))


def sections_of(config: Mapping[str, Any]) -> Sections:
    """The settings that a config's sections make."""
    return {name: settings_of(kind, dict(config), {}) for name, kind in KINDS.items()}


def list_sources(workspace: Workspace) -> dict[str, Source]:
    """The datasets that can be trained on, by key; easy-VQA is always one."""
    own = workspace.data / EASY_VQA
    usual = format_path(own) == str(Path("data") / EASY_VQA)
    found = {EASY_VQA: Source(EASY_VQA, EASY_VQA, EASY_VQA, own, "" if usual else format_path(own))}
    for dataset in workspace.datasets.all():
        root = dataset.root or dataset.folder
        if root.resolve() == own.resolve():
            found[EASY_VQA] = replace(found[EASY_VQA], dataset=dataset.key)
            continue
        if dataset.root and not (root / "train.csv").is_file():
            continue
        folder = format_path(dataset.folder)
        given = EASY_VQA if dataset.source == EASY_VQA else format_path(Path(dataset.source))
        argument, data_dir = (folder, "") if dataset.root else (given, folder)
        found[dataset.key] = Source(dataset.key, dataset.name, argument, root, data_dir, dataset.columns, dataset.key)
    return found


def format_path(path: Path) -> str:
    """The path as a person in the server's folder would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path.resolve())


def check_name(t: Words, name: str) -> str:
    """The name, if a run may have it; else an InputError that says which names it may have."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME or is_refused(name):
        raise InputError(t("train.wrong_name", name=name[:80], most=LONGEST_NAME))
    return name


def find_free_name(workspace: Workspace, name: str) -> str:
    """`name`, or `name-2` and so on: the first that no folder and no job has."""
    base = re.sub(r"-\d+$", "", name)
    taken = {job.run for job in workspace.jobs.active()}
    candidates = [name, *(f"{base}-{number}" for number in range(2, 10_000))]
    return next(n for n in candidates if not (workspace.runs / n).exists() and n not in taken)


def inspect_folder(workspace: Workspace, name: str, source: Source, data: DataSettings) -> RunState:
    """The state of the run `name`, a checked name; its kind is "busy" while a job works on it."""
    if workspace.jobs.active(run=name):
        return RunState("busy")
    return inspect_run(RunDir(workspace.runs / name), source.root, data)


def build_commands(
    workspace: Workspace, name: str, source: Source, preset: str, sections: Sections, there: RunState, way: str
) -> Commands:
    """Prepare if needed, then train; with flags only for settings that differ from the preset."""
    run = format_path(workspace.runs / name)
    if way == "resume":
        return (build_resume_command(run),)
    path, base = list_presets().get(preset), preset_sections(preset)
    config = ("--config", format_path(path)) if path else ()
    prepare = ["-m", "train.prepare", "--data", source.argument, "--run", run]
    if source.data_dir:
        prepare += ["--data-dir", source.data_dir]
    if base["data"] != DataSettings():
        prepare += config
    prepare += flags_between(base["data"], sections["data"])
    finetune = ["-m", "train.finetune", "--run", run, *config]
    for section in ("model", "train"):
        finetune += flags_between(base[section], sections[section])
    if way == "restart":
        finetune.append("--restart")
    ready = there.kind in ("prepared", "trained")
    return (tuple(finetune),) if ready else (tuple(prepare), tuple(finetune))


def build_resume_command(run: str) -> tuple[str, ...]:
    """Resume a stopped run with its own settings."""
    return ("-m", "train.finetune", "--run", run, "--resume")


def start(workspace: Workspace, t: Words, name: str, source: Source, preset: str, sections: Sections, way: str) -> str:
    """Start the commands and return the run's name; an InputError where its folder leaves a choice open."""
    name = check_name(t, name)
    there = inspect_folder(workspace, name, source, _data(sections))
    if there.kind == "busy":
        raise InputError(t("train.busy", run=name))
    needs_a_choice = there.kind in CHOICE_NEEDED
    if needs_a_choice and way not in there.ways:
        raise InputError(t("train.choose_way", run=name, free=find_free_name(workspace, name)))
    refuse_in_use(RunDir(workspace.runs / name))
    todo = build_commands(workspace, name, source, preset, sections, there, way if needs_a_choice else "")
    workspace.jobs.start("train", name, todo)
    return name


def start_quick_demo(workspace: Workspace, t: Words) -> str:
    """Start the demo's training under a free name, which is returned."""
    preset, changes = QUICK_DEMO
    sections = preset_sections(preset)
    sections["train"] = TrainSettings(**sections["train"].to_dict() | changes)
    name = find_free_name(workspace, "quick-demo")
    return start(workspace, t, name, list_sources(workspace)[EASY_VQA], preset, sections, "")


def _data(sections: Sections) -> DataSettings:
    data = sections["data"]
    assert isinstance(data, DataSettings)
    return data


def make_default_name(workspace: Workspace, source: str, preset: str) -> str:
    """A free name that says what is trained on what."""
    words = (re.sub(r"[^\w.-]+", "-", part).strip("-._") for part in (source, preset))
    clean = "-".join(filter(None, words))[: LONGEST_NAME - 6] or "run"
    return find_free_name(workspace, clean)
