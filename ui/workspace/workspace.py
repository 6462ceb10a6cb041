"""Workspace: the folders that the page shows, and what it keeps beside the runs. The page has no other state."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ui.jobs.jobs import Jobs
from ui.workspace.datasets import Datasets
from ui.workspace.history import AnswerHistory
from ui.workspace.models import Models
from ui.workspace.pictures import Pictures
from vqa_core.files import InputError, named
from vqa_core.runs.run_dir import RunDir, list_runs


@dataclass(frozen=True)
class Workspace:
    """`runs` holds the runs, `data` the datasets; `runs/.page` what can be made again: jobs, indexes, thumbnails."""

    runs: Path = Path("runs")
    data: Path = Path("data")

    @property
    def cache(self) -> Path:
        return self.runs / ".page"

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.cache / "jobs")

    @cached_property
    def datasets(self) -> Datasets:
        return Datasets(self.data, self.runs, self.cache)

    @cached_property
    def pictures(self) -> Pictures:
        return Pictures(self.cache / "pictures")

    @cached_property
    def models(self) -> Models:
        return Models(self.runs)

    @cached_property
    def history(self) -> AnswerHistory:
        return AnswerHistory(self.cache / "asked")

    def run_names(self) -> list[str]:
        """The names of all runs, newest first."""
        return [run.root.name for run in list_runs(self.runs)]

    def run(self, name: str) -> RunDir:
        """The run of that name; an InputError unless it is one of `run_names`: a name is never a path."""
        known = self.run_names()
        if name not in known:
            listed = f" Runs: {named(known)}." if known else ""
            raise InputError(f"there is no run {name!r} in {self.runs}.{listed}")
        return RunDir(self.runs / name)
