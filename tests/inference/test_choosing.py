"""A multiple-choice question is answered with one of its options; probabilities are held against plain passes."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny import tiny_examples, tiny_picture, tiny_vlm, write_pictures
from tests.support.tiny_choices import tiny_choices
from vqa_core.config import CHOICE_SCORING, PredictSettings
from vqa_core.data.images import open_image
from vqa_core.inference import choosing
from vqa_core.inference.choosing import rotations
from vqa_core.inference.engine import Engine
from vqa_core.model.vlm import Vlm
from vqa_core.runs.choices import FORMS, find_choice, write_choice
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction

EXAMPLES = tiny_choices(8)
WORLDS = [
    {},
    {"prompt_style": "vicuna_v1", "adds_bos": True, "attention": "eager", "tower": "clip"},
    {"prompt_style": "llama_2"},  # a blank behind an answer: a letter is several tokens
]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder, EXAMPLES)
    return folder


@pytest.fixture(scope="module")
def vlm() -> Vlm:
    return tiny_vlm()


def choose(vlm: Vlm, data_root: Path, examples: Sequence[Example] = EXAMPLES, **settings: Any) -> dict[str, Prediction]:
    engine = Engine(vlm, PredictSettings(max_new_tokens=4, **settings), data_root)
    return {prediction.question_id: prediction for prediction in engine.generate(examples)}


@torch.inference_mode()
def by_brute_force(vlm: Vlm, data_root: Path, example: Example) -> list[float]:
    """The probability of each option, each in a row of its own: one plain causal pass over prompt and answer."""
    image = [vlm.image_token_id] * vlm.image_tokens
    prompt = [*vlm.prompt.prefix_ids, *image, *vlm.prompt.branch_ids(example.question, example.choices)[0]]
    tokens = vlm.encode_images(vlm.pixels([open_image(data_root / example.image)]))
    scores: list[float] = []
    for choice, ids in zip(example.choices, vlm.prompt.choice_ids(example.choices), strict=True):
        if not choice:
            scores.append(-math.inf)
            continue
        embeds = vlm.embed(torch.tensor([prompt + ids]), tokens)
        logits = vlm.model.lm_head(vlm.language_model(inputs_embeds=embeds).last_hidden_state[0])
        logprobs = logits.double().log_softmax(-1)
        score = sum(float(logprobs[len(prompt) - 1 + at, token]) for at, token in enumerate(ids))
        scores.append(score / len(ids) if vlm.settings.choice_scoring == "text_per_token" else score)
    weights = [math.exp(score - max(scores)) for score in scores]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("scoring", CHOICE_SCORING)
@pytest.mark.parametrize("world", WORLDS)
def test_probabilities_are_those_of_each_option_in_a_row_of_its_own(
    world: dict[str, Any], scoring: str, data_root: Path
) -> None:
    vlm = tiny_vlm(choice_scoring=scoring, **world)
    found = choose(vlm, data_root)
    for example in EXAMPLES:
        expected = by_brute_force(vlm, data_root, example)
        assert found[example.question_id].options == pytest.approx(expected, rel=1e-3, abs=2e-6)
    if scoring == "letter" or not world:  # else the tiny model may like one option of all
        assert len({find_choice(found[e.question_id].answer, e.choices, e.answer_form) for e in EXAMPLES}) > 2


@pytest.mark.parametrize("scoring", CHOICE_SCORING)
def test_only_an_option_is_answered_in_the_form_of_the_source_and_the_probability_is_among_them(
    scoring: str, data_root: Path
) -> None:
    vlm = tiny_vlm(choice_scoring=scoring)
    open_answers = choose(vlm, data_root, [replace(example, choices=()) for example in EXAMPLES])
    assert {each.answer for each in open_answers.values()}.isdisjoint("ABCDEFGHIJ")  # it would rather say otherwise
    assert {len(example.choices) for example in EXAMPLES} == set(range(2, 11))
    assert {example.answer_form for example in EXAMPLES} == set(FORMS)
    found = choose(vlm, data_root)
    for example in EXAMPLES:
        prediction = found[example.question_id]
        best = max(range(len(example.choices)), key=prediction.options.__getitem__)
        assert prediction.answer == write_choice(best, example.choices, example.answer_form)
        assert (prediction.status, prediction.detail) == ("ok", "")
        assert prediction.generated == ("ABCDEFGHIJ"[best] if scoring == "letter" else example.choices[best])
        assert len(prediction.options) == len(example.choices)
        assert sum(prediction.options) == pytest.approx(1, abs=1e-5)
        assert prediction.probability == prediction.options[best]


@pytest.mark.parametrize("scoring", ["letter", "text"])
@pytest.mark.parametrize("orders", [2, 3, 99])
def test_several_orders_give_the_mean_of_the_single_runs(orders: int, scoring: str, data_root: Path) -> None:
    vlm = tiny_vlm(choice_scoring=scoring)
    found = choose(vlm, data_root, option_orders=orders)
    for example in EXAMPLES[::4]:
        single, count = [], len(example.choices)
        shifts = [number * count // min(orders, count) for number in range(min(orders, count))]
        for shift in shifts:
            turned = replace(example, choices=example.choices[shift:] + example.choices[:shift])
            options = choose(vlm, data_root, [turned])[example.question_id].options
            single.append([options[(index - shift) % count] for index in range(count)])
        expected = [sum(of_option) / len(shifts) for of_option in zip(*single, strict=True)]
        assert found[example.question_id].options == pytest.approx(expected, rel=1e-3, abs=3e-6)


def test_rotations_are_spread_over_the_options_and_never_repeat() -> None:
    for count in range(2, 11):
        assert rotations(count, 1) == [0]
        assert rotations(count, 50) == list(range(count))
        for wanted in range(2, count + 1):
            found = rotations(count, wanted)
            assert len(set(found)) == wanted
            gaps = {after - before for before, after in pairwise([*found, count])}
            assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("orders", [1, 4])
@pytest.mark.parametrize("scoring", ["letter", "text"])
def test_a_picture_is_encoded_once_and_its_prefix_read_once_whatever_is_asked(
    scoring: str, orders: int, data_root: Path
) -> None:
    vlm = tiny_vlm(choice_scoring=scoring)
    engine = Engine(vlm, PredictSettings(option_orders=orders), data_root)
    list(engine.generate(EXAMPLES))
    images = {example.image for example in EXAMPLES}
    asked = fed = rows = 0
    for example in EXAMPLES:
        for shift in rotations(len(example.choices), orders):
            shown = example.choices[shift:] + example.choices[:shift]
            asked += len(vlm.prompt.branch_ids(example.question, shown)[0])
            fed += sum(len(ids) - 1 for ids in vlm.prompt.choice_ids(shown))
            rows += 1
    work = engine.work
    assert work.encodes == len(images)
    prefix = len(vlm.prompt.prefix_ids) + vlm.image_tokens
    before = (len(images) - 1) * len(vlm.prompt.prefix_ids)  # the text before the picture is read once
    assert work.lm_tokens == len(images) * prefix - before + asked + fed
    assert work.decode_tokens == fed
    assert work.head_rows == rows + fed
    assert (fed == 0) == (scoring == "letter")  # a letter is told from the end of the question


def test_many_questions_in_many_orders_fill_several_rows_and_the_picture_is_encoded_once_all_the_same(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = choose(vlm, data_root, option_orders=3)
    monkeypatch.setattr(choosing, "ROW_TOKENS", 150)
    monkeypatch.setattr(choosing, "HEAD_ROWS", 2)
    engine = Engine(vlm, PredictSettings(option_orders=3), data_root)
    for found in engine.generate(EXAMPLES):
        assert found.options == pytest.approx(expected[found.question_id].options, rel=1e-3, abs=2e-6)
    assert engine.work.encodes == len({example.image for example in EXAMPLES})


@pytest.mark.parametrize("scoring", CHOICE_SCORING)
@pytest.mark.parametrize("engine", ["naive", "hf_batch"])
def test_every_engine_chooses_the_same(engine: str, scoring: str, data_root: Path) -> None:
    vlm = tiny_vlm(choice_scoring=scoring)
    expected = choose(vlm, data_root, option_orders=2)
    for question_id, found in choose(vlm, data_root, option_orders=2, engine=engine, batch_questions=5).items():
        assert found.options == pytest.approx(expected[question_id].options, rel=1e-3, abs=3e-6)
        assert found.answer == expected[question_id].answer


@pytest.mark.parametrize("engine", ["shared", "hf_batch"])
def test_open_and_multiple_choice_questions_of_one_picture_are_answered_together(
    engine: str, vlm: Vlm, tmp_path: Path
) -> None:
    some = tiny_choices(6)
    mixed = [pair for pairs in zip(some, tiny_examples(6), strict=False) for pair in pairs]
    mixed = [replace(each, question_id=str(number)) for number, each in enumerate(mixed)]
    write_pictures(tmp_path, mixed)
    made = Engine(vlm, PredictSettings(max_new_tokens=4, engine=engine), tmp_path)
    together = {each.question_id: each for each in made.generate(mixed)}
    if engine == "shared":
        assert made.work.encodes == len({each.image for each in mixed})
    for kind in (True, False):
        alone = [each for each in mixed if bool(each.choices) == kind]
        for question_id, expected in choose(vlm, tmp_path, alone, engine=engine).items():
            found = together[question_id]
            assert (found.answer, found.generated, found.status) == (
                expected.answer, expected.generated, expected.status,
            )  # fmt: skip
            assert found.options == pytest.approx(expected.options, rel=1e-3, abs=2e-6)


@pytest.mark.parametrize("scoring", CHOICE_SCORING)
def test_options_with_one_text_share_a_probability_and_a_blank_one_has_none(scoring: str, data_root: Path) -> None:
    vlm, first = tiny_vlm(choice_scoring=scoring), EXAMPLES[0]
    same = replace(first, choices=("red", "", "red", "dark blue"), answer_form="A")
    (found,) = choose(vlm, data_root, [same]).values()
    assert found.options == pytest.approx(by_brute_force(vlm, data_root, same), rel=1e-3, abs=2e-6)
    if scoring != "letter":
        assert found.options[0] == found.options[2]
    assert found.options[1] == 0
    assert (found.status, found.answer in "ACD") == ("ok", True)
    turned = [("red", "", "red", "dark blue"), ("red", "", "dark blue", "red"), ("dark blue", "", "red", "red")]
    single = [by_brute_force(vlm, data_root, replace(same, choices=choices)) for choices in turned]
    (found,) = choose(vlm, data_root, [same], option_orders=3).values()
    expected = [single[0][0] + single[1][3] + single[2][2], 0, single[0][2] + single[1][0] + single[2][3]]
    expected.append(single[0][3] + single[1][2] + single[2][0])
    assert found.options == pytest.approx([each / 3 for each in expected], rel=1e-3, abs=3e-6)


def test_answers_of_training_do_not_keep_an_option_from_being_chosen(vlm: Vlm, data_root: Path) -> None:
    engine = Engine(vlm, PredictSettings(answers="train"), data_root, allowed_answers=["yes", "no"])
    expected = choose(vlm, data_root)
    assert {each.question_id: each for each in engine.generate(EXAMPLES)} == expected


def test_the_fallback_is_an_option_too(vlm: Vlm, tmp_path: Path) -> None:
    examples = [replace(each, image="image/gone.png") for each in EXAMPLES]
    engine = Engine(vlm, PredictSettings(), tmp_path, fallback=lambda _: "B")
    found = {each.question_id: each for each in engine.generate(examples)}
    for example in examples:
        prediction = found[example.question_id]
        named = find_choice(prediction.answer, example.choices, example.answer_form)
        assert named == (1 if example.answer_form in "Aa" else 0)
        assert (prediction.status, prediction.options) == ("bad_image", ())


def test_a_model_that_computes_nothing_chooses_nothing(data_root: Path) -> None:
    vlm = tiny_vlm()
    with torch.no_grad():
        vlm.model.lm_head.weight.fill_(math.nan)
    assert {each.status for each in choose(vlm, data_root).values()} == {"error"}


def test_a_picture_in_hand_is_asked_with_options(vlm: Vlm, data_root: Path) -> None:
    of_first = [example for example in EXAMPLES if example.image == EXAMPLES[1].image]
    picture = tiny_picture(1)
    engine = Engine(vlm, PredictSettings(max_new_tokens=4), data_root)
    questions, choices = [e.question for e in of_first], [e.choices for e in of_first]
    expected = choose(vlm, data_root, of_first)
    asked = engine.ask(picture, [*questions, "Is it dark?"], [*choices, ()])
    for example, prediction in zip(of_first, asked, strict=False):
        assert prediction.options == pytest.approx(expected[example.question_id].options, rel=1e-3, abs=2e-6)
        assert prediction.answer in "ABCDEFGHIJ"
    assert asked[-1].options == ()
    *_, last = engine.stream(picture, questions, choices)
    assert [text for text, _ in last] == [prediction.answer for prediction in asked[:-1]]
