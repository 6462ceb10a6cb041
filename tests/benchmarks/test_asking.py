"""The guards of the answering benchmark: they pass what is right and stop what is not."""

from functools import partial

import pytest
import torch

from tests.support.tiny import ANSWERS, tiny_vlm
from vqa_core.benchmarks import asking
from vqa_core.benchmarks.asking import ARMS, WrongWork, ask, check_agreement, check_near_ties, check_work, differences
from vqa_core.benchmarks.floors import Workload
from vqa_core.benchmarks.random_models import random_vlm
from vqa_core.benchmarks.timing import Spread, interleave
from vqa_core.benchmarks.workloads import Questions, workload_of
from vqa_core.model.vlm import Vlm


@pytest.fixture(scope="module")
def vlm() -> Vlm:
    return tiny_vlm()


def by_formula(vlm: Vlm, questions: Questions, answers: dict[str, str]) -> Workload:
    work = workload_of(vlm, questions.examples, answers)
    assert (work.images, work.questions) == (5, 17)
    return work


@pytest.mark.parametrize("batch_questions", [6, 128])
def test_the_shared_engine_does_the_work_of_the_formula_and_no_more(
    vlm: Vlm, questions: Questions, batch_questions: int
) -> None:
    asked = ask(vlm, "shared", questions, batch_questions)
    work = by_formula(vlm, questions, asked.answers)
    assert asked.counted.encodes == 5
    assert asked.counted.head_rows == work.head_rows
    assert asked.work.padding_tokens <= 0.03 * work.shared_tokens
    assert asked.counted.positions - asked.work.padding_tokens == work.shared_tokens


def test_the_naive_engine_does_the_work_of_separate_questions(vlm: Vlm, questions: Questions) -> None:
    asked = ask(vlm, "naive", questions, 128)
    work = by_formula(vlm, questions, asked.answers)
    assert (asked.counted.encodes, asked.counted.positions) == (17, work.separate_tokens)
    assert asked.counted.head_rows == work.head_rows
    assert asked.work.padding_tokens == 0


def test_batching_alone_saves_nothing(vlm: Vlm, questions: Questions) -> None:
    asked = ask(vlm, "hf_batch", questions, 128)
    work = by_formula(vlm, questions, asked.answers)
    assert asked.counted.encodes == 17
    assert asked.counted.positions >= work.separate_tokens


def test_all_arms_give_the_same_allowed_answers(vlm: Vlm, questions: Questions) -> None:
    check_agreement(vlm, questions, 128)
    asked = [ask(vlm, name, questions, 6).answers for name in ARMS]
    assert asked[0] == asked[1] == asked[2]
    assert set(asked[0].values()) <= set(ANSWERS)
    assert len(set(asked[0].values())) > 1


def test_an_image_encoded_twice_is_found_out(vlm: Vlm, questions: Questions, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = Vlm.encode_images
    monkeypatch.setattr(Vlm, "encode_images", lambda self, pixels: encode(self, torch.cat([pixels] * 2))[: len(pixels)])
    asked = ask(vlm, "shared", questions, 128)
    with pytest.raises(WrongWork, match="shared did 10 encodes; by the formula it is 5"):
        check_work(vlm, "shared", questions.examples, asked)


def test_an_engine_that_answers_otherwise_is_found_out(
    vlm: Vlm, questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(vlm: Vlm, name: str, questions: Questions, batch_questions: int) -> asking.ArmResult:
        asked = ask(vlm, name, questions, batch_questions)
        if name == "hf_batch":
            first = questions.examples[0].question_id
            asked.answers[first] = "no" if asked.answers[first] != "no" else "red"
        return asked

    monkeypatch.setattr(asking, "ask", turned)
    monkeypatch.setattr(asking, "check_work", lambda *_: None)  # which looks at the answers, too
    with pytest.raises(WrongWork, match="in fp32 the arms answer question TRAIN_"):
        check_agreement(vlm, questions, 128)


def test_an_answer_that_differs_without_a_near_tie_stops_the_benchmark(vlm: Vlm, questions: Questions) -> None:
    half = tiny_vlm()
    half.model.bfloat16()
    example = questions.examples[0]
    right = ask(vlm, "shared", questions, 128).answers[example.question_id]
    wrong = next(answer for answer in ("3", "red", "no") if answer != right)
    with pytest.raises(WrongWork, match="no near tie"):
        check_near_ties(half, vlm, questions, {example.question_id: sorted([right, wrong])})


def test_a_near_tie_is_let_pass(vlm: Vlm, questions: Questions, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tiny_vlm()
    exact = torch.zeros(len(vlm.prompt.tokenizer))
    exact[vlm.prompt.answer_ids("red")[0]] = 0.01
    monkeypatch.setattr(asking, "next_logits", lambda model, *_: exact if model is vlm else exact + 0.02)
    check_near_ties(half, vlm, questions, {questions.examples[0].question_id: ["no", "red"]})


def test_differences_are_counted_over_all_arms_and_rounds() -> None:
    rounds = [{"a": "1", "b": "x"}, {"a": "1", "b": "y"}, {"a": "1", "b": "x"}]
    assert differences(rounds) == {"b": ["x", "y"]}


def test_sharing_is_faster_where_arithmetic_takes_the_time(questions: Questions) -> None:
    """A loose alarm: by tokens it is 3.3 times as fast, and medians of 3.4 were seen."""
    few = questions.choose(1, 4)
    small = random_vlm("small", few.texts, device=torch.device("cpu"), dtype=torch.float32)
    rounds = interleave({name: partial(ask, small, name, few, 128) for name in ("shared", "naive")}, 3)
    assert Spread.of(rounds.ratios("shared", over="naive")).median >= 1.8
