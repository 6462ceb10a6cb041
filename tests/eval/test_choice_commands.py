"""Multiple choice by the commands: trained in shuffled orders and resumed, predicted in one order or in several."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from eval import predict
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, tiny_parts, write_pictures
from tests.support.tiny_choices import tiny_choices
from train import finetune
from vqa_core.config import DataSettings
from vqa_core.data.prepare import prepare
from vqa_core.files import InputError, read_json
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import read_predictions
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

TRAIN = TINY_TRAIN | {"max_steps": 6, "eval_every": 3, "text_token_budget": 512, "save_every": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, list[str]]:
    """A run on lettered columns, trained without a stop, and the flags of its training."""
    folder = tmp_path_factory.mktemp("choices")
    tower, language_model = tiny_parts(folder)
    train, test = tiny_choices(8, form="A"), tiny_choices(4, prefix="test", form="A", seed=1)
    write_pictures(folder / "data", train + test)
    write_table(folder / "data/train.csv", train, with_answer=True)
    write_table(folder / "data/test.csv", test, with_answer=False)
    (folder / "data/sample_submission.csv").write_text("ID,answer\n" + "".join(f"{e.question_id},A\n" for e in test))
    run = RunDir(folder / "run")
    prepare(run, str(folder / "data"), DataSettings(val_fraction=0.2))
    settings = TINY_MODEL | TRAIN | {"vision_tower": tower, "language_model": language_model}
    flags = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    shutil.copytree(run.root, folder / "untrained")
    finetune.main(["--run", str(run.root), *flags])
    return run, flags


def write_table(path: Path, examples: list[Example], *, with_answer: bool) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ID", "image_id", "question", *"ABCDEFGHIJ", *(["answer"] if with_answer else [])])
        for each in examples:
            blanks = [""] * (10 - len(each.choices))
            answer = [each.answer] if with_answer else []
            writer.writerow([each.question_id, each.image_id, each.question, *each.choices, *blanks, *answer])


def test_a_training_that_was_stopped_ends_with_the_weights_of_one_that_was_not(
    trained: tuple[RunDir, list[str]], tmp_path: Path
) -> None:
    run, flags = trained
    shutil.copytree(run.root.parent / "untrained", tmp_path / "run")
    other = RunDir(tmp_path / "run")
    finetune.main(["--run", str(other.root), *flags])
    shutil.rmtree(other.checkpoints / "checkpoint-6", ignore_errors=True)
    shutil.rmtree(other.model)
    finetune.main(["--run", str(other.root), *flags, "--resume"])
    weights = "trained.safetensors"
    assert (other.model / weights).read_bytes() == (run.model / weights).read_bytes()
    finetune.main(["--run", str(other.root), *flags, "--no-shuffle-choices", "--restart"])
    assert (other.model / weights).read_bytes() != (run.model / weights).read_bytes()
    assert other.read_config()["train"]["shuffle_choices"] is False
    assert "shuffle_choices" not in run.read_config()["train"]


def test_other_orders_or_another_scoring_are_other_answers(trained: tuple[RunDir, list[str]], tmp_path: Path) -> None:
    shutil.copytree(trained[0].root, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    asked = ["--run", str(run.root), "--precision", "fp32"]
    predict.main(asked)
    one = read_predictions(run.predictions("test"))
    meta = read_json(run.root / "predictions/test.meta.json")
    assert (meta["option_orders"], meta["choice_scoring"]) == (1, "letter")
    assert {each.answer for each in one.values()} <= set("ABCDEFGHIJ")
    with pytest.raises(InputError, match="option_orders was 1, is 4"):
        predict.main([*asked, "--option-orders", "4"])
    predict.main([*asked, "--option-orders", "4", "--restart"])
    assert [each.options for each in read_predictions(run.predictions("test")).values()] != [
        each.options for each in one.values()
    ]
    assert run.read_config()["predict"]["option_orders"] == 4
    predict.main([*asked, "--choice-scoring", "text", "--restart"])
    texts = read_predictions(run.predictions("test"))
    examples = {each.question_id: each for each in run.examples("test")}
    for question_id, each in texts.items():
        assert each.generated in examples[question_id].choices
        assert each.answer in "ABCDEFGHIJ"
    assert "was trained with --choice-scoring letter, not text" in run.log.read_text()
    assert json.loads(run.predictions("test").read_text().splitlines()[0])["options"]
