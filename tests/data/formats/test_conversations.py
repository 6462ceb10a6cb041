"""LLaVA's files give back the examples they were written from, whatever the texts hold."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.exported import conversations, llava_answers, questions
from vqa_core.data.formats.conversations import write_answers, write_conversations, write_questions
from vqa_core.files import InputError
from vqa_core.runs.examples import Example

ALPHABET = st.characters(codec="utf-8")
TEXTS = st.text(ALPHABET, max_size=20) | st.sampled_from(
    ["<image>", "<image>\nWhat?", "a\nb\r\n", "none", "NA", "001", "", " ", "\u2028", "사과는 무슨 색?", '"quoted"']
)
IMAGES = TEXTS.filter(lambda text: text and not text.startswith("/"))
EXAMPLES = st.builds(Example, TEXTS, TEXTS, IMAGES, TEXTS, TEXTS | st.none())
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(examples=st.lists(EXAMPLES, max_size=5))
@SETTINGS
def test_conversations_are_read_back_exactly(examples: list[Example], tmp_path: Path) -> None:
    path = tmp_path / "output.json"
    assert write_conversations(path, examples) == len(examples)
    assert conversations(path) == examples
    assert len(json.loads(path.read_text(encoding="utf-8"))) == len(examples)


@given(examples=st.lists(st.builds(Example, TEXTS, TEXTS, IMAGES | st.just(""), TEXTS), max_size=5))
@SETTINGS
def test_questions_are_read_back_exactly(examples: list[Example], tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    assert write_questions(path, examples) == len(examples)
    assert questions(path) == examples


@given(answers=st.dictionaries(TEXTS, TEXTS, max_size=5))
@SETTINGS
def test_answers_are_read_back_exactly(answers: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    examples = [Example(question_id, "i", "i.png", "Q") for question_id in answers]
    assert write_answers(path, examples, answers, "model") == len(answers)
    assert llava_answers(path) == answers


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


def test_an_example_without_an_image_asks_without_its_token(tmp_path: Path) -> None:
    write_conversations(tmp_path / "output.json", [Example("0", "i", "", "Q", "A")])
    (record,) = json.loads((tmp_path / "output.json").read_text())
    assert record.keys() == {"id", "image_id", "conversations"}
    assert record["conversations"][0] == {"from": "human", "value": "Q"}


def test_answers_are_written_only_where_every_question_has_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="question '7' has no answer"):
        write_answers(tmp_path / "answers.jsonl", [Example("7", "i", "i.png", "Q")], {}, "m")
    assert not (tmp_path / "answers.jsonl").exists()
