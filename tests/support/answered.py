"""A run with answers, without data or model: rows (image, question, right answer, given answer, probability)."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqa_core.files import write_json
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

Row = tuple[str, str, str, str | None, float | None]  # a given answer of None: not answered yet
TRAIN = [
    Example("T0", "t0", "image/t0.png", "what colour is it?", "red"),
    Example("T1", "t1", "image/t1.png", "is it red?", "yes"),
]


def answered(folder: Path, rows: Sequence[Row], split: str = "val", *, solution: bool = True, **config: Any) -> RunDir:
    """The run at `folder`; question ids are q0, q1 ... Right answers to test are in the dataset's solution.csv."""
    run, data = RunDir(folder), folder.parent / "data"
    examples = [
        Example(f"q{number}", image, f"image/{image}.png", question, right)
        for number, (image, question, right, _, _) in enumerate(rows)
    ]
    data.mkdir(parents=True, exist_ok=True)
    write_json(run.config, {"dataset": {"root": str(data)}, **config})
    write_examples(run.train, TRAIN)
    if split == "test":
        write_examples(run.test, [replace(example, answer=None) for example in examples])
        if solution:
            with (data / "solution.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([["ID", "answer"], *([e.question_id, e.answer] for e in examples)])
    else:
        write_examples(run.root / f"{split}.jsonl", examples)
    with PredictionLog.open(run.predictions(split)) as log:
        log.append(
            Prediction(example.question_id, given, given, probability)
            for example, (*_, given, probability) in zip(examples, rows)
            if given is not None
        )
    return run
