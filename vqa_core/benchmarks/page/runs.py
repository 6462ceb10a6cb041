"""Make two runs of a synthetic competition for `eval.benchmark page`: a tenth is held out, its questions answered."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

from vqa_core import ROOT
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

FIRST, SECOND = "first", "second"
HELD_OUT, RIGHT = 0.1, 0.6  # shares of the training images and of the answers


def make_runs(folder: Path, data: Path) -> None:
    """Write the runs below `folder`. Raises CalledProcessError if `train.prepare` fails."""
    first, second = folder / FIRST, folder / SECOND
    held_out = ["--val-fraction", str(HELD_OUT)]
    command = [sys.executable, "-m", "train.prepare", "--data", str(data), "--run", str(first), *held_out]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(first, second)
    examples = RunDir(first).examples("val")
    for seed, root in enumerate((first, second)):
        with PredictionLog.open(RunDir(root).predictions("val"), meta={"weights": root.name}) as log:
            log.append(_make_predictions(examples, seed))


def _make_predictions(examples: list[Example], seed: int) -> list[Prediction]:
    """The right answer to a share RIGHT of the questions, and a random question's answer to the rest."""
    draw = random.Random(seed)
    predictions = []
    for example in examples:
        answer = str((example if draw.random() < RIGHT else draw.choice(examples)).answer)
        predictions.append(Prediction(example.question_id, answer, answer, round(draw.uniform(0.3, 1), 6)))
    return predictions
