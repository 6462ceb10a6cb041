import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqa_core.files import InputError
from vqa_core.model.collator import collate
from vqa_core.model.packing import IGNORE_INDEX, Branch, check_backend, pack, plain_mask, shared_prefix_mask

IMAGE = 9


def test_a_row_holds_the_prefix_once_and_the_questions_after_it() -> None:
    row = pack([5, 6], IMAGE, 3, [Branch([1, 2], [3, 4]), Branch([7], [8])])
    assert row.input_ids == [5, 6, 9, 9, 9, 1, 2, 3, 7]
    assert row.segment_ids == [0, 0, 0, 0, 0, 1, 1, 1, 2]
    assert row.position_ids == [0, 1, 2, 3, 4, 5, 6, 7, 5]
    assert row.targets == [-100] * 6 + [3, 4, 8]
    assert row.ends == [6, 8]
    assert row.supervised == 3


def test_the_end_of_an_answer_is_a_target_and_never_fed() -> None:
    row = pack([5], IMAGE, 1, [Branch([1], [3, 99])])
    assert 99 in row.targets
    assert 99 not in row.input_ids


def test_a_question_without_an_answer_has_no_targets() -> None:
    row = pack([5], IMAGE, 1, [Branch([1, 2], [])])
    assert row.targets == [IGNORE_INDEX] * 4
    assert row.ends == [3]


def test_a_prompt_that_shows_no_question_is_answered_from_the_image() -> None:
    row = pack([5], IMAGE, 2, [Branch([], [3, 4])])
    assert row.ends == [2]
    assert row.targets == [-100, -100, 3, 4]
    with pytest.raises(InputError, match="--questions-per-image 1"):
        pack([5], IMAGE, 2, [Branch([], [3]), Branch([], [4])])


rows_of_segments = st.lists(st.integers(0, 3), min_size=0, max_size=4).map(
    lambda sizes: [0] * 3 + [number for number, size in enumerate(sizes, start=1) for _ in range(size)]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows_of_segments, min_size=1, max_size=3), st.integers(0, 3))
def test_a_token_sees_the_prefix_and_its_own_question_up_to_itself(rows: list[list[int]], new: int) -> None:
    length = max(map(len, rows))
    keys = torch.tensor([row + [-1] * (length - len(row)) for row in rows])
    queries = keys[:, length - new :] if new else keys
    mask = shared_prefix_mask(queries, keys, "sdpa", torch.float32)
    assert mask.shape == (len(rows), 1, queries.shape[1], length)
    for row, segments in enumerate(keys.tolist()):
        for query in range(queries.shape[1]):
            at = length - queries.shape[1] + query
            for key, segment in enumerate(segments):
                real = key <= at and segment != -1 and segment in (0, segments[at])
                assert mask[row, 0, query, key].item() == (real or key == at)


def test_eager_gets_the_same_mask_as_numbers_to_add() -> None:
    segments = torch.tensor([[0, 0, 1, 2, 2, -1]])
    allowed = shared_prefix_mask(segments, segments, "sdpa", torch.float32)
    added = shared_prefix_mask(segments, segments, "eager", torch.bfloat16)
    assert added.dtype == torch.bfloat16
    assert torch.equal(added == 0, allowed)
    assert (added[~allowed] == torch.finfo(torch.bfloat16).min).all()


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("flash_attention_2", "questions see each other"),
        ("flash_attention_3", "questions see each other"),
        ("flex_attention", "aborts on the CPU"),
        ("paged|sdpa", "never checked"),
    ],
)
def test_backends_that_would_be_silently_wrong_are_refused_by_name(backend: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        check_backend(backend)
    assert f"--attention {backend}" in str(error.value)
    with pytest.raises(InputError):
        shared_prefix_mask(torch.zeros(1, 2), torch.zeros(1, 2), backend, torch.float32)


def test_rows_of_one_question_need_no_more_than_what_is_padding() -> None:
    assert plain_mask(torch.tensor([[0, 0, 1, -1], [0, 1, 1, 1]])).tolist() == [[True, True, True, False], [True] * 4]
    with pytest.raises(InputError, match="--questions-per-image 1 in training, --engine hf_batch in prediction"):
        plain_mask(torch.tensor([[0, 0, 1, -1], [0, 1, 1, 2]]))


def test_padding_is_on_the_right_and_teaches_nothing() -> None:
    rows = [pack([5], IMAGE, 1, [Branch([6], [7, 8])]), pack([5], IMAGE, 1, [Branch([6], [7])])]
    batch = collate(rows, pad_id=42)
    assert batch["input_ids"].tolist() == [[5, 9, 6, 7], [5, 9, 6, 42]]
    assert batch["segment_ids"].tolist() == [[0, 0, 1, 1], [0, 0, 1, -1]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3], [0, 1, 2, 0]]
    assert batch["targets"].tolist() == [[-100, -100, 7, 8], [-100, -100, 7, -100]]
