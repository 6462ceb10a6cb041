"""A question that is longer than the model's positions is cut and said, in every way of answering."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.support.tiny import (
    PROCESSOR,
    TINY_MODEL,
    randomised,
    tiny_language_model,
    tiny_picture,
    tiny_tokenizer,
    tiny_tower,
    write_pictures,
)
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.inference.beam_search import find_likeliest
from vqa_core.inference.engine import Engine
from vqa_core.inference.fitting import fitting_limit
from vqa_core.model.vlm import Vlm, assemble
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction

POSITIONS, LONGEST = 192, 6
SHORT = "What colour is the shape?"
LONG = "Is it red, or is it dark blue, or is it none of them? " * 12
WAYS = [("llama", "shared"), ("llama", "naive"), ("llama", "hf_batch"), ("opt", "shared"), ("opt", "hf_batch")]


@cache
def vlm_of(kind: str, positions: int = POSITIONS, **settings: Any) -> Vlm:
    """A tiny LLaVA with rotary (`llama`) or learned (`opt`) positions for so many tokens."""
    tokenizer = tiny_tokenizer()
    if kind == "llama":
        language: Any = tiny_language_model(tokenizer)
        language.config.max_position_embeddings = positions
    else:
        config = AutoConfig.for_model(
            "opt", vocab_size=320, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
            word_embed_proj_dim=32, max_position_embeddings=positions, pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=False,
        )  # fmt: skip
        language = randomised(AutoModelForCausalLM.from_config(config, dtype=torch.float32), 1)
    vlm = assemble(tiny_tower(), language, tokenizer, PROCESSOR, ModelSettings(**TINY_MODEL | settings))
    randomised(vlm.projector, 2)
    vlm.model.eval()
    return vlm


def example(name: str, question: str, choices: tuple[str, ...] = ()) -> Example:
    return Example(name, "i", "i.png", question, choices=choices, answer_form="A" if choices else "")


def answered(kind: str, way: str, examples: list[Example], root: Path, **how: Any) -> dict[str, Prediction]:
    settings = PredictSettings(engine=way, **{"max_new_tokens": LONGEST, **how})
    engine = Engine(vlm_of(kind), settings, root, fallback=lambda _: "guess")
    return {prediction.question_id: prediction for prediction in engine.generate(examples)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, [example("a", SHORT)])
    return folder


@pytest.mark.parametrize(("kind", "way"), WAYS)
def test_a_long_question_is_answered_by_its_beginning_and_said(kind: str, way: str, root: Path) -> None:
    vlm = vlm_of(kind)
    found = answered(kind, way, [example("short", SHORT), example("long", LONG)], root)
    before = len(vlm.prompt.prefix_ids) + vlm.image_tokens
    asked = vlm.prompt.count_tokens(LONG)
    kept = POSITIONS - before - len(vlm.prompt.branch_ids("")[0]) - (LONGEST - 1)
    said = f"the question was cut from {asked} to {kept} tokens: the model has {POSITIONS} positions"
    assert found["long"].detail.rpartition("; ")[2] == said
    before_it = {"cut": "cut off by --max-new-tokens", "question_cut": "", "empty": "the model gave an empty answer"}
    assert found["long"].detail.rpartition("; ")[0] == before_it[found["long"].status]
    assert found["short"] == answered(kind, way, [example("short", SHORT)], root)["short"]
    assert found["short"].status in ("ok", "cut")
    ids, cut = vlm.prompt.branch_ids(LONG, budget=POSITIONS - before - (LONGEST - 1))
    assert (cut, before + len(ids) + LONGEST - 1) == (asked - kept, POSITIONS)


def test_all_ways_answer_a_question_that_is_cut_alike(root: Path) -> None:
    for kind in ("llama", "opt"):
        ways = [answered(kind, way, [example("a", LONG)], root)["a"] for way in ("shared", "naive", "hf_batch")]
        assert len({prediction.generated for prediction in ways}) == 1


@pytest.mark.parametrize(("kind", "way"), WAYS)
def test_options_are_never_cut(kind: str, way: str, root: Path) -> None:
    few, many = ("red", "blue"), tuple(f"number {n}" for n in range(40))
    asked = [example("cut", LONG, few), example("no", SHORT, many), example("ok", SHORT, few), example("open", SHORT)]
    found = answered(kind, way, asked, root, option_orders=2)
    assert found["cut"].status == "question_cut"
    assert len(found["cut"].options) == 2
    assert found["no"].status == "error"
    assert f"the model has {POSITIONS} positions" in found["no"].detail
    assert (found["ok"].status, found["open"].status in ("ok", "cut")) == ("ok", True)


def test_a_question_that_just_fits_is_not_cut(root: Path) -> None:
    vlm = vlm_of("opt")
    left = POSITIONS - len(vlm.prompt.prefix_ids) - vlm.image_tokens - (LONGEST - 1)
    question = "".join("?" * left)
    while len(vlm.prompt.branch_ids(question)[0]) > left:
        question = question[:-1]
    found = answered("opt", "shared", [example("fits", question), example("more", question + "??")], root)
    assert found["fits"].status in ("ok", "cut", "empty")
    assert "question was cut" not in found["fits"].detail
    assert "question was cut" in found["more"].detail


def test_where_the_picture_alone_is_too_long_each_question_says_so(root: Path) -> None:
    engine = Engine(vlm_of("opt", 8), PredictSettings(), root, fallback=lambda _: "guess")
    (prediction,) = engine.generate([example("a", SHORT)])
    assert (prediction.status, prediction.answer) == ("error", "guess")
    assert "the model has 8 positions: the picture and the prompt before the question take" in prediction.detail


def test_an_answer_leaves_half_of_the_room_to_questions() -> None:
    vlm = vlm_of("opt")
    left = POSITIONS - len(vlm.prompt.prefix_ids) - vlm.image_tokens - len(vlm.prompt.branch_ids("")[0])
    assert fitting_limit(vlm, 1000) == left // 2 + 1
    assert fitting_limit(vlm, 5) == 5


@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_the_page_s_way_to_ask_ends_with_the_same(kind: str, root: Path) -> None:
    engine = Engine(vlm_of(kind), PredictSettings(max_new_tokens=LONGEST), root, fallback=lambda _: "guess")
    questions = [SHORT, LONG]
    stream = engine.stream(tiny_picture(0), questions)
    try:
        while True:
            last = next(stream)
    except StopIteration as stop:
        returned = stop.value
    assert returned == engine.ask(tiny_picture(0), questions)
    assert last == [(prediction.answer, prediction.probability) for prediction in returned]
    likeliest = find_likeliest(engine, tiny_picture(0), questions, k=2)
    assert len(likeliest) == 2
    too_long = Engine(vlm_of(kind, 8), PredictSettings(), root, fallback=lambda _: "guess")
    assert find_likeliest(too_long, tiny_picture(0), questions) == [[], []]
    assert [prediction.status for prediction in too_long.ask(tiny_picture(0), questions)] == ["error", "error"]


def test_an_answer_that_reaches_the_limit_is_cut_and_one_that_ends_there_is_not(root: Path) -> None:
    vlm = vlm_of("llama", 512)
    questions = [f"{SHORT} {number}" for number in range(20)]
    examples = [example(str(at), question) for at, question in enumerate(questions)]

    def answers(longest: int) -> dict[str, Prediction]:
        engine = Engine(vlm, PredictSettings(max_new_tokens=longest), root)
        return {prediction.question_id: prediction for prediction in engine.generate(examples)}

    whole = {key: value for key, value in answers(24).items() if value.status == "ok"}
    found = [answers(longest) for longest in range(1, 25)]
    for key, prediction in whole.items():
        ends_at = next(at for at, limited in enumerate(found) if limited[key].status == "ok")
        assert all(limited[key] == prediction for limited in found[ends_at:])
        assert all(limited[key].status in ("cut", "empty") for limited in found[:ends_at])
        assert all(limited[key].is_fallback == (limited[key].status == "empty") for limited in found[:ends_at])
    assert len(whole) > 5
