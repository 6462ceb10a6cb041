"""Several engines through Ray Data, each in a process of its own here or on another machine.

A record is some pictures with all their questions. Ray gives records to whichever engine is free, so uneven ones
balance out, and starts a lost worker again. Without Ray, one Engine does the same in this process.
"""

import json
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from vqa_core import ROOT
from vqa_core.config import PredictSettings
from vqa_core.files import InputError
from vqa_core.inference.build import build_engine
from vqa_core.runs.examples import Example, group_by_image
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir

logger = logging.getLogger("vqa")


class _Kept(logging.Handler):
    """Keeps what is logged in a worker, as the log of the run is written by one process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        self.records.append(
            {"levelno": record.levelno, "levelname": record.levelname, "msg": record.getMessage(), "exc_text": trace}
        )


class _Worker:
    """One engine, built once in the process where it runs."""

    def __init__(
        self, root: str, data_root: str, settings: dict[str, Any], pixel_limit: int | None, answered: bool
    ) -> None:
        torch.set_num_threads(1)
        self.answered, self.kept = answered, _Kept()
        logger.addHandler(self.kept)
        run, known = RunDir(Path(root)), PredictSettings(**settings)
        self.engine = build_engine(run, known, Path(data_root), pixel_limit=pixel_limit)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        answers, logged = [], []
        for record in batch["record"]:
            examples = [Example.from_dict(row) for row in json.loads(record)]
            predictions = self.engine.generate(examples, answered=self.answered)
            answers.append(json.dumps([prediction.to_dict() for prediction in predictions]))
            logged.append(json.dumps(self.kept.records))
            self.kept.records.clear()
        return {"predictions": answers, "log": logged}


def generate_with_ray(
    run: RunDir,
    settings: PredictSettings,
    data_root: Path,
    examples: Sequence[Example],
    done: Collection[str] = (),
    *,
    answered: bool = False,
    pixel_limit: int | None = None,
) -> Iterator[Prediction]:
    """Yield a prediction for every example not in `done`, in the order in which `settings.ray_workers` engines answer;
    `answered` is as in `Engine.generate`.

    Joins the cluster that RAY_ADDRESS names, whose machines must see the run and the data at the same paths; else
    starts Ray on this machine alone. Each engine has a GPU of its own where there are GPUs.
    """
    try:
        import ray
    except ImportError:
        raise InputError(
            "--ray-workers needs Ray: pip install 'ray[data]==2.60.0'. Or leave --ray-workers out."
        ) from None
    records = [
        {"record": json.dumps([example.to_dict() for example in group])}
        for group in _group_records(examples, settings.batch_questions)
        if any(example.question_id not in done for example in group)
    ]
    local = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    ray.init(
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}},
        log_to_driver=False,
        **local,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False  # predicting reports its own
    where = str(run.root.resolve()), str(data_root.resolve())
    try:
        rows = ray.data.from_items(records, override_num_blocks=len(records)).map_batches(
            _Worker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=settings.ray_workers),
            num_gpus=1 if torch.cuda.is_available() else 0,
            fn_constructor_args=(*where, settings.to_dict(), pixel_limit, answered),
        )
        for row in rows.iter_rows():
            for record in json.loads(row["log"]):
                logger.handle(logging.makeLogRecord({"name": logger.name, **record}))
            for fields in json.loads(row["predictions"]):
                if fields["question_id"] not in done:
                    yield Prediction(**fields)
    finally:
        ray.shutdown()


def _group_records(examples: Sequence[Example], limit: int) -> list[list[Example]]:
    """Images with all their questions, small ones together, in records of about `limit` questions."""
    records: list[list[Example]] = [[]]
    for group in group_by_image(examples):
        if records[-1] and len(records[-1]) + len(group) > limit:
            records.append([])
        records[-1] += group
    return records
