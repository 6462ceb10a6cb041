"""Validation while training asks the model as a user would."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.tiny import TINY_TRAIN, tiny_run, tiny_vlm
from vqa_core.config import TrainSettings
from vqa_core.training import validation


def test_accuracy_is_the_share_of_answers_that_are_right_to_the_letter(tmp_path: Path) -> None:
    run, vlm = tiny_run(tmp_path), tiny_vlm()
    examples, settings = run.examples("val"), TrainSettings(**TINY_TRAIN)
    assert validation.validator(vlm, examples, run.data_root(), settings)()["questions"] == len(examples)
    engine = validation.Engine(vlm, validation.PredictSettings(), run.data_root())
    answers = {each.question_id: each.answer for each in engine.generate(examples)}
    taught = [
        replace(each, answer=answers[each.question_id] + "!" * (number % 3 == 0))
        for number, each in enumerate(examples)
    ]
    wrong = len(range(0, len(examples), 3))
    found = validation.validator(vlm, taught, run.data_root(), settings)()
    assert found == {"accuracy": pytest.approx(1 - wrong / len(examples)), "questions": len(examples)}


@pytest.mark.parametrize(("attention", "engine"), [("sdpa", "shared"), ("flash_attention_2", "hf_batch")])
def test_validation_asks_with_rows_that_the_attention_takes(
    attention: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm = tiny_vlm()
    vlm.language_model.config._attn_implementation_internal = attention
    made: list[str] = []
    monkeypatch.setattr(validation, "Engine", lambda _vlm, settings, _root, **_: made.append(settings.engine))
    validation.validator(vlm, [], tmp_path, TrainSettings())
    assert made == [engine]
