"""LLaVA's files give back the examples they were written from, whatever the texts hold."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqa_core.data.formats.conversations import (
    read_answers,
    read_conversations,
    read_questions,
    write_answers,
    write_conversations,
    write_questions,
)
from vqa_core.files import InputError
from vqa_core.runs.examples import Example

ALPHABET = st.characters(codec="utf-8")
TEXTS = st.text(ALPHABET, max_size=20) | st.sampled_from(
    ["<image>", "<image>\nWhat?", "a\nb\r\n", "none", "NA", "001", "", " ", "\u2028", "사과는 무슨 색?", '"quoted"']
)
EXAMPLES = st.builds(Example, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS | st.none())
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(examples=st.lists(EXAMPLES, max_size=5))
@SETTINGS
def test_conversations_are_read_back_exactly(examples: list[Example], tmp_path: Path) -> None:
    path = tmp_path / "output.json"
    assert write_conversations(path, examples) == len(examples)
    assert read_conversations(path) == examples
    assert len(json.loads(path.read_text(encoding="utf-8"))) == len(examples)


@given(examples=st.lists(st.builds(Example, TEXTS, TEXTS, TEXTS, TEXTS), max_size=5))
@SETTINGS
def test_questions_are_read_back_exactly(examples: list[Example], tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    assert write_questions(path, examples) == len(examples)
    assert read_questions(path) == examples


@given(answers=st.dictionaries(TEXTS, TEXTS, max_size=5))
@SETTINGS
def test_answers_are_read_back_exactly(answers: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    examples = [Example(question_id, "i", "i.png", "Q") for question_id in answers]
    assert write_answers(path, examples, answers, "model") == len(answers)
    assert read_answers(path) == answers


def test_the_keys_are_llavas(tmp_path: Path) -> None:
    example = Example("TRAIN_0", "train_0", "image/train/train_0.png", "What color is the bus?", "red")
    write_conversations(tmp_path / "output.json", [example])
    (record,) = json.loads((tmp_path / "output.json").read_text())
    assert record.pop("image_id") == "train_0"
    assert record == {
        "id": "TRAIN_0",
        "image": "image/train/train_0.png",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat color is the bus?"},
            {"from": "gpt", "value": "red"},
        ],
    }
    write_questions(tmp_path / "test.jsonl", [example])
    (record,) = map(json.loads, (tmp_path / "test.jsonl").read_text().splitlines())
    assert record == {
        "question_id": "TRAIN_0",
        "image": "image/train/train_0.png",
        "text": "What color is the bus?",
        "image_id": "train_0",
    }
    write_answers(tmp_path / "answers.jsonl", [example], {"TRAIN_0": "red"}, "llava-7b")
    (record,) = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert set(record) == {"question_id", "prompt", "text", "answer_id", "model_id", "metadata"}


def test_answers_written_again_are_the_same_bytes_and_ids_differ(tmp_path: Path) -> None:
    examples = [Example(str(number), "i", "i.png", "Q") for number in range(100)]
    answers = {example.question_id: "x" for example in examples}
    write_answers(tmp_path / "one", examples, answers, "m")
    write_answers(tmp_path / "two", examples, answers, "m")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    lines = (tmp_path / "one").read_text().splitlines()
    assert len({json.loads(line)["answer_id"] for line in lines}) == 100


def test_files_of_llavas_own_scripts_are_read(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(
        '[{"id": 7, "image": "coco/12.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat?"},'
        ' {"from": "gpt", "value": "a bus"}]}]'
    )
    assert read_conversations(tmp_path / "own.json") == [Example("7", "12", "coco/12.jpg", "What?", "a bus")]
    (tmp_path / "own.jsonl").write_text('{"question_id": 3, "image": "001.jpg", "text": "Why?", "category": "c"}\n')
    assert read_questions(tmp_path / "own.jsonl") == [Example("3", "001", "001.jpg", "Why?")]
    (tmp_path / "answers.jsonl").write_text('{"question_id": 3, "prompt": "Why?", "text": "none", "metadata": {}}\n')
    assert read_answers(tmp_path / "answers.jsonl") == {"3": "none"}


TURN = '{"from": "human", "value": "Q"}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "not the list"),
        ('[{"id": "0"}]', r"conversation 1: one turn from human .* found None"),
        (f'[{{"id": "0", "conversations": [{TURN}, {TURN}]}}]', r"found \['human', 'human'\]"),
        (f'[{{"conversations": [{TURN}]}}]', "'id' is missing"),
        ('[{"id": "0", "conversations": [{"from": "human", "value": null}]}]', "'value' is None"),
        ("[", "not valid JSON"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "output.json").write_text(content)
    with pytest.raises(InputError, match=rf"output\.json.*{message}"):
        read_conversations(tmp_path / "output.json")


def test_answers_missing_or_given_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="question '7' has no answer"):
        write_answers(tmp_path / "answers.jsonl", [Example("7", "i", "i.png", "Q")], {}, "m")
    assert not (tmp_path / "answers.jsonl").exists()
    (tmp_path / "answers.jsonl").write_text('{"question_id": "7", "text": "a"}\n' * 2)
    with pytest.raises(InputError, match="line 2: question '7' was answered before"):
        read_answers(tmp_path / "answers.jsonl")
