"""VQAv2's questions, annotations and results: read with ids as text, written with the keys the VQA tool asks for.

Formats as on visualqa.org/download.html and visualqa.org/evaluation.html, of VQAv1 with its multiple choice too.
OK-VQA, TDIUC and VQA-CP have the same keys, VQA-CP in a list without the object around it. The extra key `image` of
our questions, which the tool passes over, is the picture's path: VQAv2 names pictures by number and COCO's file names.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vqa_core.answers import answer_type, question_type
from vqa_core.data.choices.reading import FORM, form_of_record, parse_choices
from vqa_core.data.columns.values import WHOLE, Column
from vqa_core.data.formats.layouts.reader import LayoutReader, answers_of, plain_texts
from vqa_core.data.formats.layouts.records import Row
from vqa_core.data.formats.layouts.table import has_question
from vqa_core.data.formats.split_data import SplitData
from vqa_core.files import InputError, write_json
from vqa_core.runs.choices import MOST, TEXT
from vqa_core.runs.examples import Example

UNASKED = "annotations of questions that are in no questions file"
REPEATED = "questions annotated twice, in the same way"
ODD_ANNOTATION = "annotations without a question_id or without answers"
ODD_QUESTION = "questions without question_id, image_id or the text of a question"
ANSWER_KEYS = ("multiple_choice_answer", "answers", "answer")
CHOICES = "multiple_choices"
"""The choices of a question, as in VQA v1. Our extra key `answer_form` says how the answer names one of them."""
_NUMBER = re.compile("0|[1-9][0-9]{0,17}")

Key = Callable[[str], int | str]


@dataclass(slots=True)
class VqaFiles:
    """The questions and annotations that belong together: of each file its path and its rows."""

    questions: list[tuple[Path, Sequence[Row]]] = field(default_factory=list)
    annotations: list[tuple[Path, Sequence[Row]]] = field(default_factory=list)

    def take(self, path: Path, rows: Sequence[Row]) -> bool:
        """Keep the rows if most are questions without answers, or answers without questions; else return False."""
        for is_kind, files in ((_is_question, self.questions), (_is_annotation, self.annotations)):
            if rows and 2 * sum(map(is_kind, rows)) >= len(rows):
                files.append((path, rows))
                return True
        return False


def read_vqav2(files: VqaFiles, images: Path, role: str) -> dict[str, SplitData]:
    """The questions by split, each with its `multiple_choice_answer`, or else the commonest of its answers.

    All answers stay in `references`. VQAv1's questions have `multiple_choices`. `data_subtype` names the split, and
    where the pictures are: below `images` by the key `image`, by COCO's file names, or by the id. Raises InputError if
    a question is annotated in two ways, or if there are no questions, or no answers to train on.
    """
    known = _Annotations()
    for path, rows in files.annotations:
        known.read(path, rows)
    if files.annotations and not files.questions:
        path = files.annotations[0][0]
        raise InputError(f"{path} has answers but no questions. Also name the file with its questions.")
    found: dict[str, SplitData] = {}
    for path, rows in files.questions:
        reader = LayoutReader(path, images, role)
        for number, row in enumerate(rows, start=1):
            data = reader.data_of(row)
            try:
                example = _example(row, reader, known, data)
            except ValueError as error:
                data.leave_out(str(error), f"{path.stem}_{number}", row.record)
                continue
            data.put(example, known.answers.get(example.question_id, ()))
        for split, data in reader.data.items():
            found.setdefault(split, SplitData()).add(data)
    to_train = [row for split, data in found.items() if split != "test" for row in data.examples]
    if role == "train" and to_train and all(row.answer is None for row in to_train):
        raise _no_answers(files)
    asked = {row.id_in_source for data in found.values() for row in data.examples}
    known.tell(asked, found.setdefault(role, SplitData()))
    return found


class _Annotations:
    """All answers to each question id, and the one to train on."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.chosen: dict[str, str | None] = {}
        self._repeated: list[str] = []
        self._odd: list[tuple[str, Any]] = []

    def read(self, path: Path, rows: Sequence[Row]) -> None:
        """Add a file's. Raises InputError if it has other answers to a question than were read before."""
        values = (row.record.get(key) for row in rows if isinstance(row.record, dict) for key in ANSWER_KEYS)
        column = Column(value for value in values if plain_texts(value) is None)
        for number, row in enumerate(rows, start=1):
            case = f"{path.stem}_{number}"
            try:
                answer, answers = answers_of(row.record, ANSWER_KEYS, column) if _is_annotation(row) else (None, None)
            except ValueError:
                answers = None
            if answers is None:
                self._odd.append((case, row.record))
                continue
            question_id = _id(row.record["question_id"])
            if question_id not in self.answers:
                self.answers[question_id], self.chosen[question_id] = answers, answer
            elif (self.answers[question_id], self.chosen[question_id]) == (answers, answer):
                self._repeated.append(question_id)
            else:
                raise InputError(
                    f"{path} has other answers to question {question_id!r} than were read before. Name the files of "
                    "one data set, and each of them once."
                )

    def tell(self, asked: Container[str], data: SplitData) -> None:
        """Note what was not used in `data`."""
        for question_id in self._repeated:
            data.note(REPEATED, question_id)
        for case, record in self._odd:
            data.leave_out(ODD_ANNOTATION, case, record)
        for question_id, answers in self.answers.items():
            if question_id not in asked:
                data.leave_out(UNASKED, question_id, {"question_id": question_id, "answers": answers})


def write_vqav2(folder: Path, split: str, examples: Sequence[Example], references: Mapping[str, list[str]]) -> None:
    """Write `SPLIT_questions.json`, and `SPLIT_annotations.json` if answers are known.

    A question without an entry in `references` gets its one answer. The VQA tool then scores 0 for any prediction,
    since it leaves one reference out at a time. Ids are numbers if `as_numbers` allows.
    """
    key = as_numbers(example.question_id for example in examples)
    image_key = as_numbers(example.image_id for example in examples)
    head = {"info": {}, "license": {}, "task_type": "Open-Ended", "data_type": "", "data_subtype": split}
    questions = [
        {
            "question_id": key(example.question_id),
            "image_id": image_key(example.image_id),
            "question": example.question,
            "image": example.image,
            **({CHOICES: example.choices, FORM: example.answer_form} if example.choices else {}),
        }
        for example in examples
    ]
    write_json(folder / f"{split}_questions.json", head | {"questions": questions})
    known = [example for example in examples if example.answer is not None]
    if known:
        items = [_annotation(example, references.get(example.question_id), key, image_key) for example in known]
        write_json(folder / f"{split}_annotations.json", head | {"annotations": items})


def write_results(path: Path, answers: Mapping[str, str]) -> None:
    """Write `[{"question_id", "answer"}, ...]`; ids are numbers if `as_numbers` allows."""
    key = as_numbers(answers)
    write_json(path, [{"question_id": key(question_id), "answer": answer} for question_id, answer in answers.items()])


def as_numbers(ids: Iterable[str]) -> Key:
    """The type to write ids as: `int`, as in VQAv2, if all of `ids` are numbers, else `str`.

    `001` is a text, and so are then all ids of its file: the tool compares ids by value and type.
    """
    return int if all(map(_NUMBER.fullmatch, ids)) else str


def _annotation(example: Example, answers: list[str] | None, key: Key, image_key: Key) -> dict[str, Any]:
    answer = example.answer or ""
    return {
        "question_id": key(example.question_id),
        "image_id": image_key(example.image_id),
        "question_type": question_type(example.question),
        "answer_type": answer_type(answer),
        "multiple_choice_answer": answer,
        "answers": [
            {"answer": text, "answer_confidence": "yes", "answer_id": number}
            for number, text in enumerate(answers or [answer], start=1)
        ],
    }


def _is_question(row: Row) -> bool:
    """Whether a row is a question of VQA, without answers, and of none of the layouts with more keys."""
    record = row.record if isinstance(row.record, dict) else {}
    ids = all(isinstance(record.get(key), str | int | float) for key in ("question_id", "image_id"))
    others = (*ANSWER_KEYS, "choices", "set_name", "image_classes")
    return ids and "question" in record and not any(key in record for key in others)


def _is_annotation(row: Row) -> bool:
    record = row.record if isinstance(row.record, dict) else {}
    answered = any(key in record for key in ANSWER_KEYS)
    return answered and isinstance(record.get("question_id"), str | int | float) and not has_question(row)


def _id(value: str | float) -> str:
    """An id as text; pandas makes numbers floating point, and they are whole."""
    return Column([value]).text(value) or "" if isinstance(value, float) else str(value)


def _example(row: Row, reader: LayoutReader, known: _Annotations, data: SplitData) -> Example:
    """Raises ValueError with the reason if the row is none."""
    record = row.record
    if not _is_question(row) or not isinstance(record["question"], str):
        raise ValueError(ODD_QUESTION)
    question_id, image_id = _id(record["question_id"]), _id(record["image_id"])
    for key in ("question_id", "image_id"):
        if isinstance(record[key], float):
            data.note(f"{key}: {WHOLE}", question_id)
    subset = str(record.get("coco_split") or row.split)
    picture = reader.picture_of(record.get("image"), image_id, subset, data, question_id)
    choices, form = parse_choices(record.get(CHOICES) or ()), form_of_record(record)
    if FORM not in record:  # of VQAv1's eighteen some are the same
        choices = tuple(dict.fromkeys(choices))[:MOST]
    answer = known.chosen.get(question_id)
    return Example(question_id, image_id, picture, record["question"], answer, choices, form if choices else TEXT)


def _no_answers(files: VqaFiles) -> InputError:
    path = files.questions[0][0]
    if files.annotations:
        return InputError(
            f"No question of {path} has an answer in {files.annotations[0][0]}. Name the annotations of the same "
            "split, or pass the questions with --test-data."
        )
    return InputError(
        f"{path} holds questions without answers. Name the file with its annotations too, or pass it with --test-data."
    )
