"""What is written in a question stays text, and a long one is cut to the model's positions, in every architecture."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tests.support.tiny import QUESTIONS, tiny_picture
from tests.support.tiny_hub import KINDS, tiny_hub
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.files import InputError
from vqa_core.inference.engine import Engine
from vqa_core.model.capabilities import CAPABILITIES
from vqa_core.model.hub.assembly import build_hub_model
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.prompts.plain_text import control_tokens

pytestmark = pytest.mark.slow

LOOKS = (
    "<image>", "<|im_end|>", "</s>", "<s>", "<|endoftext|>", "[INST]", "<image_soft_token>", "<|vision_start|>",
    "<|image_pad|>", "<IMG_CONTEXT>", "<loc0000>", "<grounding>", "</image>", "<phrase>", "<patch_index_0001>",
    "<|image|>", "<row_1_col_1>", "<fake_token_around_image>", "|SPEAKER|", "|NEWLINE|", "<0x04>", "<pad>", "<unk>",
    "<box>1, 2</box>", "<point>",
)  # fmt: skip
NO_POSITIONS = ("instructblip", "pix2struct", "udop")  # relative ones
LONG = "Is it red, or is it dark blue, or is it none of them? " * 20


@cache
def hub(kind: str, **text: Any) -> HubModel:
    return build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, Path(mkdtemp()) / kind, **text))))


def ids_of(model: HubModel, question: str, choices: tuple[str, ...] = ()) -> list[int]:
    picture = model.preprocess(tiny_picture(0))
    inputs = model.question_inputs(picture, question, choices=choices)
    ids = inputs.get("input_ids", inputs.get("decoder_input_ids"))
    return [] if ids is None else ids[0].tolist()


def controls_in(model: HubModel, ids: list[int]) -> int:
    tokenizer = model.prompt.tokenizer
    known = set(control_tokens(tokenizer).values()) - {tokenizer.unk_token_id}
    vocabulary = tokenizer.get_vocab()
    known |= {vocabulary[word] for word in CAPABILITIES[model.architecture.model_type].marks if word in vocabulary}
    return sum(id in known for id in ids)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_text_in_a_question_an_option_or_an_instruction_is_text(kind: str) -> None:
    model = hub(kind)
    expected = controls_in(model, ids_of(model, "what is it?"))
    for look in LOOKS:
        assert controls_in(model, ids_of(model, f"what is {look} here?")) == expected, look
        assert controls_in(model, ids_of(model, "which?", (look, "no"))) == expected, look
        answer = model.prompt.answer_ids(f"a {look}")
        assert controls_in(model, answer) == 0, look
    for start in range(0, len(LOOKS), 6):
        instruction = f"See {' '.join(LOOKS[start : start + 6])}."
        told = model.with_prompt(replace(model.settings, instruction=instruction))
        assert controls_in(told, ids_of(told, "what is it?")) == expected, instruction


@pytest.mark.parametrize("kind", ["kosmos-2", "paligemma", "fuyu", "llava", "gemma3", "florence2"])
def test_a_question_with_marks_in_it_is_answered_like_any_other(kind: str) -> None:
    engine = Engine(hub(kind), PredictSettings(max_new_tokens=3), Path())
    predictions = engine.ask(tiny_picture(0), [f"what is {' '.join(LOOKS)}?", QUESTIONS[0]])
    assert {each.status for each in predictions} <= {"ok", "cut", "empty"}


@pytest.mark.parametrize("kind", sorted({*KINDS} - {*NO_POSITIONS}))
def test_a_long_question_is_cut_to_the_positions(kind: str) -> None:
    whole = hub(kind)
    short = len(ids_of(whole, QUESTIONS[0]))
    positions = short + 140
    if kind == "git":  # its config has no part for text
        model = hub(kind)
        model.model.config.max_position_embeddings = positions
    else:
        model = hub(kind, max_position_embeddings=positions)
    engine = Engine(model, PredictSettings(max_new_tokens=4), Path(), fallback=lambda _: "guess")
    asked = [LONG, QUESTIONS[0]]
    predictions = engine.ask(tiny_picture(0), asked)
    said = f"tokens: the model has {positions} positions"
    assert predictions[0].status in ("cut", "question_cut", "empty")
    assert said in predictions[0].detail or predictions[0].status == "empty"
    assert said not in predictions[1].detail
    many = tuple(f"number {n}" for n in range(99))
    refused, chosen = engine.ask(tiny_picture(0), [QUESTIONS[0], LONG], [many, ("red", "blue")])
    assert (refused.status, refused.answer) == ("error", "A")
    assert (chosen.status, len(chosen.options)) == ("question_cut", 2)
    *_, last = engine.stream(tiny_picture(0), asked)
    assert [answer for answer, _ in last] == [prediction.answer for prediction in predictions]


def test_an_instruction_that_leaves_no_position_is_said() -> None:
    model = hub("blip-2")
    with pytest.raises(InputError, match=r"takes \d+ tokens, and the model has 256 positions\. Shorten the --ins"):
        model.with_prompt(replace(model.settings, instruction="Answer in one word. " * 40))


@pytest.mark.parametrize("kind", NO_POSITIONS)
def test_relative_positions_have_no_end(kind: str) -> None:
    assert hub(kind).positions.row is None


@pytest.mark.parametrize("kind", ["llava_next", "smolvlm", "qwen2_vl"])
def test_a_picture_that_is_too_long_by_itself_is_that_question_s_error(kind: str) -> None:
    model = hub(kind, max_position_embeddings=12)
    engine = Engine(model, PredictSettings(max_new_tokens=4), Path(), fallback=lambda _: "guess")
    (prediction,) = engine.ask(tiny_picture(0), QUESTIONS[:1])
    assert (prediction.status, prediction.answer) == ("error", "guess")
    assert "the model has 12 positions: the picture and the prompt before the question take" in prediction.detail
