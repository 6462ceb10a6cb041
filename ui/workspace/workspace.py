"""Workspace: the folders that the page shows, and what it keeps beside the runs. The page has no other state."""

import contextlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from ui.jobs.jobs import Jobs
from ui.workspace.datasets import Datasets
from ui.workspace.history import AnswerHistory
from ui.workspace.models import Models
from ui.workspace.pictures import Pictures
from vqa_core.data.images import PIXEL_LIMIT, ImageError, open_image, pixel_limit_of
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
        return Pictures(self.cache / "pictures", self.open_image)

    @cached_property
    def models(self) -> Models:
        return Models(self.runs)

    @cached_property
    def history(self) -> AnswerHistory:
        return AnswerHistory(self.cache / "asked")

    def open_image(self, path: Path, side: int | None = None) -> Image.Image:
        """`open_image` for a dataset's picture, of as many pixels as any run allows; the caller holds DECODING."""
        try:
            return open_image(path, side=side)
        except ImageError:
            limit = self._pixel_limit()
            if limit <= PIXEL_LIMIT:
                raise
            return open_image(path, pixel_limit=limit, side=side)

    def _pixel_limit(self) -> int:
        """The highest limit of the runs; one that cannot be read has none."""
        limits = []
        for run in list_runs(self.runs):
            with contextlib.suppress(InputError):
                limits.append(pixel_limit_of(run))
        return max(limits, default=PIXEL_LIMIT)

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
