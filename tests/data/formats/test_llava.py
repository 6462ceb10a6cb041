"""Conversations of any shape: `<image>` anywhere, several turns, no picture; changes and losses are reported."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.exported import notes_of
from train.prepare import main
from vqa_core.data.columns.values import ROUNDED, TRUTH, WHOLE
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.importing import Sources, import_data
from vqa_core.data.formats.llava import (
    LATE,
    LATER,
    MOVED,
    NO_CONVERSATION,
    NO_IMAGE,
    NO_QUESTION,
    NO_TEXT,
    NO_TURNS,
    NUMBERED,
    SYSTEM_TURNS,
    TWICE,
    UNNUMBERED,
    read_question_records,
)
from vqa_core.data.formats.picture_paths import WEB
from vqa_core.files import InputError
from vqa_core.runs.examples import Example


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"sub/{number}.png")
    return folder


HUMAN, GPT = {"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}
CONVERSATIONS = [
    {"id": "a", "image": "sub/0.png", "conversations": [
        {"from": "human", "value": "What?\n<image>"}, {"from": "gpt", "value": "001"},
        {"from": "human", "value": "And now?"}, {"from": "gpt", "value": "none"}]},
    {"id": 7, "image": "/elsewhere/pictures/sub/1.png", "conversations": [
        GPT, {"from": "human", "value": "<image>\n Q "}, {"from": "gpt", "value": ""}]},
    {"image": ["sub/2.png"], "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "x"}]},
    {"id": "text", "conversations": [HUMAN, GPT]},
    {"id": "two", "image": ["a", "b"], "conversations": [HUMAN, GPT]},
    {"id": "same", "image": "sub/0.png", "conversations": [HUMAN, HUMAN]},
    {"id": "open", "image": "sub/0.png", "conversations": [{"from": "human", "value": "<image>\nQ"}]},
]  # fmt: skip


def test_conversations_of_any_shape_are_split_and_what_fits_no_example_is_reported_and_kept(
    pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "mix.json").write_text(json.dumps(CONVERSATIONS))
    folder = import_data(Sources([str(tmp_path / "mix.json")], images=pictures), tmp_path / "out")
    read = read_competition(folder)
    linked = "image/linked/sub"
    assert read.train == [
        Example("a", "sub/0.png", f"{linked}/0.png", "What?", "001"),
        Example("a#2", "sub/0.png", f"{linked}/0.png", "And now?", "none"),
        Example("7", "sub/1.png", f"{linked}/1.png", " Q ", ""),
        Example("mix_3", "sub/2.png", f"{linked}/2.png", "Why?", "x"),
    ]
    counts = notes_of(folder)
    assert len(counts) == 10
    assert set(counts.values()) == {1}
    kept = json.loads((folder / "left_out.json").read_text())
    assert [case["record"].get("id", case["record"].get("question_id")) for case in kept] == [
        "text",
        "two",
        "same",
        "open",
    ]


@pytest.mark.parametrize(
    ("turns", "questions", "notes"),
    [
        (["<image>\nWhat?"], ["What?"], set()),
        (["<image> What?"], ["What?"], set()),
        (["<image>What?"], ["What?"], set()),
        (["What <image> now?"], ["What  now?"], {MOVED}),
        (["What? <image>"], ["What?"], {MOVED}),
        (["What?\n<image>"], ["What?"], {MOVED}),
        (["Look.\n<image>\nWhat?"], ["Look.\n\nWhat?"], {MOVED}),
        (["<image>\nWhat?", "And now?", "Why?"], ["What?", "And now?", "Why?"], {LATER}),
        (["What?", "<image>\nAnd now?"], ["What?", "And now?"], {LATER, LATE}),
        (["<image>\nWhat?", "And <image>"], ["What?", "And"], {LATER, LATE, MOVED}),
        (["<image>\nWhat is <image>?"], ["What is <image>?"], {TWICE}),
        (["What <image> is <image>?"], ["What  is <image>?"], {TWICE, MOVED}),
    ],
)
def test_image_may_be_anywhere_and_is_reported_unless_it_is_in_front_once(
    turns: list[str], questions: list[str], notes: set[str], pictures: Path, tmp_path: Path
) -> None:
    spoken = [{"from": who, "value": text} for turn in turns for who, text in (("human", turn), ("gpt", "A"))]
    (tmp_path / "a.json").write_text(json.dumps([{"id": "a", "image": "sub/0.png", "conversations": spoken}]))
    folder = import_data(Sources([str(tmp_path / "a.json")], images=pictures), tmp_path / "out")
    assert [row.question for row in read_competition(folder).train] == questions
    assert set(notes_of(folder)) == notes


def test_what_is_left_out_is_counted_and_its_file_is_named_even_where_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"id": name, "conversations": [HUMAN, GPT]} for name in "abc"]))
    arguments = ["--data", str(tmp_path / "a.json"), "--data-dir", str(tmp_path / "out")]
    with pytest.raises(InputError, match="has a header but no rows"):
        main([*arguments, "--run", str(tmp_path / "run")])
    shown = capsys.readouterr().out
    assert f"left out, kept in left_out.json: {NO_IMAGE}: 3 (a, b, c)" in shown
    assert f"Records left out: 3. They are in {tmp_path / 'out/left_out.json'}, each with the reason." in shown


def imported(records: list[Any], pictures: Path, tmp_path: Path, name: str = "a.json") -> Path:
    lines = "\n".join(map(json.dumps, records)) if name.endswith("l") else json.dumps(records)
    (tmp_path / name).write_text(lines)
    return import_data(Sources([str(tmp_path / name)], images=pictures), tmp_path / "out")


def said(answer: Any, question: Any = "<image>\nQ", **record: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": "a", "image": "sub/0.png", "conversations": turns} | record


def test_a_system_turn_is_dropped_and_told(pictures: Path, tmp_path: Path) -> None:
    record = said("A")
    record["conversations"].insert(0, {"from": "system", "value": "Be brief."})
    folder = imported([record], pictures, tmp_path)
    assert [(row.question, row.answer) for row in read_competition(folder).train] == [("Q", "A")]
    assert notes_of(folder) == {SYSTEM_TURNS: 1}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_messages_with_pictures_beside_them_are_read_like_conversations(
    name: str, pictures: Path, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "A"}]
    folder = imported([{"messages": turns, "images": ["sub/0.png"]}], pictures, tmp_path, name)
    assert read_competition(folder).train == [Example("a_1", "sub/0.png", "image/linked/sub/0.png", "What?", "A")]
    assert notes_of(folder) == {NUMBERED: 1}


def test_roles_that_are_not_known_are_named(pictures: Path, tmp_path: Path) -> None:
    odd = {
        "id": "b",
        "image": "sub/0.png",
        "conversations": [{"from": "Q", "value": "x"}, {"from": "tool", "value": "y"}],
    }
    folder = imported([said("A"), odd], pictures, tmp_path)
    assert notes_of(folder) == {f"left out, kept in left_out.json: {NO_TURNS}; not known: 'Q', 'tool'": 1}


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (said(None), NO_TEXT),
        (said(float("nan")), NO_TEXT),
        (said(["a", "b"]), NO_TEXT),
        (said({"x": 1}), NO_TEXT),
        (said("A", question=None), NO_TEXT),
        ({"id": "b", "image": "sub/0.png", "conversations": "Q?"}, NO_CONVERSATION),
        ({"id": "b", "image": "sub/0.png"}, NO_CONVERSATION),
        (None, NO_CONVERSATION),
        (said("A", image="https://example.org/gone.png"), WEB),
        (said("A", image=None), NO_IMAGE),
    ],
)
def test_one_odd_record_is_left_out_and_the_others_stay(odd: Any, why: str, pictures: Path, tmp_path: Path) -> None:
    folder = imported([said("x"), odd, said("y")], pictures, tmp_path)
    assert [row.answer for row in read_competition(folder).train] == ["x", "y"]
    assert notes_of(folder) == {f"left out, kept in left_out.json: {why}": 1}
    (kept,) = json.loads((folder / "left_out.json").read_text())
    assert kept["why"] == why


@pytest.mark.parametrize(
    ("answers", "texts", "notes"),
    [
        (["red", 3, 2.5, 2.0], ["red", "3", "2.5", "2.0"], set()),
        (["red", 3, 2.0], ["red", "3", "2"], {f"answers: {WHOLE}"}),
        ([True, False, "yes"], ["true", "false", "yes"], {f"answers: {TRUTH}"}),
        ([2**63 + 1, 1e18], [str(2**63 + 1), str(10**18)], {f"answers: {ROUNDED}"}),
    ],
)
def test_numbers_and_truth_values_among_the_answers_become_text(
    answers: list[Any], texts: list[str], notes: set[str], pictures: Path, tmp_path: Path
) -> None:
    folder = imported([said(answer) for answer in answers], pictures, tmp_path)
    assert [row.answer for row in read_competition(folder).train] == texts
    assert set(notes_of(folder)) == notes


def test_ids_that_pandas_made_floating_point_are_whole_again(pictures: Path, tmp_path: Path) -> None:
    records = [said("A", id=key, image_id=key) for key in (1000.0, 1001.0, None)]
    read = read_competition(imported(records, pictures, tmp_path))
    assert [(row.question_id, row.image_id) for row in read.train] == [
        ("1000", "1000"),
        ("1001", "1001"),
        ("a_3", "sub/0.png"),
    ]


def test_a_picture_inside_a_message_is_written_to_a_file(pictures: Path, tmp_path: Path) -> None:
    data = (pictures / "sub/0.png").read_bytes()
    address = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    content = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": "Q"}]
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": "A"}]
    folder = imported([{"id": "a", "messages": turns}], pictures, tmp_path)
    (row,) = read_competition(folder).train
    assert (row.question, row.answer) == ("Q", "A")
    assert (folder / row.image).read_bytes() == data


def test_pictures_of_other_suffixes_and_machines_are_found(pictures: Path, tmp_path: Path) -> None:
    names = ["sub/0.jpg", "sub\\1.png", "D:\\data\\sub\\2.gif", "file:///x/sub/0.png"]
    folder = imported([said("A", image=name) for name in names], pictures, tmp_path)
    assert [row.image.removeprefix("image/linked/") for row in read_competition(folder).train] == [
        "sub/0.png",
        "sub/1.png",
        "sub/2.png",
        "sub/0.png",
    ]


def test_questions_keep_the_ids_they_have_and_odd_ones_are_left_out(pictures: Path) -> None:
    rows = [
        {"question_id": 7.0, "image": "sub/0.png", "text": "Q"},
        {"question_id": 7.0, "image": "sub/0.png", "text": "R"},
    ]
    rows += [{"image": "sub/1.png", "question": "S"}, {"id": "x", "image": "sub/1.png", "text": None}]
    found = read_question_records(rows, "test.jsonl", pictures)
    assert [(row.question_id, row.question) for row in found.examples] == [("7", "Q"), ("7", "R"), ("test_3", "S")]
    assert found.notes["note", UNNUMBERED] == ["test_3"]
    assert [case["why"] for case in found.left_out] == [NO_QUESTION]
    with pytest.raises(InputError, match='line 1: expected an object with a question under "text"'):
        read_question_records([{"id": 1}], "test.jsonl", pictures)
