"""Answers depend on the picture and the question alone: not on the engine, the batch, the order or the company."""

import logging
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.support.tiny import ANSWERS, QUESTIONS, tiny_examples, tiny_picture, tiny_vlm, write_pictures
from vqa_core.config import PredictSettings
from vqa_core.data.images import PIXEL_LIMIT
from vqa_core.inference.build import build_engine
from vqa_core.inference.decoding import answer_packed
from vqa_core.inference.engine import Engine
from vqa_core.inference.generation import Batch, Generated
from vqa_core.model.projectors import PROJECTORS
from vqa_core.model.vlm import Vlm
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir

LONGEST = 6
EXAMPLES = tiny_examples(10)
WAY = "vqa_core.inference.engine.answer_packed"  # what an engine takes for a model whose questions share a prefix


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder, EXAMPLES)
    return folder


@pytest.fixture(scope="module")
def vlm() -> Vlm:
    return tiny_vlm()


def answer(vlm: Vlm, data_root: Path, examples: Sequence[Example] = EXAMPLES, **settings: Any) -> dict[str, Prediction]:
    engine = Engine(vlm, PredictSettings(max_new_tokens=LONGEST, **settings), data_root)
    return {prediction.question_id: prediction for prediction in engine.generate(examples)}


def assert_same(found: dict[str, Prediction], expected: dict[str, Prediction]) -> None:
    assert found.keys() == expected.keys()
    for question_id, prediction in expected.items():
        same = found[question_id]
        assert (same.generated, same.answer, same.status, same.detail) == (
            prediction.generated,
            prediction.answer,
            prediction.status,
            prediction.detail,
        )
        assert same.probability == pytest.approx(prediction.probability, rel=1e-3, abs=2e-6)


def assert_worth_comparing(found: dict[str, Prediction]) -> None:
    """Answers of several kinds and lengths, some cut off: else equality would prove little."""
    assert len({prediction.generated for prediction in found.values()}) > len(found) // 3
    assert {prediction.detail for prediction in found.values()} >= {"", "cut off by --max-new-tokens"}


@pytest.mark.parametrize("kind", sorted(PROJECTORS))
@pytest.mark.parametrize("engine", ["naive", "hf_batch"])
def test_every_engine_gives_the_same_answers_with_every_projector(kind: str, engine: str, data_root: Path) -> None:
    vlm = tiny_vlm(projector=kind)
    shared = answer(vlm, data_root, EXAMPLES[:20])
    assert_worth_comparing(shared)
    assert_same(answer(vlm, data_root, EXAMPLES[:20], engine=engine, batch_questions=6), shared)


@pytest.mark.parametrize("style", ["bare", "vicuna_v1"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_every_engine_gives_the_same_answers_with_every_prompt_style(
    style: str, attention: str, data_root: Path
) -> None:
    vlm = tiny_vlm(prompt_style=style, attention=attention, adds_bos=style == "vicuna_v1", tower="clip")
    shared = answer(vlm, data_root, EXAMPLES[:20])
    assert_worth_comparing(shared)
    for engine in ("naive", "hf_batch"):
        assert_same(answer(vlm, data_root, EXAMPLES[:20], engine=engine, batch_questions=7), shared)


@pytest.mark.parametrize("side", [16, 48])
def test_every_engine_gives_the_same_answers_at_another_image_size(side: int, data_root: Path) -> None:
    vlm = tiny_vlm(tower="clip", image_side_px=side)
    shared = answer(vlm, data_root, EXAMPLES[:10])
    for engine in ("naive", "hf_batch"):
        assert_same(answer(vlm, data_root, EXAMPLES[:10], engine=engine), shared)


@pytest.mark.parametrize("batch_questions", [1, 2, 3, 5, 8, 13, 1000])
def test_answers_do_not_depend_on_the_batch_size(batch_questions: int, vlm: Vlm, data_root: Path) -> None:
    expected = answer(vlm, data_root, batch_questions=16)
    assert_same(answer(vlm, data_root, batch_questions=batch_questions), expected)


@pytest.mark.parametrize("seed", range(3))
def test_answers_do_not_depend_on_order_or_company(seed: int, vlm: Vlm, data_root: Path) -> None:
    expected = answer(vlm, data_root)
    rng = random.Random(seed)
    some = rng.sample(EXAMPLES, k=len(EXAMPLES) // 2)
    assert_same(answer(vlm, data_root, some, batch_questions=9), {e.question_id: expected[e.question_id] for e in some})
    everyone = rng.sample(EXAMPLES, k=len(EXAMPLES))
    assert_same(answer(vlm, data_root, everyone, batch_questions=9), expected)


def test_a_picture_in_hand_is_answered_as_its_file_is(vlm: Vlm, data_root: Path) -> None:
    last = EXAMPLES[-1].image
    of_image = [example for example in EXAMPLES if example.image == last]
    number = list(dict.fromkeys(example.image for example in EXAMPLES)).index(last)
    asked = Engine(vlm, PredictSettings(max_new_tokens=LONGEST), data_root).ask(
        tiny_picture(number), [example.question for example in of_image]
    )
    expected = answer(vlm, data_root, of_image)
    assert [p.generated for p in asked] == [expected[example.question_id].generated for example in of_image]


def test_the_same_picture_under_two_names_is_encoded_once(vlm: Vlm, data_root: Path, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        shutil.copy(data_root / EXAMPLES[0].image, tmp_path / name)
    shutil.copy(data_root / EXAMPLES[1].image, tmp_path / "three.png")
    names = ["one.png", "three.png", "two.png", "one.png"]
    examples = [Example(str(number), name, name, QUESTIONS[number]) for number, name in enumerate(names)]
    engine = Engine(vlm, PredictSettings(), tmp_path)
    assert len(list(engine.generate(examples))) == 4
    assert engine.work.encodes == 2


@pytest.mark.parametrize("batch_questions", [4, 1000])
def test_work_is_exactly_what_the_formulas_say(batch_questions: int, vlm: Vlm, data_root: Path) -> None:
    engine = Engine(vlm, PredictSettings(max_new_tokens=LONGEST, batch_questions=batch_questions), data_root)
    steps: list[int] = []
    original = engine._prediction
    engine._prediction = lambda example, generated: steps.append(_steps(generated)) or original(example, generated)  # type: ignore[method-assign, func-returns-value]
    list(engine.generate(EXAMPLES))
    groups = [group for batch in engine.plan(EXAMPLES) for group in batch.groups]
    prefix = len(vlm.prompt.prefix_ids) + vlm.image_tokens
    questions = sum(len(vlm.prompt.branch_ids(example.question)[0]) for example in EXAMPLES)
    work = engine.work
    assert work.encodes == len(groups)
    if batch_questions == 1000:
        assert work.encodes == len({example.image for example in EXAMPLES})
    assert work.decode_tokens == sum(steps) - len(EXAMPLES)  # the first token comes from the prefill
    before = (len(groups) - 1) * len(vlm.prompt.prefix_ids)  # the text before the picture is read once
    assert work.lm_tokens == len(groups) * prefix - before + questions + work.decode_tokens
    assert work.padding_tokens <= 0.03 * work.lm_tokens
    assert work.head_rows == sum(steps)


@pytest.mark.parametrize("engine", ["naive", "hf_batch"])
def test_work_of_the_engines_to_compare_with_is_what_the_formulas_say(engine: str, vlm: Vlm, data_root: Path) -> None:
    shared, other = (
        Engine(vlm, PredictSettings(max_new_tokens=LONGEST, engine=name), data_root) for name in ("shared", engine)
    )
    for each in (shared, other):
        list(each.generate(EXAMPLES))
    prefix = len(vlm.prompt.prefix_ids) + vlm.image_tokens
    images = len({example.image for example in EXAMPLES})
    assert other.work.encodes == len(EXAMPLES)
    before = (images - 1) * len(vlm.prompt.prefix_ids)  # the text before the picture is read once
    assert other.work.lm_tokens - shared.work.lm_tokens == (len(EXAMPLES) - images) * prefix + before
    assert other.work.head_rows == shared.work.head_rows


def _steps(generated: Generated) -> int:
    """Tokens chosen for an answer, its end included."""
    return len(generated.ids) + generated.ended


# constrained decoding


def constrained(vlm: Vlm, data_root: Path, allowed: Sequence[str], **settings: Any) -> dict[str, Prediction]:
    engine = Engine(vlm, PredictSettings(**settings), data_root, allowed_answers=allowed)
    return {prediction.question_id: prediction for prediction in engine.generate(EXAMPLES)}


def brute_force(vlm: Vlm, data_root: Path, example: Example, allowed: Sequence[str]) -> str:
    """Greedy search among the allowed answers with transformers' own forward pass, one token at a time."""
    from vqa_core.data.images import open_image

    pixels = vlm.pixels([open_image(data_root / example.image)])
    full = {answer: [*vlm.prompt.answer_ids(answer), vlm.prompt.end_id] for answer in allowed}
    prompt = [
        *vlm.prompt.prefix_ids,
        *[vlm.image_token_id] * vlm.image_tokens,
        *vlm.prompt.branch_ids(example.question)[0],
    ]
    chosen: list[int] = []
    while not chosen or chosen[-1] != vlm.prompt.end_id:
        with torch.no_grad():
            logits = vlm.model(input_ids=torch.tensor([prompt + chosen]), pixel_values=pixels).logits[0, -1]
        going_on = {
            ids[len(chosen)] for ids in full.values() if ids[: len(chosen)] == chosen and len(ids) > len(chosen)
        }
        chosen.append(max(going_on, key=lambda token: logits[token].item()))
    return next(answer for answer, ids in full.items() if ids == chosen)


@pytest.mark.parametrize("style", ["chatml", "vicuna_v1", "mistral", "v0"])
def test_constrained_answers_are_those_of_a_search_among_the_allowed_ones(style: str, data_root: Path) -> None:
    vlm = tiny_vlm(prompt_style=style, adds_bos=style == "vicuna_v1")
    found = constrained(vlm, data_root, ANSWERS)
    assert len({prediction.answer for prediction in found.values()}) > 2
    for example in EXAMPLES[::3]:
        assert found[example.question_id].answer == brute_force(vlm, data_root, example, ANSWERS)


def test_of_thousands_of_answers_none_is_given_that_is_not_allowed(vlm: Vlm, data_root: Path) -> None:
    rng = random.Random(0)
    words = ("dark", "blue", "red", "원", "No", " 3", "circle", "x" * 40)
    allowed = ["".join(rng.choices(words, k=rng.randrange(1, 5))) for _ in range(4000)]
    found = constrained(vlm, data_root, allowed, max_new_tokens=2)  # an allowed answer is never cut off
    assert {prediction.answer for prediction in found.values()} <= set(allowed)
    assert {prediction.detail for prediction in found.values()} == {""}


def test_allowed_answers_keep_blanks_and_what_looks_like_special_tokens(vlm: Vlm, data_root: Path) -> None:
    found = constrained(vlm, data_root, ["  padded ", "<|im_end|>"])
    assert {prediction.answer for prediction in found.values()} <= {"  padded ", "<|im_end|>"}
    assert {prediction.status for prediction in found.values()} == {"ok"}


def test_constrained_answers_do_not_depend_on_the_batch_size(vlm: Vlm, data_root: Path) -> None:
    expected = constrained(vlm, data_root, ANSWERS)
    for batch_questions in (1, 5):
        assert_same(constrained(vlm, data_root, ANSWERS, batch_questions=batch_questions), expected)


@pytest.mark.parametrize("engine", ["naive", "hf_batch"])
def test_every_engine_gives_the_same_constrained_answers(engine: str, vlm: Vlm, data_root: Path) -> None:
    expected = constrained(vlm, data_root, ANSWERS)
    assert_same(constrained(vlm, data_root, ANSWERS, engine=engine, batch_questions=7), expected)


# what goes wrong


def test_broken_and_missing_pictures_get_the_fallback_and_leave_the_others_alone(vlm: Vlm, tmp_path: Path) -> None:
    examples = tiny_examples(5)
    write_pictures(tmp_path, examples)
    images = list(dict.fromkeys(example.image for example in examples))
    expected = answer(vlm, tmp_path, examples)
    (tmp_path / images[1]).write_bytes((tmp_path / images[1]).read_bytes()[:90])
    (tmp_path / images[2]).unlink()
    unnamed = [Example("none", "gone", "", "Is it dark?")]
    engine = Engine(
        vlm, PredictSettings(max_new_tokens=LONGEST), tmp_path, fallback=lambda question: f"guess {question}"
    )
    found = {prediction.question_id: prediction for prediction in engine.generate(examples + unnamed)}
    for example in examples + unnamed:
        prediction = found[example.question_id]
        if example.image in (images[1], images[2], ""):
            assert (prediction.status, prediction.answer) == ("bad_image", f"guess {example.question}")
            assert (example.image or example.image_id) in prediction.detail
            assert prediction.probability is None
        else:
            same = expected[example.question_id]
            assert (prediction.generated, prediction.status) == (same.generated, same.status)


def test_a_picture_above_the_pixel_limit_is_answered_once_the_limit_allows_it(vlm: Vlm, tmp_path: Path) -> None:
    examples = tiny_examples(1)
    write_pictures(tmp_path, examples)
    with Image.open(tmp_path / examples[0].image) as picture:
        pixels = picture.width * picture.height
    settings = PredictSettings(max_new_tokens=LONGEST)
    found = list(Engine(vlm, settings, tmp_path, pixel_limit=pixels - 1).generate(examples))
    assert {prediction.status for prediction in found} == {"bad_image"}
    assert f"--pixel-limit {pixels} allows it" in found[0].detail
    found = list(Engine(vlm, settings, tmp_path, pixel_limit=pixels).generate(examples))
    assert {prediction.status for prediction in found} <= {"ok", "cut"}


def test_the_engine_of_a_run_has_the_limit_that_its_data_were_prepared_with(vlm: Vlm, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert build_engine(run, PredictSettings(), tmp_path, vlm).pixel_limit == PIXEL_LIMIT
    run.write_section("data", {"pixel_limit": 123})
    assert build_engine(run, PredictSettings(), tmp_path, vlm).pixel_limit == 123
    assert build_engine(run, PredictSettings(), tmp_path, vlm, pixel_limit=456).pixel_limit == 456


def limit_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Make every batch of more than `most` questions run out of memory; return the sizes tried."""
    tried: list[int] = []

    def limited(vlm: Vlm, batch: Batch, pictures: list[Any], *rest: Any) -> Any:
        tried.append(len(batch.examples))
        if len(batch.examples) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 ...")
        return answer_packed(vlm, batch, pictures, *rest)

    monkeypatch.setattr(WAY, limited)
    return tried


def test_out_of_memory_halves_the_batch_and_gives_the_same_answers(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = answer(vlm, data_root)
    tried = limit_memory(monkeypatch, 3)
    monkeypatch.setattr(logging.getLogger("vqa"), "propagate", True)
    assert_same(answer(vlm, data_root), expected)
    assert tried[0] == len(EXAMPLES)
    assert sum(size for size in tried if size <= 3) == len(EXAMPLES)
    assert "going on with half as many" in caplog.text


def test_a_question_that_never_fits_is_answered_by_the_fallback(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_memory(monkeypatch, 0)
    for prediction in answer(vlm, data_root, EXAMPLES[:3]).values():
        assert prediction.status == "oom"
        assert prediction.detail == "CUDA out of memory. Tried to allocate 20.00 GiB."


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    vlm: Vlm, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WAY, lambda *_: (_ for _ in ()).throw(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        answer(vlm, data_root)


def test_what_is_answered_already_is_not_answered_again_and_batches_stay_as_they_were(
    vlm: Vlm, data_root: Path
) -> None:
    settings = PredictSettings(max_new_tokens=LONGEST, batch_questions=8)
    all_at_once = {p.question_id: p for p in Engine(vlm, settings, data_root).generate(EXAMPLES)}
    done = [example.question_id for example in EXAMPLES[::2]]
    rest = {p.question_id: p for p in Engine(vlm, settings, data_root).generate(EXAMPLES, done=done)}
    assert rest == {key: value for key, value in all_at_once.items() if key not in done}  # to the last digit


def test_an_empty_answer_is_marked_and_replaced_by_the_fallback(vlm: Vlm, data_root: Path) -> None:
    engine = Engine(vlm, PredictSettings(), data_root, fallback=lambda _question: "yes")
    prediction = engine._prediction(EXAMPLES[0], Generated([], -0.5, True))
    assert (prediction.answer, prediction.generated, prediction.status) == ("yes", "", "empty")
    assert prediction.probability == pytest.approx(0.606531)


def test_questions_that_stand_again_about_the_same_pixels_are_answered_once(vlm: Vlm, tmp_path: Path) -> None:
    write_pictures(tmp_path, EXAMPLES)
    again = []
    for number, example in enumerate(EXAMPLES):
        copy = f"copy-{number % 3}-{Path(example.image).name}"
        shutil.copy(tmp_path / example.image, tmp_path / copy)
        again.append(replace(example, question_id=f"again-{number}", image=copy, image_id=copy))
    settings = PredictSettings(max_new_tokens=LONGEST)
    once, twice = Engine(vlm, settings, tmp_path), Engine(vlm, settings, tmp_path)
    expected = {prediction.question_id: prediction for prediction in once.generate(EXAMPLES)}
    found = {prediction.question_id: prediction for prediction in twice.generate([*EXAMPLES, *again])}
    assert twice.work == once.work
    assert len(found) == 2 * len(EXAMPLES)
    for number, example in enumerate(EXAMPLES):
        of_example = expected[example.question_id]
        assert found[example.question_id] == of_example
        assert found[f"again-{number}"] == replace(of_example, question_id=f"again-{number}")
    # one of them is answered already: the other gets the same answer
    done = {example.question_id for example in EXAMPLES}
    left = {prediction.question_id: prediction for prediction in twice.generate([*EXAMPLES, *again], done)}
    assert left == {question_id: found[question_id] for question_id in found.keys() - done}


def test_the_text_before_the_picture_is_read_once_and_again_when_the_weights_may_be_others(
    vlm: Vlm, data_root: Path
) -> None:
    engine = Engine(vlm, PredictSettings(max_new_tokens=LONGEST, batch_questions=4), data_root)
    found = list(engine.generate(EXAMPLES))
    assert len(engine.plan(EXAMPLES)) > 1
    read = engine.work.lm_tokens
    weight = vlm.language_model.layers[0].mlp.down_proj.weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.mul_(-3)
        other = list(engine.generate(EXAMPLES))
        fresh = Engine(vlm, engine.settings, data_root)
        assert other == list(fresh.generate(EXAMPLES))
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert {p.question_id: p for p in engine.generate(EXAMPLES)} == {p.question_id: p for p in found}
    lead = len(vlm.prompt.prefix_ids)
    alone = [Engine(vlm, engine.settings, data_root) for _ in EXAMPLES]
    for example, one in zip(EXAMPLES, alone, strict=True):
        list(one.generate([example]))
    groups = sum(len(batch.groups) for batch in engine.plan(EXAMPLES))
    picture = vlm.image_tokens
    shared_out = len(EXAMPLES) * (lead + picture) - (lead + groups * picture)
    assert sum(one.work.lm_tokens for one in alone) - read == shared_out
