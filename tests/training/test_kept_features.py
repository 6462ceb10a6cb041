"""A training and a prediction that keep the features of their tower: the same result, each picture encoded once."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.tiny import TINY_TRAIN, tiny_parts, tiny_run, tiny_vlm
from tests.support.trained import write_model
from vqa_core.benchmarks.work_counter import count_work
from vqa_core.config import ModelSettings, PredictSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.inference.build import load_model
from vqa_core.inference.predict import predict_split
from vqa_core.model.build import keep_features
from vqa_core.planning.resume import FREE
from vqa_core.runs.predictions import read_predictions
from vqa_core.training.finetune import finetune
from vqa_core.training.task import TrainingTask

pytestmark = pytest.mark.slow


def test_later_epochs_skip_the_tower_and_end_with_the_same_weights(tmp_path: Path) -> None:
    settings = TrainSettings(**TINY_TRAIN | {"stage": "align", "lora_dropout": 0.0, "epochs": 3, "eval_every": 0})
    found = []
    for name, vlm in (("without", tiny_vlm()), ("with", tiny_vlm().with_features(str(tmp_path / "kept"), 1))):
        run = tiny_run(tmp_path / name)
        with count_work(vlm) as counted:
            finetune(TrainingTask.of_run(run, ModelSettings(), settings, resume=False), vlm)
        found.append((load_file(run.model / "trained.safetensors"), counted.encodes))
    (expected, encodes), (weights, fewer) = found
    assert fewer == len(list((tmp_path / "kept").glob("*/??/*.safetensors"))) < encodes / 3
    for tensor_name, tensor in expected.items():
        assert torch.allclose(weights[tensor_name], tensor, rtol=1e-4, atol=1e-6), tensor_name


def test_a_later_prediction_skips_the_tower_and_gives_the_same_answers(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    tiny_parts(parts)
    run = tiny_run(tmp_path / "run")
    write_model(run.model, parts)
    answers = []
    for folder in ("", str(tmp_path / "kept"), str(tmp_path / "kept")):
        settings = PredictSettings(max_new_tokens=5, precision="fp32", feature_cache=folder)
        predict_split(run, "test", run.examples("test"), run.data_root(), settings, restart=True)
        answers.append({id: (p.answer, p.status) for id, p in read_predictions(run.predictions("test")).items()})
    assert answers[0] == answers[1] == answers[2]
    vlm = load_model(run.model, settings)
    assert vlm.features is not None  # type: ignore[attr-defined]


def test_a_resume_may_keep_features_or_not_and_a_whole_model_has_none_to_keep(tmp_path: Path) -> None:
    assert {"feature_cache", "feature_cache_gb"} <= FREE

    class Whole:
        settings = ModelSettings(base_model="some/model")

    with pytest.raises(InputError, match=r"--feature-cache .*kept .*--base-model some/model has its tower within"):
        keep_features(Whole(), PredictSettings(feature_cache=str(tmp_path / "kept")))  # type: ignore[arg-type]
