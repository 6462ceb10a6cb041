"""Write LLaVA's files: conversation JSON to train on, question JSONL to answer, answers JSONL. `llava.py` reads them.

Formats as LLaVA v1.0.2 reads and writes them (`llava/train/train.py`, `llava/eval/model_vqa.py`). LLaVA ignores the
extra key `image_id`, which preserves an id that differs from the image's file name. A question with choices ends with
them and is answered by letter, as in LLaVA-1.5's data; its keys `choices` and `answer_form` preserve the source's.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqa_core.config import CHOICE_INSTRUCTION
from vqa_core.data.choices.reading import FORM
from vqa_core.files import InputError, write_atomically, write_json_lines
from vqa_core.runs.choices import FORMS, find_choice, letter, list_choices, write_choice
from vqa_core.runs.examples import Example

IMAGE_TOKEN = "<image>"


def write_conversations(path: Path, examples: Iterable[Example]) -> int:
    """Write a JSON list with one conversation per example, each on a line; return the number of conversations.

    `{"id", "image", "image_id", "conversations": [{"from": "human", "value": "<image>\\nQ"}, {"from": "gpt", ...}]}`.
    A question with choices is as `written_question` writes it. Without an image file there is neither `image` nor
    `<image>`; without an answer there is no turn from gpt.
    """
    lines = [json.dumps(_conversation(example), ensure_ascii=False) for example in examples]
    write_atomically(path, "[\n" + ",\n".join(lines) + "\n]\n")
    return len(lines)


def write_questions(path: Path, examples: Iterable[Example]) -> int:
    """Write one `{"question_id", "image", "text", "image_id"}` per line, `text` without `<image>`; return how many."""
    return write_json_lines(
        path,
        (
            {
                "question_id": row.id_in_source,
                "image": row.image,
                "text": written_question(row),
                "image_id": row.image_id,
                **_choices(row),
            }
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
        row = {
            "question_id": example.id_in_source,
            "prompt": written_question(example),
            "text": answers[example.question_id],
        }
        rows.append(row | {"answer_id": answer_id, "model_id": model_id, "metadata": {}})
    return write_json_lines(path, rows)


def written_question(example: Example) -> str:
    """The question; below it its choices, each on a line with its letter, and the instruction to answer by letter."""
    if not example.choices:
        return example.question
    return "\n".join([example.question, *list_choices(example.choices), CHOICE_INSTRUCTION])


def read_choices(example: Example, record: Mapping[str, Any]) -> Example:
    """The example with the choices in the extra keys of its record: the inverse of what this module writes."""
    choices, form = record.get("choices"), record.get(FORM, letter(0))
    if not isinstance(choices, list) or form not in FORMS or not all(isinstance(choice, str) for choice in choices):
        return example
    with_them = replace(example, choices=tuple(choices), answer_form=form)
    written = written_question(replace(with_them, question=""))
    if not choices or not example.question.endswith(written):
        return example
    right = find_choice(example.answer, choices, letter(0))
    answer = example.answer if right is None else write_choice(right, choices, form)
    return replace(with_them, question=example.question.removesuffix(written), answer=answer)


def _choices(example: Example) -> dict[str, Any]:
    return {"choices": list(example.choices), FORM: example.answer_form} if example.choices else {}


def _answer(example: Example) -> str:
    """The answer by letter if the question has choices; one that names none of them as it is."""
    right = find_choice(example.answer, example.choices, example.answer_form) if example.choices else None
    return example.answer or "" if right is None else letter(right)


def _conversation(example: Example) -> dict[str, Any]:
    record: dict[str, Any] = {"id": example.id_in_source}
    if example.image:
        record["image"] = example.image
    asked = written_question(example)
    question = f"{IMAGE_TOKEN}\n{asked}" if example.image else asked
    turns = [{"from": "human", "value": question}]
    if example.answer is not None:
        turns.append({"from": "gpt", "value": _answer(example)})
    return record | {"image_id": example.image_id, "conversations": turns, **_choices(example)}
