"""Questions longer than the model's positions are trained on by their beginning, in parts and in whole models."""

import csv
from pathlib import Path

import pytest

from tests.support.tiny import losses, tiny_competition, tiny_parts
from tests.support.tiny_hub import tiny_hub
from train import finetune, prepare
from vqa_core.files import InputError, read_json, write_json
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

TRAIN = [
    "--max-steps",
    "2",
    "--log-every",
    "1",
    "--batch-questions",
    "4",
    "--precision",
    "fp32",
    "--text-token-budget",
    "1024",
]
LONG = "Is it red, or is it dark blue, or is it none of them? " * 8


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run in which every question is long."""
    data = tiny_competition(tmp_path / "data", train_images=4, test_images=2)
    with (data / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (data / "train.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"question": LONG + row["question"]} for row in rows)
    prepare.main(["--run", str(tmp_path / "run"), "--data", str(data), "--val-fraction", "0.3"])
    return RunDir(tmp_path / "run")


def test_a_llava_of_parts(run: RunDir, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tower, language = tiny_parts(tmp_path)
    write_json(language / "config.json", read_json(language / "config.json") | {"max_position_embeddings": 96})
    parts = ["--vision-tower", str(tower), "--language-model", str(language), "--image-side-px", "32"]
    finetune.main(["--run", str(run.root), *parts, *TRAIN])
    assert "The model, which has 96 positions, cut " in capfd.readouterr().err
    assert len(losses(run)) > 0


@pytest.mark.parametrize("kind", ["smolvlm", "gemma3", "blip"])
def test_a_whole_model(kind: str, run: RunDir, tmp_path: Path) -> None:
    base = tiny_hub(kind, tmp_path / "base", max_position_embeddings=160)
    finetune.main(["--run", str(run.root), "--base-model", str(base), "--stage", "lora", "--lora-rank", "2", *TRAIN])
    assert len(losses(run)) > 0


def test_a_picture_that_leaves_no_room_is_said(run: RunDir, tmp_path: Path) -> None:
    base = tiny_hub("smolvlm", tmp_path / "base", max_position_embeddings=20)
    with pytest.raises(InputError, match=r"can't be trained on: the model has 20 positions"):
        finetune.main(["--run", str(run.root), "--base-model", str(base), "--stage", "lora", *TRAIN])
