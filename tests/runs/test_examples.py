"""Examples: exact on disk, split by image, grouped by picture."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_core.files import InputError
from vqa_core.runs.examples import (
    Example,
    choose_val_images,
    group_by_image,
    join_images,
    number_repeats,
    read_examples,
    split_by_image,
    write_examples,
)

texts = st.one_of(st.sampled_from(["none", "NA", "001", "", "nan", " x "]), st.text(st.characters(codec="utf-8")))
examples = st.builds(Example, texts, texts, texts, texts, st.none() | texts)


def of_images(*counts: int) -> list[Example]:
    """The n-th image has `counts[n]` questions, and the questions of different images alternate."""
    pairs = [(turn, image) for image, count in enumerate(counts) for turn in range(count)]
    return [Example(f"q{turn}-{image}", f"i{image}", f"i{image}.png", "?", "a") for turn, image in sorted(pairs)]


@given(st.lists(examples, max_size=5))
def test_examples_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, given: list[Example]) -> None:
    path = tmp_path_factory.mktemp("examples") / "train.jsonl"
    assert write_examples(path, given) == len(given)
    assert read_examples(path) == given


def test_lines_that_are_no_examples_are_refused_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    for line in ('{"question_id": "1"}', '{"id": "1", "question": "?"}'):
        path.write_text(line + "\n")
        with pytest.raises(InputError, match=r"does not hold examples.*train\.prepare"):
            read_examples(path)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=30), st.floats(0.01, 0.9), st.integers(0, 5))
def test_no_image_is_on_both_sides_of_the_split_and_nothing_is_lost(
    counts: list[int], val_fraction: float, seed: int
) -> None:
    given = of_images(*counts)
    train, val = split_by_image(given, val_fraction, seed)
    assert train
    assert val
    assert not {example.image_id for example in train} & {example.image_id for example in val}
    held_out = set(val)
    assert train == [example for example in given if example not in held_out]
    assert val == [example for example in given if example in held_out]


def test_the_split_depends_on_the_images_and_the_seed_alone() -> None:
    given = of_images(*[3] * 40)
    val = {example.image_id for example in split_by_image(given, 0.25, 1)[1]}
    assert len(val) == 10
    fewer = [example for example in reversed(given) if example.question_id.startswith("q0")]
    assert {example.image_id for example in split_by_image(fewer, 0.25, 1)[1]} == val
    assert {example.image_id for example in split_by_image(given, 0.25, 2)[1]} != val


@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.floats(0.01, 0.9), st.integers(0, 5))
def test_copies_of_a_picture_are_never_on_both_sides_of_the_split(
    contents: list[int], val_fraction: float, seed: int
) -> None:
    """The n-th file shows the picture `contents[n]`."""
    given = [Example(f"q{n}", f"i{n}", f"{n}.png", "?", "a") for n in range(len(contents))]
    first = {f"{n}.png": f"{contents.index(content)}.png" for n, content in enumerate(contents)}
    train, val = split_by_image(given, val_fraction, seed, first)
    assert sorted(train + val, key=given.index) == given
    assert not {first[row.image] for row in train} & {first[row.image] for row in val}
    if len(set(contents)) > 1:
        assert train
        assert val
        smallest = min(map(contents.count, contents))
        assert len(val) <= max(round(len(contents) * val_fraction), smallest)


@given(st.sets(st.text("ab01", max_size=4), min_size=2), st.floats(0.01, 0.9), st.integers(0, 5))
def test_without_copies_the_split_is_what_it_always_was(ids: set[str], val_fraction: float, seed: int) -> None:
    shuffled = sorted(ids)
    random.Random(seed).shuffle(shuffled)
    count = min(max(round(len(ids) * val_fraction), 1), len(ids) - 1)
    assert choose_val_images(ids, val_fraction, seed) == set(shuffled[:count])


def test_images_are_joined_by_a_file_they_share_and_through_others() -> None:
    rows = [("c", "1.png"), ("b", "1.png"), ("a", "2.png"), ("b", "2-again.png"), ("d", "3.png"), ("e", ""), ("f", "")]
    given = [Example(str(number), image_id, image, "?") for number, (image_id, image) in enumerate(rows)]
    joined = join_images(given, {"2-again.png": "2.png"})
    assert joined == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "e", "f": "f"}


def test_a_repeated_id_is_numbered_and_the_one_in_the_source_kept(tmp_path: Path) -> None:
    given = [Example(name, "i", "i.png", "?") for name in ("a", "a", "b", "a#2", "a", "c")]
    numbered = number_repeats(given, {"c"})
    assert [row.question_id for row in numbered] == ["a", "a#2", "b", "a#2#2", "a#3", "c#2"]
    assert [row.id_in_source for row in numbered] == [row.question_id for row in given]
    assert number_repeats(numbered) == numbered
    write_examples(tmp_path / "train.jsonl", numbered)
    assert read_examples(tmp_path / "train.jsonl") == numbered
    assert "source_id" not in (tmp_path / "train.jsonl").read_text().splitlines()[0]


def test_nothing_is_held_out_of_a_single_image_or_at_fraction_0() -> None:
    assert split_by_image(of_images(3), 0.5, 0)[1] == []
    assert split_by_image(of_images(3, 3), 0.0, 0)[1] == []


def test_groups_are_by_image_file_in_order_of_first_appearance() -> None:
    groups = group_by_image(of_images(3, 1, 2))
    assert [[example.question_id for example in group] for group in groups] == [
        ["q0-0", "q1-0", "q2-0"],
        ["q0-1"],
        ["q0-2", "q1-2"],
    ]


def test_images_that_were_not_found_are_grouped_by_their_id() -> None:
    given = [Example("1", "a", "", "?"), Example("2", "b", "", "?"), Example("3", "a", "", "?")]
    assert [len(group) for group in group_by_image(given)] == [2, 1]
