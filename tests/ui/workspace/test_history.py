"""Pictures and answers are kept under the picture's hash, and what is not ours is not read."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.tiny import tiny_picture
from ui.workspace import history as module
from ui.workspace.history import Answer, AnswerHistory, id_of
from vqa_core.files import InputError

PIXELS = {"side": 32, "aspect": "square", "mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0, 1.0]}
ANSWER = Answer("색은?\u2028 <b>", "none", 0.5, [], 0.1, "<image>색은?", "ok", "", "demo", PIXELS, 1.0)


def write_picture(path: Path, seed: int = 0) -> Path:
    tiny_picture(seed).save(path)
    return path


def test_a_picture_is_kept_as_it_came_under_the_hash_of_its_bytes(tmp_path: Path) -> None:
    history, path = AnswerHistory(tmp_path / "asked"), write_picture(tmp_path / "한글 이름 (1).png")
    key = history.keep(path)
    assert key == id_of(path) == history.keep(path)
    assert history.picture(key).read_bytes() == path.read_bytes()
    assert history.keep(write_picture(tmp_path / "other.png", 1)) != key


@pytest.mark.parametrize("key", ["", "..", "../asked", "0" * 32, "0" * 31 + "/", "A" * 32, "x\0y", "한글"])
def test_an_id_is_never_a_path(key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not kept any more"):
        AnswerHistory(tmp_path / "asked").picture(key)


def test_answers_come_back_as_they_were_given(tmp_path: Path) -> None:
    history = AnswerHistory(tmp_path)
    history.add("k", [ANSWER, replace(ANSWER, answer="")])
    history.add("k", [replace(ANSWER, answer="001")])
    assert AnswerHistory(tmp_path).answers("k") == [ANSWER, replace(ANSWER, answer=""), replace(ANSWER, answer="001")]
    assert history.answers("another") == []
    history.forget("k")
    history.forget("k")
    assert history.answers("k") == []


def test_a_line_cut_short_by_a_kill_costs_that_answer_alone(tmp_path: Path) -> None:
    history = AnswerHistory(tmp_path)
    history.add("k", [ANSWER])
    with (tmp_path / "k" / "answers.jsonl").open("a") as file:
        file.write('\n{"question": "cut sho')
    history.add("k", [replace(ANSWER, answer="after")])
    with (tmp_path / "k" / "answers.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"of": "another version"}) + "\n[1]\n")
    assert [each.answer for each in history.answers("k")] == ["none", "after"]


def test_the_pictures_untouched_for_longest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    history = AnswerHistory(tmp_path / "asked")
    keys = [history.keep(write_picture(tmp_path / f"{seed}.png", seed)) for seed in range(2)]
    history.add(keys[0], [ANSWER])
    keys.append(history.keep(write_picture(tmp_path / "2.png", 2)))
    assert {folder.name for folder in history.folder.iterdir()} == {keys[0], keys[2]}


def test_the_bytes_of_kept_pictures_are_limited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = AnswerHistory(tmp_path / "asked")
    paths = [write_picture(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    monkeypatch.setattr(module, "KEPT_BYTES", sum(path.stat().st_size for path in paths[1:]))
    keys = [history.keep(path) for path in paths]
    assert {folder.name for folder in history.folder.iterdir()} == set(keys[1:])
    monkeypatch.setattr(module, "KEPT_BYTES", 1)
    last = history.keep(write_picture(tmp_path / "3.png", 3))
    assert {folder.name for folder in history.folder.iterdir()} == {last}, "the newest stays"
