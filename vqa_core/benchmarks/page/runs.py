"""Two runs of a made-up competition for `eval.benchmark page`, with a tenth held out and its questions answered."""

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
HELD_OUT, RIGHT = 0.1, 0.6  # of the training images; of the answers


def make_runs(folder: Path, data: Path) -> None:
    """Write the runs below `folder`. Raises CalledProcessError where `train.prepare` fails."""
    first, second = folder / FIRST, folder / SECOND
    held_out = ["--val-fraction", str(HELD_OUT)]
    command = [sys.executable, "-m", "train.prepare", "--data", str(data), "--run", str(first), *held_out]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(first, second)
    examples = RunDir(first).examples("val")
    for seed, root in enumerate((first, second)):
        with PredictionLog.open(RunDir(root).predictions("val"), meta={"weights": root.name}) as log:
            log.append(_predictions(examples, seed))


def _predictions(examples: list[Example], seed: int) -> list[Prediction]:
    """A right answer to a share of the questions, that of any other question to the rest."""
    draw = random.Random(seed)
    made = []
    for example in examples:
        given = str((example if draw.random() < RIGHT else draw.choice(examples)).answer)
        made.append(Prediction(example.question_id, given, given, round(draw.uniform(0.3, 1), 6)))
    return made
