"""Hundreds of mutated and extreme pictures in one predict, beside the test pictures of a run: what becomes of them."""

import csv
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.mutated_pictures import mutated_pictures
from tests.support.processes import TIMEOUT_S, environment
from tests.support.tiny import tiny_competition, tiny_parts
from tests.support.trained import FLAGS, write_model
from vqa_core import ROOT
from vqa_core.config import DataSettings
from vqa_core.data.prepare import prepare
from vqa_core.runs.predictions import Prediction, read_predictions
from vqa_core.runs.run_dir import RunDir

ADDED = "BAD"
MEASURED = """
import sys
from eval.predict import main
from tests.support.peak_memory import peak_memory
before = peak_memory()
main(sys.argv[1:])
print("grown by", peak_memory() - before)
"""


def predict_bad_pictures(folder: Path, pictures: int) -> dict[str, Any]:
    """Predict with and without `pictures` bad ones.

    Returns the `statuses` of the questions about them, how many of the `others` have another answer than without them
    (`changed`), and the `bytes` by which the process grew and the `seconds` that it took.
    """
    tiny_parts(folder / "parts")
    alone, _, _ = _predict(folder / "alone", folder / "parts", 0)
    found, grown, seconds = _predict(folder / "all", folder / "parts", pictures)
    others = {question: each for question, each in found.items() if not question.startswith(ADDED)}
    statuses = Counter(each.status for question, each in found.items() if question.startswith(ADDED))
    changed = sum(others.get(question) != each for question, each in alone.items())
    return {"statuses": statuses, "others": len(alone), "changed": changed, "bytes": grown, "seconds": seconds}


def _predict(folder: Path, parts: Path, pictures: int) -> tuple[dict[str, Prediction], int, float]:
    data = tiny_competition(folder / "data")
    (data / "sample_submission.csv").unlink()
    with (data / "test.csv").open("a", encoding="utf-8", newline="") as file:
        for number, (name, picture) in enumerate(mutated_pictures(pictures)):
            (data / "image/test" / name).write_bytes(picture)
            csv.writer(file).writerow([f"{ADDED}_{number:03}", name, "is it red?"])
    run, started = RunDir(folder / "run"), time.monotonic()
    prepare(run, str(data), DataSettings(val_fraction=0.2))
    write_model(run.model, parts)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "--run", str(run.root), *FLAGS],
        cwd=ROOT,
        env=os.environ | environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S * 3,
    )
    grown = re.search(r"grown by (\d+)", done.stdout)
    if done.returncode or not grown:
        raise RuntimeError(f"eval.predict ends with {done.returncode}:\n{done.stderr[-2000:]}")
    return read_predictions(run.predictions("test")), int(grown[1]), time.monotonic() - started
