"""Workspaces for the page's tests: datasets and runs that look lived in, made in a second or two without a model.

runs, data = easy_workspace(folder)      part of easy-VQA; runs `first` (with demo/model) and `second`, both answered
run = answered_run(runs / "x", data)     a run prepared from a competition folder, its val and test questions answered
"""

import csv
import io
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from eval import score, submit
from vqa_core import ROOT
from vqa_core.config import DataSettings
from vqa_core.data.easy_vqa import package_data
from vqa_core.data.prepare import prepare
from vqa_core.files import read_json
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

Row = tuple[str, str, str, str]  # question id, image id, question, answer


def easy_workspace(folder: Path, train_images: int = 60, test_images: int = 12) -> tuple[Path, Path]:
    """The folders `runs` and `data` below `folder`; the dataset lies in `data/easy`."""
    runs, data = folder / "runs", folder / "data"
    easy_competition(data / "easy", train_images, test_images)
    answered_run(runs / "first", data / "easy", wrong_every=7, model=True)
    answered_run(runs / "second", data / "easy", wrong_every=4)
    return runs, data


def easy_competition(folder: Path, train_images: int, test_images: int) -> Path:
    """A competition folder with the first images of easy-VQA and all their questions."""
    rows: dict[str, list[Row]] = {}
    for split, images in (("train", train_images), ("test", test_images)):
        source = package_data() / split
        (folder / "image" / split).mkdir(parents=True)
        for image in range(images):
            shutil.copyfile(source / "images" / f"{image}.png", folder / "image" / split / f"{split}_{image:04d}.png")
        rows[split] = [
            (f"{split.upper()}_{number:05d}", f"{split}_{image:04d}", question, answer)
            for number, (question, answer, image) in enumerate(read_json(source / "questions.json"))
            if image < images
        ]
    write_tables(folder, rows["train"], rows["test"])
    return folder


def write_tables(folder: Path, train: Sequence[Row], test: Sequence[Row]) -> None:
    """train.csv, test.csv, sample_submission.csv and solution.csv."""
    tables: dict[str, list[Sequence[str]]] = {
        "train.csv": [("ID", "image_id", "question", "answer"), *train],
        "test.csv": [("ID", "image_id", "question"), *(row[:3] for row in test)],
        "sample_submission.csv": [("ID", "answer"), *((row[0], "") for row in test)],
        "solution.csv": [("ID", "answer"), *((row[0], row[3]) for row in test)],
    }
    for name, rows in tables.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def answered_run(folder: Path, data: Path, *, wrong_every: int = 7, model: bool = False) -> RunDir:
    """Prepare a run, answer each `wrong_every`th question with another question's answer, score and submit.

    With `model` it has the demo's weights and the metrics of the run that made them.
    """
    run = RunDir(folder)
    prepare(run, str(data), DataSettings(val_fraction=0.3))
    with (data / "solution.csv").open(encoding="utf-8", newline="") as file:
        solution = {row["ID"]: row["answer"] for row in csv.DictReader(file)}
    for split in ("val", "test"):
        examples = run.examples(split)
        truth = [solution[example.question_id] if split == "test" else str(example.answer) for example in examples]
        with PredictionLog.open(run.predictions(split), meta={"weights": folder.name}) as log:
            log.append(_predictions(examples, truth, wrong_every))
    if model:
        shutil.copytree(ROOT / "demo" / "model", run.model)
        shutil.copyfile(ROOT / "demo" / "metrics.jsonl", run.metrics)
    with redirect_stdout(io.StringIO()):
        score.main(["--run", str(folder), "--split", "val"])
        score.main(["--run", str(folder), "--split", "test", "--answers", str(data / "solution.csv")])
        submit.main(["--run", str(folder), "--allow-failed"])
    return run


def _predictions(examples: Sequence[Example], truth: Sequence[str], wrong_every: int) -> list[Prediction]:
    made = []
    for number, (example, right) in enumerate(zip(examples, truth)):
        wrong = number % wrong_every == 0
        answer = next((other for other in truth[number:] if other != right), right) if wrong else right
        made.append(Prediction(example.question_id, answer, answer, round(0.35 + (number * 37 % 64) / 100, 4)))
    return made
