from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vqa_core.config import TrainSettings
from vqa_core.planning.batches import Plan, plan_batches

LENGTHS = [[5 + (row * question) % 11 for question in range(1 + row % 9)] for row in range(60)]


def questions_of(batches: list) -> Counter[tuple[int, int]]:
    return Counter((row.row, question) for batch in batches for row in batch for question in row.questions)


def every_question(times: int = 1) -> Counter[tuple[int, int]]:
    return Counter({(row, question): times for row, of_row in enumerate(LENGTHS) for question in range(len(of_row))})


@pytest.mark.parametrize("batch_questions", [1, 4, 64])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_epoch_holds_every_question_exactly_once(batch_questions: int, processes: int) -> None:
    plan = plan_batches(LENGTHS, TrainSettings(epochs=2, batch_questions=batch_questions), processes)
    assert questions_of(plan.batches) == every_question(2)
    assert plan.questions == 2 * sum(map(len, LENGTHS))
    assert len(plan.batches) % processes == 0  # or the last step would repeat some


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=12), min_size=1, max_size=40),
    batch_questions=st.integers(1, 20),
    questions_per_image=st.integers(0, 5),
    processes=st.integers(1, 3),
)
def test_no_batch_is_empty_or_too_large(
    lengths: list[list[int]], batch_questions: int, questions_per_image: int, processes: int
) -> None:
    settings = TrainSettings(batch_questions=batch_questions, questions_per_image=questions_per_image)
    for batch in plan_batches(lengths, settings, processes).batches:
        assert 1 <= sum(len(row.questions) for row in batch) <= batch_questions


def test_the_same_settings_give_the_same_plan_and_another_seed_another() -> None:
    first, again, other = (
        plan_batches(LENGTHS, TrainSettings(seed=seed, epochs=2, batch_questions=8)).batches for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_a_longer_run_begins_with_the_same_batches() -> None:
    short, long = (plan_batches(LENGTHS, TrainSettings(epochs=epochs, batch_questions=8)).batches for epochs in (1, 3))
    assert long[: len(short)] == short


def test_questions_per_image_draws_anew_each_epoch() -> None:
    plan = plan_batches(LENGTHS, TrainSettings(epochs=4, questions_per_image=2, batch_questions=16))
    seen = questions_of(plan.batches)
    assert seen.total() == 4 * sum(min(2, len(of_row)) for of_row in LENGTHS)
    assert len(seen) > sum(min(2, len(of_row)) for of_row in LENGTHS)
    assert max(seen.values()) <= 4


@pytest.mark.parametrize(("accumulate", "processes"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_max_steps_plans_exactly_the_batches_of_so_many_steps(accumulate: int, processes: int) -> None:
    settings = TrainSettings(max_steps=40, batch_questions=8, accumulate=accumulate)
    plan = plan_batches(LENGTHS, settings, processes)
    assert len(plan.batches) == 40 * accumulate * processes
    assert plan.epochs == pytest.approx(len(plan.batches) / _batches_an_epoch(), rel=0.01)


def test_steps_of_two_processes_are_those_of_one_with_twice_the_batches() -> None:
    one = plan_batches(LENGTHS, TrainSettings(max_steps=9, batch_questions=8, accumulate=2))
    two = plan_batches(LENGTHS, TrainSettings(max_steps=9, batch_questions=8), processes=2)
    assert one.batches == two.batches


def test_half_an_epoch_is_half_the_batches() -> None:
    plan = plan_batches(LENGTHS, TrainSettings(epochs=0.5, batch_questions=8))
    assert len(plan.batches) == round(_batches_an_epoch() / 2)
    assert plan_batches(LENGTHS, TrainSettings(epochs=1.5, batch_questions=8)).batches[: len(plan.batches)]


def test_no_rows_give_no_batches() -> None:
    assert plan_batches([], TrainSettings(max_steps=3)) == Plan([], 0)


def test_rows_of_like_length_share_a_batch() -> None:
    lengths = [[length] for length in range(10, 210)] * 2
    batches = plan_batches(lengths, TrainSettings(batch_questions=10)).batches
    spread = [
        max(lengths[row.row][0] for row in batch) - min(lengths[row.row][0] for row in batch) for batch in batches
    ]
    assert sum(spread) / len(spread) < 20  # of 200 when drawn at random


def _batches_an_epoch() -> int:
    return len(plan_batches(LENGTHS, TrainSettings(epochs=1, batch_questions=8)).batches)
