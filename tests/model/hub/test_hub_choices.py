"""Whole models choose among a question's options: packed, row by row, and as their own `generate` begins."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch

from tests.support.plain_generate import picture
from tests.support.tiny import QUESTIONS, tiny_picture
from tests.support.tiny_hub import tiny_hub
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.inference.engine import Engine
from vqa_core.model.capabilities import Sharing
from vqa_core.model.hub.assembly import build_hub_model
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.planning.batches import PlannedRow
from vqa_core.runs.examples import Example
from vqa_core.training.data import BranchEncoder, TrainingBatches
from vqa_core.training.losses.separate import SeparateRowsLoss

pytestmark = pytest.mark.slow

KINDS = ["llava", "qwen2_5_vl", "gemma3", "mllama", "llava_next", "paligemma", "florence2", "blip-2"]
CHOICES = [("red", "dark blue"), ("yes", "no", "a big dog", ""), (), ("1", "2", "3", "<|im_end|>", "green")]
ASKED = QUESTIONS[: len(CHOICES)]


@cache
def hub(kind: str, **settings: Any) -> HubModel:
    return build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, Path(mkdtemp()) / kind)), **settings))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scoring", ["letter", "text", "text_per_token"])
def test_options_are_chosen_alike_whatever_is_shared(kind: str, scoring: str) -> None:
    model = hub(kind, choice_scoring=scoring)
    asked = [
        Engine(model, PredictSettings(max_new_tokens=3, option_orders=2, engine=engine), Path()).ask(
            picture(1), ASKED, CHOICES
        )
        for engine in ("shared", "naive")
    ]
    for shared, naive, choices in zip(*asked, CHOICES, strict=True):
        assert shared.options == pytest.approx(naive.options, rel=1e-3, abs=3e-6)
        assert (shared.answer, shared.generated) == (naive.answer, naive.generated)
        assert len(shared.options) == len(choices)
        if choices:
            assert sum(shared.options) == pytest.approx(1, abs=1e-5)
            assert shared.answer in "ABCDE"


@pytest.mark.parametrize("kind", KINDS)
def test_a_letter_is_as_likely_as_the_models_own_generate_has_it(kind: str) -> None:
    model = hub(kind)
    seen = model.preprocess(picture(1))
    for question, choices in zip(ASKED, CHOICES, strict=True):
        if not choices:
            continue
        (found,) = Engine(model, PredictSettings(), Path()).ask(picture(1), [question], [choices])
        forced = len(model.lead or [0]) - 1
        with torch.inference_mode():
            inputs = model.question_inputs(seen, question, choices=choices)
            made = model.model.generate(  # type: ignore[operator]
                **inputs, do_sample=False, max_new_tokens=1 + forced, output_logits=True, return_dict_in_generate=True
            )
        letters = [ids for choice, ids in zip(choices, model.prompt.choice_ids(choices), strict=True) if choice]
        if len(letters[0]) == 1:
            of_letters = torch.stack([made.logits[forced][0, ids[0]] for ids in letters]).float().softmax(0)
            assert [each for each, choice in zip(found.options, choices, strict=True) if choice] == pytest.approx(
                of_letters.tolist(), abs=1e-4
            )


@pytest.mark.parametrize("kind", ["llava", "smolvlm", "qwen2_5_vl"])
def test_a_picture_is_encoded_once_for_all_options_and_orders_where_it_can_be(kind: str) -> None:
    model = hub(kind)
    assert model.sharing is not Sharing.NOTHING
    engine = Engine(model, PredictSettings(option_orders=4), Path())
    engine.ask(picture(1), ASKED, CHOICES)
    assert engine.work.encodes == 1


@pytest.mark.parametrize("kind", ["paligemma", "florence2", "gemma3"])
def test_what_is_learnt_is_what_is_scored(kind: str, tmp_path: Path) -> None:
    """The loss of a shuffled question is the score of its right option, the options as they were shown."""
    model = hub(kind, choice_scoring="text")
    tiny_picture(0).save(tmp_path / "0.png")
    row: dict[str, object] = {"image": "0.png", "question_ids": ["a"], "questions": ["What?"], "answers": ["B"]}
    row |= {"choices": [["red", "dark blue", "green"]], "answer_forms": ["A"]}
    encoder = BranchEncoder(model.prompt, 256)
    batches = TrainingBatches([row], [[PlannedRow(0, (0,))]] * 6, model, encoder, tmp_path, 0)
    shown = {tuple(batches[index]["pixel_values"][0].choices[0]) for index in range(6)}
    assert len(shown) > 1
    for index in range(6):
        batch = batches[index]
        loss = SeparateRowsLoss(model)(**batch)["loss"]
        choices = tuple(batch["pixel_values"][0].choices[0])
        example = Example("a", "0", "0.png", "What?", choices=choices)
        (found,) = Engine(model, PredictSettings(), tmp_path).generate([example])
        likely = found.options[choices.index("dark blue")]
        scores = {choice: option / likely for choice, option in zip(choices, found.options, strict=True)}
        others = [
            SeparateRowsLoss(model)(**_asking(batches, row, choices, choice))["loss"] for choice in ("red", "green")
        ]
        for choice, other in zip(("red", "green"), others, strict=True):
            assert float(torch.exp(loss - other)) == pytest.approx(scores[choice], rel=1e-2)


def _asking(batches: TrainingBatches, row: dict[str, object], choices: tuple[str, ...], right: str) -> dict[str, Any]:
    """A batch of the question with these options in this order, another of them right."""
    given = row | {"choices": [list(choices)], "answers": [right], "answer_forms": ["text"]}
    return TrainingBatches([given], [[PlannedRow(0, (0,))]], batches.vlm, batches.encoder, batches.data_root)[0]
