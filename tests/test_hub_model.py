"""Models of the hub answer as their own `generate` does, one question at a time, whatever their questions share."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch
from PIL import Image

from tests.tiny import QUESTIONS, tiny_picture
from tests.tiny_hub import KINDS, tiny_hub
from vqa_core.capabilities import CAPABILITIES
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.decoding import generate_packed
from vqa_core.engine import Engine
from vqa_core.examples import Example
from vqa_core.hub_model import HubModel, build_hub_model
from vqa_core.images import open_image
from vqa_core.packing import Branch, pack_onto

LONGEST = 6
SIZES = [(50, 40), (40, 90), (64, 64), (33, 20)]
SHARING = sorted(kind for kind, capability in CAPABILITIES.items() if capability.share == "kv")


@cache
def hub(kind: str) -> HubModel:
    return build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, Path(mkdtemp()) / kind))))


def picture(number: int) -> Image.Image:
    return tiny_picture(number).resize(SIZES[number % len(SIZES)])


def generated(model: HubModel, image: Image.Image, question: str) -> tuple[list[int], torch.Tensor]:
    """What plain `generate` gives to one question, and the logits (steps, V) it chose from."""
    content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
    inputs = model.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    output: Any = model.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=LONGEST,
        eos_token_id=sorted(model.stop_ids),
        pad_token_id=model.pad_id,
        return_dict_in_generate=True,
        output_logits=True,
    )
    ids = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    return [token for token in ids if token not in model.stop_ids], torch.cat(output.logits)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number in range(4):
        picture(number).save(folder / f"{number}.png")
    return folder


EXAMPLES = [
    Example(f"{image}-{number}", str(image), f"{image}.png", question)
    for image in range(4)
    for number, question in enumerate(QUESTIONS[: 1 + 2 * image])
]


def test_every_row_of_the_table_has_its_test() -> None:
    assert CAPABILITIES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_answers_are_those_of_plain_generate(kind: str, data_root: Path) -> None:
    model = hub(kind)
    assert model.sharing == CAPABILITIES[kind].share
    engine = Engine(model, PredictSettings(max_new_tokens=LONGEST), data_root)
    expected = {
        example.question_id: engine.text_of(
            generated(model, open_image(data_root / example.image), example.question)[0]
        )
        for example in EXAMPLES
    }
    for batch_questions in (1, 3, 100):
        engine.settings = PredictSettings(max_new_tokens=LONGEST, batch_questions=batch_questions)
        predictions = list(engine.generate(EXAMPLES))
        assert {prediction.question_id: prediction.generated for prediction in predictions} == expected
    assert len(set(expected.values())) > 4
    assert {prediction.detail for prediction in predictions} >= {"", "cut off by --max-new-tokens"}


@pytest.mark.parametrize("kind", SHARING)
def test_logits_of_branches_are_those_of_single_prompts(kind: str) -> None:
    model = hub(kind)
    pictures = [model.see(picture(number)) for number in (0, 1)]
    questions = QUESTIONS[:4]
    branches = [Branch(model.prompt.branch_ids(question)[0], []) for question in questions]
    rows = [pack_onto(model.prefix_of(seen), branches) for seen in pictures]
    with torch.inference_mode():
        image_tokens = model.encode_images(model.stacked(pictures))
        grouped = generate_packed(model, rows, image_tokens, LONGEST)
    for number, answers in enumerate(grouped):
        for question, answer in zip(questions, answers, strict=True):
            ids, logits = generated(model, picture(number), question)
            assert answer.ids == ids
            chosen = logits.float().log_softmax(-1).max(-1).values.sum()
            assert answer.logprob == pytest.approx(float(chosen), abs=1e-4)
    assert all(abs(one.logprob - two.logprob) > 1e-3 for one, two in zip(*grouped, strict=True))  # they saw the picture


@pytest.mark.parametrize("kind", SHARING)
def test_a_picture_is_encoded_and_its_prefix_computed_once(kind: str, data_root: Path) -> None:
    model = hub(kind)
    engine = Engine(model, PredictSettings(max_new_tokens=1), data_root)
    list(engine.generate(EXAMPLES))
    prefixes = sum(len(model.see(open_image(data_root / f"{number}.png")).prefix.ids) for number in range(4))
    assert engine.work.encodes == 4
    assert engine.work.lm_tokens == prefixes + sum(
        len(model.prompt.branch_ids(example.question)[0]) for example in EXAMPLES
    )
