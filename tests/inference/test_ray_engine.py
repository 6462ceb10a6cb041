"""Ray is an extra: these tests run where it is installed and say so where it is not."""

import importlib.util
from pathlib import Path

import pytest

from tests.support.tiny import TINY_MODEL, tiny_parts, tiny_run
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.files import InputError
from vqa_core.inference.build import build_engine
from vqa_core.inference.ray_engine import _group_records, generate_with_ray
from vqa_core.model.folder import save_model_folder
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import build_vlm
from vqa_core.runs.model_folder import Stage

HAS_RAY = importlib.util.find_spec("ray") is not None


def test_records_keep_an_images_questions_together_and_lose_none(tmp_path: Path) -> None:
    examples = tiny_run(tmp_path / "run").examples("test")
    records = _group_records(examples, limit=5)
    assert sorted(e.question_id for record in records for e in record) == sorted(e.question_id for e in examples)
    images = [{e.image for e in record} for record in records]
    assert sum(map(len, images)) == len(set().union(*images))


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_the_flag_says_how_to_get_it(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"pip install 'ray\[data\]"):
        next(generate_with_ray(run, PredictSettings(ray_workers=2), run.data_root(), run.examples("test")))


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="the extra `ray` is not installed: pip install 'ray[data]==2.60.0'")
def test_two_ray_workers_give_the_answers_of_one_engine(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run")
    tower, language = tiny_parts(tmp_path)
    vlm = build_vlm(ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language)))
    prepare_stage(vlm, Stage("align"))
    save_model_folder(run.model, vlm, Stage("align"), about={})
    examples = run.examples("test")
    settings = PredictSettings(precision="fp32", batch_questions=4, ray_workers=2)
    done = {examples[0].question_id}
    shared = list(generate_with_ray(run, settings, run.data_root(), examples, done))
    alone = build_engine(run, settings, run.data_root()).generate(examples, done)
    assert {p.question_id: p.answer for p in shared} == {p.question_id: p.answer for p in alone}
