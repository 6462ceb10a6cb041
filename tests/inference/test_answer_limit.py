"""Answers are as long as those of training; one that is cut says so, and ends in a whole character."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from eval import predict, score
from tests.support.tiny import tiny_parts, tiny_run
from tests.support.trained import write_model
from train import finetune, prepare
from vqa_core.config import PredictSettings
from vqa_core.files import InputError, read_json, write_json
from vqa_core.inference.build import build_engine
from vqa_core.prompts.answer_lengths import LEAST
from vqa_core.runs.examples import write_examples
from vqa_core.runs.predictions import meta_path, read_predictions
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

LONG = ("파란색과 흰색이 섞인 동그라미", "빨간색 네모와 노란색 세모", "아무것도 없습니다")
PREDICT = ["--precision", "fp32", "--batch-questions", "16", "--split", "val"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run whose answers take more tokens than LEAST, with a model that has no record of them."""
    folder = tmp_path_factory.mktemp("long")
    tiny_parts(folder)
    run = tiny_run(folder, train_images=8, test_images=4)
    for split in ("train", "val"):
        examples = [replace(e, answer=LONG[at % len(LONG)]) for at, e in enumerate(run.examples(split))]
        write_examples(run.root / f"{split}.jsonl", examples)
    write_model(run.model, folder)
    return run


@pytest.fixture
def run(template: RunDir, tmp_path: Path) -> RunDir:
    shutil.copytree(template.root, tmp_path / "run")
    return RunDir(tmp_path / "run")


def predicted(run: RunDir, *more: str) -> dict[str, int]:
    predict.main(["--run", str(run.root), *PREDICT, *more])
    cut = [each for each in read_predictions(run.predictions("val")).values() if each.status == "cut"]
    assert not any(each.generated.endswith("\ufffd") for each in cut)
    return read_json(meta_path(run.predictions("val")))


def test_the_longest_answer_is_reckoned_from_the_training_answers(run: RunDir) -> None:
    meta = predicted(run)
    engine = build_engine(run, PredictSettings(precision="fp32"), run.data_root())
    needed = max(len(engine.vlm.prompt.answer_ids(answer)) + 1 for answer in LONG)
    assert meta["max_new_tokens"] == engine.limits.longest == needed > LEAST
    assert read_json(run.config)["predict"]["max_new_tokens"] == 0


def test_an_answer_that_is_cut_is_counted_wherever_answers_are(run: RunDir, capfd: pytest.CaptureFixture[str]) -> None:
    predicted(run, "--max-new-tokens", "2")
    logged = capfd.readouterr().err
    predictions = read_predictions(run.predictions("val"))
    cut = [each for each in predictions.values() if each.status == "cut"]
    assert cut
    assert not any(each.is_fallback for each in cut)
    assert {each.detail for each in cut} == {"cut off by --max-new-tokens"}
    assert "--max-new-tokens 2 is too short for" in logged
    assert f"{len(cut)} of {len(predictions)} answers reached the longest length, 2 tokens" in logged
    score.main(["--run", str(run.root)])
    assert f"answers shortened: {len(cut)} cut" in capfd.readouterr().out
    assert read_json(run.score)["val"]["statuses"]["cut"] == len(cut)


def test_answers_of_an_earlier_limit_are_not_mixed_with_longer_ones(run: RunDir) -> None:
    longest = predicted(run)["max_new_tokens"]
    path = run.predictions("val")
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")  # as if it had been killed
    meta = read_json(meta_path(path))
    write_json(meta_path(path), meta | {"max_new_tokens": LEAST})
    config = run.config.read_bytes()
    said = rf"of at most 16 tokens, .* up to {longest}\. Go on with --max-new-tokens 16, or pass --restart"
    with pytest.raises(InputError, match=said):
        predicted(run)
    assert run.config.read_bytes() == config
    assert predicted(run, "--max-new-tokens", "16")["max_new_tokens"] == LEAST
    assert predicted(run, "--restart")["max_new_tokens"] == longest


def test_without_training_answers_the_usual_limit_holds(run: RunDir) -> None:
    run.train.unlink()
    assert predicted(run)["max_new_tokens"] == LEAST


def test_allowed_answers_are_never_cut(run: RunDir) -> None:
    assert predicted(run, "--answers", "train")["max_new_tokens"] == LEAST
    assert {each.status for each in read_predictions(run.predictions("val")).values()} == {"ok"}
    assert {each.answer for each in read_predictions(run.predictions("val")).values()} <= set(LONG)


def test_a_model_knows_the_answers_that_it_was_trained_with(
    template: RunDir, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = template.root.parent
    run = tiny_run(tmp_path, train_images=6, test_images=4)
    data = run.data_root()
    rows = (data / "train.csv").read_text(encoding="utf-8").splitlines()
    rows[1:] = [f"{row.rpartition(',')[0]},{LONG[at % len(LONG)]}" for at, row in enumerate(rows[1:])]
    (data / "train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    run = RunDir(tmp_path / "again")
    prepare.main(["--run", str(run.root), "--data", str(data), "--val-fraction", "0.3"])
    finetune.main(
        [
            "--run", str(run.root), "--max-steps", "2", "--precision", "fp32", "--vision-tower", str(parts / "tower"),
            "--language-model", str(parts / "language-model"), "--image-side-px", "32", "--batch-questions", "8",
        ]
    )  # fmt: skip
    record = read_json(run.model / "vqa.json")["answer_tokens"]
    assert record["longest"] == record["most"] > LEAST
    assert f"The model's own may take {record['most']}" in capfd.readouterr().err
    other = tiny_run(tmp_path / "other", train_images=4, test_images=4)
    other.train.unlink()
    predict.main(["--run", str(other.root), *PREDICT, "--model", str(run.model)])
    assert read_json(meta_path(other.predictions("val")))["max_new_tokens"] == record["most"]


def test_files_of_before_there_was_the_status_count_as_they_say(run: RunDir) -> None:
    predicted(run, "--max-new-tokens", "2")
    path = run.predictions("val")
    rows = [json.loads(line) | {"status": "ok"} for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    before = path.read_bytes()
    predicted(run, "--max-new-tokens", "2")
    assert path.read_bytes() == before
    assert {each.status for each in read_predictions(path).values()} == {"ok"}
