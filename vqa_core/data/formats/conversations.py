"""LLaVA's files: conversation JSON to train on, question JSONL to answer, answers JSONL. Written and read exactly.

Formats as LLaVA v1.0.2 reads and writes them (`llava/train/train.py`, `llava/eval/model_vqa.py`). The extra key
`image_id`, which LLaVA passes over, keeps an id that differs from the image's file name.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vqa_core.files import InputError, read_json, read_json_lines, write_atomically, write_json_lines
from vqa_core.runs.examples import Example

IMAGE_TOKEN = "<image>"


def write_conversations(path: Path, examples: Iterable[Example]) -> int:
    """Write a JSON list, one conversation an example and a line; return how many.

    `{"id", "image", "image_id", "conversations": [{"from": "human", "value": "<image>\\nQ"}, {"from": "gpt", ...}]}`.
    Without an image file there is neither `image` nor `<image>`, without an answer no turn from gpt.
    """
    lines = [json.dumps(_conversation(example), ensure_ascii=False) for example in examples]
    write_atomically(path, "[\n" + ",\n".join(lines) + "\n]\n")
    return len(lines)


def read_conversations(path: Path) -> list[Example]:
    """Read conversation JSON of one question and at most one answer each, ours or LLaVA's."""
    records = read_json(path)
    if not isinstance(records, list):
        raise InputError(f"{path} holds {type(records).__name__}, not the list of conversations that LLaVA trains on.")
    return [_example(record, f"{path}, conversation {number}") for number, record in enumerate(records, start=1)]


def write_questions(path: Path, examples: Iterable[Example]) -> int:
    """Write `{"question_id", "image", "text", "image_id"}` a line; the text is without `<image>`. Return how many."""
    return write_json_lines(
        path,
        (
            {"question_id": row.question_id, "image": row.image, "text": row.question, "image_id": row.image_id}
            for row in examples
        ),
    )


def read_questions(path: Path) -> list[Example]:
    """Read question JSONL, ours or LLaVA's; the examples have no answer."""
    return [
        Example(
            _text(row, "question_id", f"{path}, line {number}"),
            _image_id(row),
            str(row.get("image", "")),
            _text(row, "text", f"{path}, line {number}"),
        )
        for number, row in enumerate(read_json_lines(path), start=1)
    ]


def write_answers(path: Path, examples: Iterable[Example], answers: Mapping[str, str], model_id: str) -> int:
    """Write `{"question_id", "prompt", "text", "answer_id", "model_id", "metadata"}` a line; return how many.

    `answers` maps question ids to texts; an example without one is an InputError. The `answer_id` is a hash of model
    and question, so writing again gives the same file.
    """
    rows = []
    for example in examples:
        if example.question_id not in answers:
            raise InputError(f"{path} cannot be written: question {example.question_id!r} has no answer.")
        answer_id = hashlib.sha256(f"{model_id}\n{example.question_id}".encode()).hexdigest()[:22]
        row = {"question_id": example.question_id, "prompt": example.question, "text": answers[example.question_id]}
        rows.append(row | {"answer_id": answer_id, "model_id": model_id, "metadata": {}})
    return write_json_lines(path, rows)


def read_answers(path: Path) -> dict[str, str]:
    """Question id -> answer of an answers JSONL, ours or LLaVA's; an id that comes twice is an InputError."""
    answers: dict[str, str] = {}
    for number, row in enumerate(read_json_lines(path), start=1):
        place = f"{path}, line {number}"
        question_id = _text(row, "question_id", place)
        if question_id in answers:
            raise InputError(f"{place}: question {question_id!r} was answered before; keep one answer a question.")
        answers[question_id] = _text(row, "text", place)
    return answers


def _conversation(example: Example) -> dict[str, Any]:
    record: dict[str, Any] = {"id": example.question_id}
    if example.image:
        record["image"] = example.image
    question = f"{IMAGE_TOKEN}\n{example.question}" if example.image else example.question
    turns = [{"from": "human", "value": question}]
    if example.answer is not None:
        turns.append({"from": "gpt", "value": example.answer})
    return record | {"image_id": example.image_id, "conversations": turns}


def _example(record: Any, place: str) -> Example:
    turns = record.get("conversations") if isinstance(record, dict) else None
    speakers = [turn.get("from") for turn in turns] if isinstance(turns, list) else None
    if not isinstance(turns, list) or speakers not in (["human"], ["human", "gpt"]):
        raise InputError(f"{place}: one turn from human and one from gpt were expected, found {speakers}.")
    question = _text(turns[0], "value", place)
    if "image" in record:
        question = question.removeprefix(f"{IMAGE_TOKEN}\n")
    answer = _text(turns[1], "value", place) if len(turns) == 2 else None
    return Example(_text(record, "id", place), _image_id(record), str(record.get("image", "")), question, answer)


def _image_id(record: Mapping[str, Any]) -> str:
    """The image's id: as kept, else the stem of its file name."""
    return str(record.get("image_id", PurePosixPath(str(record.get("image", ""))).stem))


def _text(record: Mapping[str, Any], key: str, place: str) -> str:
    """The text under `key`; LLaVA's own files have numbers for ids."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{place}: {key!r} is {'missing' if key not in record else repr(value)}; a text was expected.")
    return str(value)
