"""500 mutated and extreme pictures in one predict: the others keep their answers; memory, time and log are bounded."""

import csv
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.mutated_pictures import mutated_pictures
from tests.support.processes import TIMEOUT_S, ForkedScript, environment, forked, run_forked
from tests.support.tiny import tiny_competition, tiny_parts
from tests.support.trained import FLAGS, write_model
from vqa_core import ROOT
from vqa_core.config import DataSettings
from vqa_core.data.prepare import prepare
from vqa_core.runs.predictions import Prediction, read_predictions
from vqa_core.runs.run_dir import RunDir

pytestmark = [pytest.mark.slow(seconds=20), pytest.mark.filterwarnings("ignore:::PIL")]  # pytest sets its own filters

PICTURES = 500
ADDED = "BAD"
MOST_BYTES = 400 << 20

MEASURED = """
import sys
from eval.predict import main
from tests.support.peak_memory import peak_memory
before = peak_memory()
main(sys.argv[1:])
print("grown by", peak_memory() - before)
"""


def run_with(folder: Path, parts: Path, pictures: int) -> RunDir:
    """A run with a model, whose test split has so many bad pictures beside its own."""
    data = tiny_competition(folder / "data")
    with (data / "test.csv").open("a", encoding="utf-8", newline="") as file:
        for number, (name, picture) in enumerate(mutated_pictures(pictures)):
            (data / "image/test" / name).write_bytes(picture)
            csv.writer(file).writerow([f"{ADDED}_{number:03}", name, "is it red?"])
    (data / "sample_submission.csv").unlink()
    run = RunDir(folder / "run")
    prepare(run, str(data), DataSettings(val_fraction=0.2))
    write_model(run.model, parts)
    return run


def own(predictions: dict[str, Prediction]) -> dict[str, str]:
    """The answers to the questions of the data itself."""
    return {name: each.answer for name, each in predictions.items() if not name.startswith(ADDED)}


def test_500_bad_pictures_cost_no_other_answer_and_no_more_than_their_pixels(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny_parts(tmp_path / "parts")
    started = time.monotonic()
    run = run_with(tmp_path / "all", tmp_path / "parts", PICTURES)
    said = capfd.readouterr()
    assert "Warning" not in said.err
    alone = run_with(tmp_path / "alone", tmp_path / "parts", 0)
    assert run_forked("eval.predict", "--run", alone.root, *FLAGS, output=tmp_path / "alone.txt") == 0
    expected = read_predictions(alone.predictions("test"))
    assert {each.status for each in expected.values()} <= {"ok", "empty", "cut"}

    script, output = tmp_path / "measured.py", tmp_path / "output.txt"
    script.write_text(MEASURED)
    process = ForkedScript(script, ["--run", str(run.root), *FLAGS], output=output, env=environment(), cwd=ROOT)
    assert process.wait(TIMEOUT_S) == 0, output.read_text()
    found = read_predictions(run.predictions("test"))
    assert own(found) == own(expected)
    added = Counter(each.status for name, each in found.items() if name.startswith(ADDED))
    assert added.total() == PICTURES
    assert added["ok"] + added["cut"] + added["empty"] > 50  # a flipped bit seldom hurts
    assert added["bad_image"] > 150
    assert set(added) <= {"ok", "cut", "empty", "bad_image"}, added
    text = output.read_text()
    assert int(text.partition("grown by ")[2]) < MOST_BYTES
    for word in ("Traceback", "Warning", "TIFF", "EXIF", "libpng", "Corrupt"):
        assert word not in text, text
    assert len(text.splitlines()) < 30
    assert time.monotonic() - started < TIMEOUT_S

    again = RunDir(tmp_path / "again")
    os.rename(run.root, again.root)
    whole = again.predictions("test").read_bytes()
    again.predictions("test").unlink()
    process_ = forked("eval.predict", "--run", again.root, *FLAGS, output=tmp_path / "killed.txt")
    while not (again.predictions("test").exists() and again.predictions("test").read_bytes().count(b"\n") > 200):
        assert process_.is_alive(), (tmp_path / "killed.txt").read_text()
        time.sleep(0.001)
    assert process_.pid
    os.kill(process_.pid, signal.SIGKILL)
    process_.join(TIMEOUT_S)
    assert run_forked("eval.predict", "--run", again.root, *FLAGS, output=tmp_path / "killed.txt") == 0
    assert again.predictions("test").read_bytes() == whole


@pytest.mark.parametrize("name", ["pipe", "folder", "device"])
def test_what_is_no_file_neither_hangs_nor_ends_a_predict(name: str, tmp_path: Path) -> None:
    tiny_parts(tmp_path / "parts")
    run = run_with(tmp_path / "all", tmp_path / "parts", 0)
    first = run.examples("test")[0]
    path = run.data_root() / first.image
    path.unlink()
    if name == "pipe":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    assert run_forked("eval.predict", "--run", run.root, *FLAGS, output=tmp_path / "output.txt") == 0
    found = read_predictions(run.predictions("test"))
    assert found[first.question_id].status == "bad_image"
    assert "cannot be read as a file" in found[first.question_id].detail
    statuses = Counter(each.status for each in found.values())
    assert statuses["bad_image"] == sum(each.image == first.image for each in run.examples("test"))
