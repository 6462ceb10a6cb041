"""Architectures that nobody looked at are asked and taught as their own processor and `generate` have it."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch
from transformers import Idefics2Model

from tests.support.plain_generate import ANSWERS_TAUGHT, LONGEST, generated, picture
from tests.support.tiny import ANSWERS, QUESTIONS, losses, tiny_run
from tests.support.tiny_hub import plain_inputs, tiny_hub
from tests.support.unknown_hubs import UNKNOWN_KINDS
from train import finetune
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.files import InputError
from vqa_core.inference.engine import Engine
from vqa_core.model.capabilities import CAPABILITIES, Sharing
from vqa_core.model.collator import collate
from vqa_core.model.folder import load_model_folder
from vqa_core.model.hub.assembly import build_hub_model
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.packing import pack_onto
from vqa_core.training.data import BranchEncoder
from vqa_core.training.losses.separate import SeparateRowsLoss

pytestmark = pytest.mark.slow

KINDS = sorted(UNKNOWN_KINDS)


@cache
def hub(kind: str) -> HubModel:
    return build_hub_model(ModelSettings(base_model=str(tiny_hub(UNKNOWN_KINDS[kind], Path(mkdtemp()) / kind))))


def written(model: HubModel, question: str) -> str:
    """A question as the processor by itself wants it."""
    return question if model.processor.chat_template else f"{model.processor.image_token}{question}"


def test_none_of_them_is_in_the_table() -> None:
    assert not CAPABILITIES.keys() & UNKNOWN_KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_plain_generate(kind: str) -> None:
    model = hub(kind)
    assert model.sharing is Sharing.NOTHING
    engine = Engine(model, PredictSettings(max_new_tokens=LONGEST), Path())
    seen: set[str] = set()
    for number in range(3):
        found = [prediction.generated for prediction in engine.ask(picture(number), QUESTIONS)]
        assert found == [
            engine.text_of(generated(model, picture(number), written(model, question))[0]) for question in QUESTIONS
        ]
        seen |= set(found)
    assert len(seen) > 6
    limited = Engine(model, engine.settings, Path(), allowed_answers=ANSWERS)
    asked = limited.ask(picture(0), QUESTIONS)
    assert {prediction.answer for prediction in asked} <= set(ANSWERS)
    assert all(0 < float(prediction.probability or 0) <= 1 for prediction in asked)


def test_one_that_fails_is_told_of_when_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_hub(UNKNOWN_KINDS["idefics2"], tmp_path)

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no heads\nat all")

    monkeypatch.setattr(Idefics2Model, "forward", fails)
    with pytest.raises(InputError, match=r"of type 'idefics2' can't be asked with a picture and a question: no heads$"):
        build_hub_model(ModelSettings(base_model=str(folder)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_model_s_own_forward_pass(kind: str) -> None:
    model, question = hub(kind), QUESTIONS[1]
    for number, answer in enumerate(ANSWERS_TAUGHT):
        seen = model.preprocess(picture(number))
        branch = BranchEncoder(model.prompt, 256).encode(question, answer)[0]
        batch = collate([pack_onto(model.prefix_of(seen), [branch])], model.pad_id)
        with torch.no_grad():
            found = float(SeparateRowsLoss(model)(model.stacked([seen], [[question]]), **batch)["loss"])
            own = float(model.model(**labelled(model, seen.image, question, branch.answer)).loss)
        assert found == pytest.approx(own * len(branch.answer), rel=1e-5)


def labelled(model: HubModel, image: Any, question: str, answer: list[int]) -> dict[str, Any]:
    """What the processor makes of a question by itself, with an answer and labels on that."""
    inputs: dict[str, Any] = plain_inputs(model.processor, image, written(model, question))
    asked = inputs["input_ids"]
    for name, value in (("attention_mask", 1), ("mm_token_type_ids", 0)):
        if name in inputs:
            inputs[name] = torch.cat([inputs[name], inputs[name].new_full((1, len(answer)), value)], dim=1)
    inputs["input_ids"] = torch.cat([asked, torch.tensor([answer])], dim=1)
    return inputs | {"labels": torch.cat([torch.full_like(asked, -100), torch.tensor([answer])], dim=1)}


@pytest.mark.parametrize("kind", ["gemma4", "idefics2"])
def test_training_learns(kind: str, tmp_path: Path) -> None:
    run = tiny_run(tmp_path, train_images=8)
    finetune.main(
        ["--run", str(run.root), "--base-model", hub(kind).settings.base_model, "--stage", "lora", "--lora-rank", "4",
         "--batch-questions", "8", "--max-steps", "20", "--learning-rate", "1e-2", "--log-every", "1", "--save-every",
         "100", "--precision", "fp32", "--text-token-budget", "256"]
    )  # fmt: skip
    loss = list(losses(run).values())
    assert sum(loss[-5:]) < 0.9 * sum(loss[:5])
    assert load_model_folder(run.model).sharing is Sharing.NOTHING


def test_a_question_is_never_cut() -> None:
    prompt = hub("janus").prompt
    whole, _ = prompt.branch_ids(QUESTIONS[3])
    assert prompt.branch_ids(QUESTIONS[3], budget=8) == (whole, 0)
    assert not prompt.cuts
