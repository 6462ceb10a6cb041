"""The trained weights that lie in the repository: what they are, and that they still see."""

from pathlib import Path

import pytest

from vqa_core import ROOT
from vqa_core.config import DataSettings, ModelSettings, PredictSettings, read_config, settings_of
from vqa_core.data.competition import read_competition
from vqa_core.data.easy_vqa import write_easy_vqa
from vqa_core.files import read_json, read_json_lines
from vqa_core.inference.engine import Engine
from vqa_core.model.folder import load_model_folder
from vqa_core.model.vlm import best_device, resolve_precision
from vqa_core.runs.examples import group_by_image, split_by_image
from vqa_core.runs.model_folder import describe_model_folder

CONFIG = read_config(ROOT / "configs/demo.json")


def test_the_weights_are_those_of_the_config_and_small_enough_to_clone() -> None:
    described = read_json(ROOT / "demo/model/vqa.json")
    assert describe_model_folder(ROOT / "demo/model").settings == settings_of(ModelSettings, CONFIG, {})
    assert (described["stage"]["name"], described["stage"]["lora_rank"]) == ("lora", CONFIG["train"]["lora_rank"])
    assert (ROOT / "demo/model/trained.safetensors").stat().st_size < 10e6


def test_the_log_reaches_the_step_that_was_kept() -> None:
    trained = read_json(ROOT / "demo/model/vqa.json")["trained"]
    steps = [line["step"] for line in read_json_lines(ROOT / "demo/metrics.jsonl")]
    assert steps == sorted(steps)
    assert steps[-1] == trained["steps"]


@pytest.mark.slow
def test_they_answer_questions_about_images_that_were_held_out(tmp_path: Path) -> None:
    """Validation images: the test answers are for `eval.score` alone."""
    write_easy_vqa(tmp_path / "data")
    data = settings_of(DataSettings, CONFIG, {})
    _, val = split_by_image(read_competition(tmp_path / "data").train, data.val_fraction, data.split_seed)
    examples = [example for group in group_by_image(val)[:20] for example in group]
    vlm = load_model_folder(ROOT / "demo/model", dtype=resolve_precision("auto", best_device()))
    engine = Engine(vlm, settings_of(PredictSettings, CONFIG, {}), (tmp_path / "data").resolve())
    answers = {prediction.question_id: prediction.answer for prediction in engine.generate(examples)}
    right = sum(answers[example.question_id] == example.answer for example in examples)
    assert right / len(examples) >= 0.98
