"""VQAv2's questions, annotations and results: read with ids as text, written with the keys the VQA tool asks for.

Formats as on visualqa.org/download.html and visualqa.org/evaluation.html. The extra key `image` of our questions, which
the tool passes over, is the picture's path: VQAv2 itself names pictures by number and COCO's file names.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vqa_core.answers import answer_type, commonest, question_type
from vqa_core.data.choices.reading import FORM, form_of_record, parse_choices
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.pictures.image_files import ImageFiles
from vqa_core.data.references import parse_annotations
from vqa_core.files import InputError, named, read_json, write_json
from vqa_core.runs.choices import TEXT
from vqa_core.runs.examples import Example

UNASKED = "annotations of questions that are in no questions file"
CHOICES = "multiple_choices"
"""The choices of a question, as in VQA v1. Our extra key `answer_form` says how the answer names one of them."""
_NUMBER = re.compile("0|[1-9][0-9]{0,17}")

Key = Callable[[str], int | str]


def read_vqav2(questions: Sequence[Path], annotations: Sequence[Path], images: Path) -> SplitData:
    """The questions of the files, each with its `multiple_choice_answer`, or else the commonest of its answers.

    All answers stay in `references`. Pictures are found below `images` by the key `image`, by COCO's file names, or by
    the id. Raises InputError for a malformed file, or a duplicate id among the annotations.
    """
    data = SplitData()
    chosen: dict[str, Any] = {}
    for path in annotations:
        content = read_json(path)
        found = parse_annotations(content, path)
        again = sorted(data.references.keys() & found.keys())
        if again:
            raise InputError(f"{path} annotates {named(again)}, and so does another file. Name one of them.")
        data.references |= {question_id: answers for question_id, answers in found.items() if answers}
        chosen |= {str(item["question_id"]): item.get("multiple_choice_answer") for item in content["annotations"]}
    files = ImageFiles(images)
    for path in questions:
        content = read_json(path)
        names = _coco_names(str(content.get("data_subtype", "")))
        for number, item in enumerate(content["questions"]):
            try:
                question_id, image_id, question = str(item["question_id"]), str(item["image_id"]), item["question"]
            except (KeyError, TypeError):
                raise InputError(
                    f"{path}, question {number}: expected question_id, image_id and question, found {str(item)[:80]}."
                ) from None
            if not isinstance(question, str):
                raise InputError(f"{path}, question {number}: the question is {question!r}; expected a text.")
            answers, answer = data.references.get(question_id), chosen.get(question_id)
            if not isinstance(answer, str):
                answer = commonest(answers) if answers else None
            image = item.get("image")
            picture = image if isinstance(image, str) else _picture(files, image_id, names)
            choices = parse_choices(item.get(CHOICES))
            form = form_of_record(item) if choices else TEXT
            data.examples.append(Example(question_id, image_id, picture, question, answer, choices, form))
    asked = {example.question_id for example in data.examples}
    for question_id in [question_id for question_id in data.references if question_id not in asked]:
        data.leave_out(UNASKED, question_id, {"question_id": question_id, "answers": data.references.pop(question_id)})
    return data


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


def _coco_names(subtype: str) -> list[str]:
    """COCO's file names: for picture 7 of `test-dev2015` COCO_test2015_000000000007, and 000000000007 since 2017."""
    names = ["{:012d}"]
    return [f"COCO_{subtype.replace('-dev', '')}_{{:012d}}", *names] if subtype else names


def _picture(files: ImageFiles, image_id: str, names: Sequence[str]) -> str:
    known = [name.format(int(image_id)) for name in names] if _NUMBER.fullmatch(image_id) else []
    found = (files.find("", name) for name in (*known, image_id))
    return next((paths[0] for paths in found if len(paths) == 1), "")
