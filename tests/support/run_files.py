"""Files of a run, written without preparing, training or predicting."""

from dataclasses import asdict
from pathlib import Path

from vqa_core.files import write_json, write_json_lines
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir

INTERVAL = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 40, "images": 8, "method": "cluster bootstrap by image"}
SCORE = {"metric": "exact", "overall": {"exact": INTERVAL, "exact_normalised": INTERVAL | {"value": 0.9}}}
DATASET = {"source": "data/x", "root": "/data/x", "fingerprint": "aa", "questions": {"train": 9, "val": 4, "test": 0}}
TRAIN = {"stage": "lora", "batch_questions": 8, "accumulate": 2, "seed": 0}


def made(folder: Path, **config: object) -> RunDir:
    run = RunDir(folder)
    write_json(run.config, {"dataset": DATASET, **config})
    write_examples(run.train, [])
    return run


def questions(count: int, images: int) -> list[Example]:
    return [Example(f"q{i}", f"i{i % images}", f"i{i % images}.png", "what?", "yes") for i in range(count)]


def answer(run: RunDir, examples: list[Example], right: set[int], split: str = "val") -> None:
    write_examples(run.root / f"{split}.jsonl", examples)
    rows = [asdict(Prediction(e.question_id, "yes" if i in right else "no", "", 0.5)) for i, e in enumerate(examples)]
    write_json_lines(run.predictions(split), rows)
