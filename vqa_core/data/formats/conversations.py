"""Write LLaVA's files: conversation JSON to train on, question JSONL to answer, answers JSONL. `llava.py` reads them.

Formats as LLaVA v1.0.2 reads and writes them (`llava/train/train.py`, `llava/eval/model_vqa.py`). LLaVA ignores the
extra key `image_id`, which preserves an id that differs from the image's file name.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vqa_core.files import InputError, write_atomically, write_json_lines
from vqa_core.runs.examples import Example

IMAGE_TOKEN = "<image>"


def write_conversations(path: Path, examples: Iterable[Example]) -> int:
    """Write a JSON list with one conversation per example, each on a line; return the number of conversations.

    `{"id", "image", "image_id", "conversations": [{"from": "human", "value": "<image>\\nQ"}, {"from": "gpt", ...}]}`.
    Without an image file there is neither `image` nor `<image>`; without an answer there is no turn from gpt.
    """
    lines = [json.dumps(_conversation(example), ensure_ascii=False) for example in examples]
    write_atomically(path, "[\n" + ",\n".join(lines) + "\n]\n")
    return len(lines)


def write_questions(path: Path, examples: Iterable[Example]) -> int:
    """Write one `{"question_id", "image", "text", "image_id"}` per line, `text` without `<image>`; return how many."""
    return write_json_lines(
        path,
        (
            {"question_id": row.id_in_source, "image": row.image, "text": row.question, "image_id": row.image_id}
            for row in examples
        ),
    )


def write_answers(path: Path, examples: Iterable[Example], answers: Mapping[str, str], model_id: str) -> int:
    """Write one `{"question_id", "prompt", "text", "answer_id", "model_id", "metadata"}` per line; return their number.

    `answers` maps question ids to texts; an example without one is an InputError. The `answer_id` is a hash of model
    and question, so writing again produces the same file.
    """
    rows = []
    for example in examples:
        if example.question_id not in answers:
            raise InputError(f"{path} cannot be written: question {example.question_id!r} has no answer.")
        answer_id = hashlib.sha256(f"{model_id}\n{example.question_id}".encode()).hexdigest()[:22]
        row = {"question_id": example.id_in_source, "prompt": example.question, "text": answers[example.question_id]}
        rows.append(row | {"answer_id": answer_id, "model_id": model_id, "metadata": {}})
    return write_json_lines(path, rows)


def _conversation(example: Example) -> dict[str, Any]:
    record: dict[str, Any] = {"id": example.id_in_source}
    if example.image:
        record["image"] = example.image
    question = f"{IMAGE_TOKEN}\n{example.question}" if example.image else example.question
    turns = [{"from": "human", "value": question}]
    if example.answer is not None:
        turns.append({"from": "gpt", "value": example.answer})
    return record | {"image_id": example.image_id, "conversations": turns}
