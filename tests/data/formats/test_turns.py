"""Turns of every chat format: roles by any common name, texts in parts, pictures beside the turns or in them."""

from typing import Any

import pytest

from vqa_core.data.formats.turns import GPT, HUMAN, SYSTEM, Turn, pictures_of, turns_of

ASKED = {"type": "text", "text": "What?"}


@pytest.mark.parametrize(
    "turn",
    [
        {"from": "human", "value": "What?"},
        {"from": "Human ", "value": "What?"},
        {"from": "user", "value": "What?"},
        {"role": "user", "content": "What?"},
        {"role": "USER", "content": [ASKED]},
        {"role": "user", "content": ASKED},
        {"role": "user", "content": ["What?"]},
        {"role": "user", "text": "What?"},
        {"speaker": "human", "text": "What?"},
    ],
)
@pytest.mark.parametrize("key", ["conversations", "conversation", "messages"])
def test_a_question_is_known_in_every_format(turn: dict[str, Any], key: str) -> None:
    assert turns_of({key: [turn]}) == [Turn(HUMAN, "What?")]


@pytest.mark.parametrize(
    ("role", "known"),
    [("gpt", GPT), ("assistant", GPT), ("model", GPT), ("bot", GPT), ("system", SYSTEM), ("function", "function")],
)
def test_roles_that_are_not_known_keep_their_name(role: str, known: str) -> None:
    assert turns_of({"messages": [{"role": role, "content": "x"}]}) == [Turn(known, "x")]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "a.png"}},
        {"type": "input_image", "image_url": "a.png"},
        {"type": "image", "image": "a.png"},
        {"type": "image", "url": "a.png"},
        {"type": "image", "path": "a.png"},
        {"image": "a.png"},
    ],
)
def test_a_part_that_is_a_picture_stands_where_it_was(part: dict[str, Any]) -> None:
    turns = turns_of({"messages": [{"role": "user", "content": [part, ASKED]}]})
    assert turns == [Turn(HUMAN, "<image>\nWhat?", ("a.png",))]
    assert pictures_of({}, turns) == ["a.png"]
    assert pictures_of({"images": ["a.png"]}, turns) == ["a.png"]


def test_a_part_with_the_bytes_of_a_picture_is_an_address_with_them() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBOR"}
    turns = turns_of({"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]})
    assert turns == [Turn(HUMAN, "<image>", ("data:image/png;base64,iVBOR",))]


def test_a_picture_without_a_source_is_the_record_s() -> None:
    turns = turns_of({"messages": [{"role": "user", "content": [{"type": "image"}, ASKED]}]})
    assert turns == [Turn(HUMAN, "<image>\nWhat?")]
    for record in ({"image": "a.png"}, {"images": ["a.png"]}, {"images": [{"path": "a.png", "bytes": None}]}):
        assert pictures_of(record, turns) == ["a.png"]


def test_qwen_s_picture_inside_the_text_is_one() -> None:
    turns = turns_of({"conversations": [{"from": "user", "value": "Picture 1: <img>a b.png</img>\nWhat?"}]})
    assert turns == [Turn(HUMAN, "<image>\nWhat?", ("a b.png",))]


@pytest.mark.parametrize("record", [None, 7, "x", [], {}, {"messages": "x"}, {"conversations": [1]}, {"turns": None}])
def test_what_is_no_conversation_is_none(record: Any) -> None:
    assert turns_of(record) is None


@pytest.mark.parametrize("value", [None, 2.5, True, ["a", "b"], [{"type": "audio"}], [None]])
def test_an_answer_that_is_no_text_stays_what_it_was(value: Any) -> None:
    assert turns_of({"messages": [{"role": "assistant", "content": value}]}) == [Turn(GPT, value)]
