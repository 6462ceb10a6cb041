"""Conversations of any shape: `<image>` anywhere, several turns, no picture; changes and losses are reported."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support.exported import notes_of
from train.prepare import main
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.importing import Sources, import_data
from vqa_core.data.formats.llava import LATE, LATER, MOVED, NO_IMAGE, TWICE
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
