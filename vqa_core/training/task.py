"""TrainingTask: everything a training is asked for, as one value."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.data.images import PIXEL_LIMIT, pixel_limit_of
from vqa_core.runs.examples import Example
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.training_rows import open_rows
from vqa_core.stops import Stops
from vqa_core.training.data import TrainingRows


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """What to train on, with which settings, and into which run.

    Args:
        run: gets checkpoints/, metrics.jsonl and, when training has finished, model/.
        rows: training rows, one per image, see vqa_core/runs/training_rows.py.
        val: validation examples; the model generates answers to them, which gives its accuracy.
        data_root: the folder that image paths are relative to.
        resume: continue from the newest checkpoint that verifies; otherwise existing checkpoints are an error.
        restart: discard the checkpoints and set the model aside, once it is sure that training can start.
        pixel_limit: the most pixels of a picture, as in `open_image`.
        started: seconds of `time.monotonic`, from which `--max-minutes` counts.
        stops: tells when somebody asks it to stop.
    """

    run: RunDir
    rows: TrainingRows
    val: Sequence[Example]
    data_root: Path
    model: ModelSettings
    settings: TrainSettings
    resume: bool = False
    restart: bool = False
    pixel_limit: int = PIXEL_LIMIT
    started: float = field(default_factory=time.monotonic)
    stops: Stops = field(default_factory=Stops)

    @classmethod
    def of_run(
        cls,
        run: RunDir,
        model: ModelSettings,
        settings: TrainSettings,
        *,
        resume: bool,
        restart: bool = False,
        stops: Stops | None = None,
    ) -> "TrainingTask":
        """A training on the rows that the run was prepared with; an InputError where there are none."""
        rows, val, root = open_rows(run.rows), run.examples("val"), run.data_root()
        return cls(
            run=run,
            rows=rows,
            val=val,
            data_root=root,
            model=model,
            settings=settings,
            resume=resume,
            restart=restart,
            pixel_limit=pixel_limit_of(run),
            stops=stops or Stops(),
        )
