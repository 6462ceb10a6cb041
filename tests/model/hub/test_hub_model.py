"""Models of the hub answer as their own `generate` does, one question at a time, whatever their questions share."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch
from PIL import Image

from tests.support.plain_generate import LONGEST, generated, picture
from tests.support.tiny import ANSWERS, QUESTIONS, tiny_picture
from tests.support.tiny_hub import KINDS, TEMPLATED, plain_inputs, tiny_hub
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.data.images import open_image
from vqa_core.inference.beam_search import find_likeliest
from vqa_core.inference.decoding import generate_packed
from vqa_core.inference.engine import Engine
from vqa_core.model.capabilities import CAPABILITIES, Sharing
from vqa_core.model.hub.assembly import build_hub_model
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.packing import Branch, pack_onto
from vqa_core.runs.examples import Example

pytestmark = pytest.mark.slow

SHARING = sorted(kind for kind, capability in CAPABILITIES.items() if capability.sharing is Sharing.PREFIX)


@cache
def hub(kind: str) -> HubModel:
    return build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, Path(mkdtemp()) / kind))))


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
    assert model.sharing == CAPABILITIES[kind].sharing
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
    assert {prediction.status == "cut" for prediction in predictions} == {True, False}


@pytest.mark.parametrize("kind", SHARING)
def test_logits_of_branches_are_those_of_single_prompts(kind: str) -> None:
    model = hub(kind)
    pictures = [model.preprocess(picture(number)) for number in (0, 1)]
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
    prefixes = [model.preprocess(open_image(data_root / f"{number}.png")).prefix.ids for number in range(4)]
    before = prefixes[0].index(model.image_token_id)  # the text before the picture, which is read once for all
    assert engine.work.encodes == 4
    assert engine.work.lm_tokens == before + sum(len(ids) - before for ids in prefixes) + sum(
        len(model.prompt.branch_ids(example.question)[0]) for example in EXAMPLES
    )


@pytest.mark.parametrize("kind", ["llava", "smolvlm", "qwen2_5_vl", "gemma3", "paligemma", "florence2"])
def test_every_way_to_ask_gives_the_same_answers(kind: str, data_root: Path) -> None:
    model = hub(kind)
    settings = PredictSettings(max_new_tokens=LONGEST)
    for allowed in (None, ANSWERS):
        engine = Engine(model, settings, data_root, allowed_answers=allowed)
        naive = Engine(model, replace(settings, engine="naive"), data_root, allowed_answers=allowed)
        asked = engine.ask(picture(1), QUESTIONS)
        *_, last = streamed = list(engine.stream(picture(1), QUESTIONS))
        assert last == [(prediction.answer, prediction.probability) for prediction in asked]
        assert (len(streamed) > 2) == (model.sharing is Sharing.PREFIX)
        answers = [answer for answer, _ in last]
        assert [one.answer for one in naive.ask(picture(1), QUESTIONS)] == answers
        if allowed:
            assert set(answers) <= set(ANSWERS)
    found = find_likeliest(engine, picture(1), QUESTIONS, k=3)
    if model.sharing is Sharing.PREFIX:
        assert [candidates[0].answer for candidates in found] == answers
        assert [candidates[0].probability for candidates in found] == pytest.approx(
            [prediction.probability for prediction in asked], abs=1e-5
        )
    else:
        assert found == [[] for _ in QUESTIONS]


@pytest.mark.parametrize("kind", ["llava_next", "smolvlm", "qwen2_vl"])
def test_eager_attention_has_a_mask_of_its_own(kind: str, data_root: Path) -> None:
    eager = build_hub_model(hub(kind).settings, attention="eager")
    assert eager.attention == "eager"
    found, expected = (
        [p.generated for p in Engine(model, PredictSettings(), data_root).generate(EXAMPLES)]
        for model in (eager, hub(kind))
    )
    assert found == expected


def test_an_unknown_architecture_is_asked_question_by_question_and_said(
    data_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(CAPABILITIES, "internvl")
    unknown = build_hub_model(hub("internvl").settings)
    assert unknown.sharing is Sharing.NOTHING
    assert "'internvl' is not in the table" in caplog.text
    engine = Engine(unknown, PredictSettings(max_new_tokens=LONGEST), data_root)
    expected = [p.generated for p in Engine(hub("internvl"), engine.settings, data_root).generate(EXAMPLES)]
    assert [p.generated for p in engine.generate(EXAMPLES)] == expected
    assert engine.work.encodes == len(EXAMPLES)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("llava_next", {"sliding_window": 24}, "sliding window"),
        ("llava", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1000.0}}, "dynamic rotary"),
    ],
)
def test_a_language_model_that_bears_no_packed_rows_shares_the_encoding_alone(
    kind: str, text: dict[str, Any], said: str, data_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, tmp_path, **text))))
    assert model.sharing is Sharing.VISION
    assert said in caplog.text
    engine = Engine(model, PredictSettings(max_new_tokens=LONGEST), data_root)
    expected = [engine.text_of(generated(model, picture(2), question)[0]) for question in QUESTIONS]
    assert [prediction.generated for prediction in engine.ask(picture(2), QUESTIONS)] == expected
    assert engine.work.encodes == 1


def test_only_where_the_prefix_is_shared_is_the_mask_ours() -> None:
    assert all(row.source for row in CAPABILITIES.values())


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("size", [(40, 3), (3, 40), (1, 1), (900, 2)])
def test_a_picture_of_any_shape_is_taken_or_refused_by_name(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    tiny_picture(0).resize(size).save(tmp_path / "odd.png")
    engine = Engine(hub(kind), PredictSettings(max_new_tokens=2), tmp_path)
    (prediction,) = engine.generate([Example("odd", "odd", "odd.png", "Is it dark?")])
    if prediction.status == "bad_image":
        assert re.search(f"picture (of|is) {size[0]} x {size[1]}", prediction.detail)
    else:
        expected = generated(hub(kind), open_image(tmp_path / "odd.png"), "Is it dark?")[0][:2]
        assert prediction.generated == engine.text_of(expected)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_tiles_of_a_picture_are_what_the_model_is_given(kind: str) -> None:
    model = hub(kind)
    plain = Image.new("RGB", (64, 64), (200, 100, 30))
    tiles = model.tiles(model.preprocess(plain))
    assert bool(tiles) != (kind.startswith("qwen") or kind in ("fuyu", "pix2struct"))  # which give patches
    for tile in tiles:
        assert max(abs(a - b) for a, b in zip(tile.getpixel((tile.width // 2, tile.height // 2)), (200, 100, 30))) <= 1


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_pictures_may_be_seen_in_several_threads(kind: str) -> None:
    model, pictures = hub(kind), [picture(number % 4) for number in range(24)]

    def ids(image: Image.Image) -> list[list[int]]:
        seen = model.preprocess(image)
        inputs = model.question_inputs(seen, QUESTIONS[0])
        return [seen.prefix.ids, *(inputs[name].tolist() for name in inputs if name.endswith("input_ids"))]

    alone = [ids(image) for image in pictures[:4]]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ids, pictures)) == alone * 6


@pytest.mark.parametrize("kind", TEMPLATED)
def test_a_row_s_inputs_are_those_that_the_processor_makes_of_the_whole_prompt(kind: str) -> None:
    model = hub(kind)
    found = model.question_inputs(model.preprocess(picture(1)), QUESTIONS[0])
    expected = plain_inputs(model.processor, picture(1), QUESTIONS[0])
    assert {name for name, value in expected.items() if isinstance(value, torch.Tensor)} == found.keys()
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name
