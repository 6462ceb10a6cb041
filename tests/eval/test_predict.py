"""Prediction as processes: whatever kills it and whenever, no acknowledged answer is lost; the file ends the same."""

import gc
import os
import random
import shutil
import signal
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from eval import predict, submit
from tests.support.processes import TIMEOUT_S, forked, run_forked
from tests.support.tiny import ANSWERS, tiny_parts, tiny_run
from tests.support.trained import FLAGS, write_model
from vqa_core.data.priors import AnswerPrior
from vqa_core.files import InputError, read_json
from vqa_core.inference.adopt import adopt_model
from vqa_core.model.protocol import AnyVlm
from vqa_core.runs.predictions import Prediction, read_predictions
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

KILLS = 3  # tests/soak kills more often


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    tiny_parts(folder)
    return folder


@pytest.fixture(scope="module")
def template(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run with a model and nothing predicted."""
    run = tiny_run(tmp_path_factory.mktemp("template"), test_images=70)
    write_model(run.model, parts)
    return run


@pytest.fixture
def run(template: RunDir, tmp_path: Path) -> RunDir:
    """A copy of the template; its data is the template's."""
    shutil.copytree(template.root, tmp_path / "run")
    return RunDir(tmp_path / "run")


@pytest.fixture(scope="module")
def undisturbed(template: RunDir, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """What all others are held against."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run, output = RunDir(folder / "run"), folder / "output"
    shutil.copytree(template.root, run.root)
    args = ["--run", run.root, "--data", run.data_root(), "--split", "test", *FLAGS]
    assert run_forked("eval.predict", *args, output=output) == 0, output.read_text()
    assert "questions/s" in output.read_text()
    assert "Encoded 70 images." in output.read_text()
    return run


def lines(path: Path) -> list[bytes]:
    """Whole lines: the answers that count as given."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def submission(run: RunDir, out: Path) -> bytes:
    submit.main(["--run", str(run.root), "--out", str(out)])
    return out.read_bytes()


def test_killed_again_and_again_it_loses_no_answer_and_ends_with_the_same_bytes(
    run: RunDir, undisturbed: RunDir, tmp_path: Path
) -> None:
    path, output = run.predictions("test"), tmp_path / "output"
    total = len(run.examples("test"))
    given: list[bytes] = []
    for kill in range(KILLS):
        target = random.randint(len(given), max(len(given), total * (kill + 1) // (KILLS + 20)))
        process = forked("eval.predict", "--run", run.root, *FLAGS, output=output)
        deadline = time.monotonic() + TIMEOUT_S
        while len(lines(path)) <= target:
            assert process.is_alive(), output.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        acknowledged = lines(path)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(TIMEOUT_S)
        assert process.exitcode == -signal.SIGKILL
        assert acknowledged[: len(given)] == given
        given = lines(path)
        assert given[: len(acknowledged)] == acknowledged
    assert len(given) < total
    assert run_forked("eval.predict", "--run", run.root, *FLAGS, output=output) == 0, output.read_text()
    assert set(given) <= set(lines(path))
    assert path.read_bytes() == undisturbed.predictions("test").read_bytes()
    assert submission(run, tmp_path / "a.csv") == submission(undisturbed, tmp_path / "b.csv")


def test_a_finished_split_is_left_as_it_is_without_loading_the_model(
    run: RunDir, undisturbed: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(undisturbed.root, run.root, dirs_exist_ok=True)
    monkeypatch.setattr("vqa_core.inference.predict.build_engine", lambda *_: pytest.fail("it loaded the model"))
    before = run.predictions("test").read_bytes()
    predict.main(["--run", str(run.root), *FLAGS])
    assert run.predictions("test").read_bytes() == before


def test_answers_are_of_several_kinds_and_in_the_order_of_the_questions(undisturbed: RunDir) -> None:
    predictions = read_predictions(undisturbed.predictions("test"))
    assert list(predictions) == [example.question_id for example in undisturbed.examples("test")]
    assert {prediction.status for prediction in predictions.values()} <= {"ok", "cut", "empty"}
    assert len({prediction.generated for prediction in predictions.values()}) > 20


def test_broken_and_missing_pictures_get_the_prior_s_answer(
    parts: Path, undisturbed: RunDir, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(tmp_path, test_images=70)
    write_model(run.model, parts)
    examples = run.examples("test")
    images = list(dict.fromkeys(example.image for example in examples))
    (run.data_root() / images[3]).write_bytes(b"\x89PNG no more")
    (run.data_root() / images[8]).unlink()
    predict.main(["--run", str(run.root), *FLAGS])
    prior = AnswerPrior(run.examples("train"))
    expected = read_predictions(undisturbed.predictions("test"))
    found = read_predictions(run.predictions("test"))
    bad = 0
    for example in examples:
        prediction = found[example.question_id]
        if example.image in (images[3], images[8]):
            bad += 1
            assert (prediction.status, prediction.answer) == ("bad_image", prior.answer(example.question))
            assert example.image in prediction.detail
        else:
            assert prediction.generated == expected[example.question_id].generated
    assert f", {bad} bad_image)" in capfd.readouterr().err
    submit.main(["--run", str(run.root)])


def test_other_weights_or_settings_are_not_mixed_into_earlier_answers(
    run: RunDir, parts: Path, undisturbed: RunDir
) -> None:
    shutil.copytree(undisturbed.root, run.root, dirs_exist_ok=True)
    with pytest.raises(InputError, match=r"max_new_tokens was 5, is 9.*--restart"):
        predict.main(["--run", str(run.root), *FLAGS, "--max-new-tokens", "9"])
    write_model(run.model, parts, seed=1)
    with pytest.raises(InputError, match=r"weights was .*--restart"):
        predict.main(["--run", str(run.root), *FLAGS])
    before = run.predictions("test").read_bytes()
    predict.main(["--run", str(run.root), *FLAGS, "--restart"])
    assert run.predictions("test").read_bytes() != before
    assert Path(f"{run.predictions('test')}.old").read_bytes() == before


def test_answers_of_training_only_are_given_where_asked_for(run: RunDir) -> None:
    predict.main(["--run", str(run.root), *FLAGS, "--answers", "train"])
    trained = {example.answer for example in run.examples("train")}
    assert trained <= set(ANSWERS)
    predictions = read_predictions(run.predictions("test")).values()
    assert {prediction.answer for prediction in predictions} <= trained
    assert {prediction.status for prediction in predictions} == {"ok"}


@pytest.mark.parametrize("split", ["val", "train"])
def test_other_splits_have_files_of_their_own(split: str, run: RunDir) -> None:
    predict.main(["--run", str(run.root), *FLAGS, "--split", split])
    assert list(read_predictions(run.predictions(split))) == [e.question_id for e in run.examples(split)]
    assert not run.predictions("test").exists()


@pytest.mark.parametrize("engine", ["naive", "hf_batch"])
def test_engines_to_compare_with_write_the_same_answers(engine: str, run: RunDir) -> None:
    files = []
    for name in ("shared", engine):
        predict.main(["--run", str(run.root), *FLAGS, "--split", "val", "--engine", name, "--restart"])
        files.append({key: item.generated for key, item in read_predictions(run.predictions("val")).items()})
    assert files[0] == files[1]


def test_a_model_from_elsewhere_is_adopted_once(run: RunDir, parts: Path, tmp_path: Path) -> None:
    shutil.rmtree(run.model)
    with pytest.raises(InputError, match="holds no trained model"):
        predict.main(["--run", str(run.root), *FLAGS])
    with pytest.raises(InputError, match=r"--model .*holds no trained model"):
        predict.main(["--run", str(run.root), *FLAGS, "--model", str(tmp_path / "nothing")])
    write_model(tmp_path / "elsewhere", parts)
    write_model(tmp_path / "another", parts, seed=1)
    for _ in range(2):
        predict.main(["--run", str(run.root), *FLAGS, "--split", "val", "--model", str(tmp_path / "elsewhere")])
    weights = [(folder / "trained.safetensors").read_bytes() for folder in (run.model, tmp_path / "elsewhere")]
    assert weights[0] == weights[1]
    with pytest.raises(InputError, match="other weights"):
        predict.main(["--run", str(run.root), *FLAGS, "--model", str(tmp_path / "another")])


def test_a_model_that_ray_s_workers_load_is_not_kept_in_memory_as_well(
    run: RunDir, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "elsewhere", parts, seed=7)
    shutil.rmtree(run.model)
    loaded: list[weakref.ref[torch.nn.Module]] = []

    def adopt(*args: Any) -> AnyVlm | None:
        vlm = adopt_model(*args)
        assert vlm
        loaded.append(weakref.ref(vlm.model))
        return vlm

    def generate(*_: object, **__: object) -> Iterator[Prediction]:
        gc.collect()
        assert loaded[0]() is None
        return iter([Prediction(example.question_id, "a", "a", 0.5) for example in run.examples("test")])

    monkeypatch.setattr("vqa_core.inference.predict.adopt_model", adopt)
    monkeypatch.setattr("vqa_core.inference.predict.generate_with_ray", generate)
    predict.main(["--run", str(run.root), "--model", str(tmp_path / "elsewhere"), "--ray-workers", "2", *FLAGS])
    assert len(read_predictions(run.predictions("test"))) == len(run.examples("test"))


def test_an_empty_split_is_refused_in_a_sentence(run: RunDir) -> None:
    run.val.write_text("")
    with pytest.raises(InputError, match="There are no val questions"):
        predict.main(["--run", str(run.root), *FLAGS, "--split", "val"])


def test_typos_are_refused_before_anything_is_loaded(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict.main(["--run", str(run.root), "--split", "tset"])
    assert "tset" in capsys.readouterr().err
    with pytest.raises(InputError, match="Did you mean 'shared'"):
        predict.main(["--run", str(run.root), "--engine", "shard"])
    with pytest.raises(InputError, match="is not a run"):
        predict.main(["--run", str(run.root / "nowhere")])
    assert read_json(run.config).keys() == {"data", "dataset"}
