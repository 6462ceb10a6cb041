"""Example, one question about one image: read, write, split and group examples."""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vqa_core.files import InputError, intern_texts, read_json_lines, write_json_lines
from vqa_core.runs.choices import TEXT


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one image.

    `image` is the picture's path relative to the dataset folder, with forward slashes; "" if no file was found.
    Every field is the source's text, unchanged: `none`, `NA` and `001` are answers and ids like any other.
    A multiple-choice question has its `choices`, and `answer_form` says how its answer names one of them
    (`vqa_core.runs.choices`); the choices of an open question are empty.
    """

    question_id: str
    image_id: str
    image: str
    question: str
    answer: str | None = None
    choices: tuple[str, ...] = ()
    answer_form: str = TEXT

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; an open question without the two fields of multiple choice, as files had it before those."""
        row = asdict(self)
        if not self.choices:
            del row["choices"], row["answer_form"]
        return row

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Example":
        """The inverse of `to_dict`. Raises TypeError for other fields."""
        fields = dict(row)
        return cls(**fields | {"choices": tuple(fields.get("choices", ()))})


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """The columns of a competition's CSV files, or of a dataset, by field; CSV may lack the `image` column.

    `encoding` is that of the CSV files that are not UTF-8; "" detects it.
    """

    question_id: str = "ID"
    image_id: str = "image_id"
    question: str = "question"
    answer: str = "answer"
    image: str = "image"
    encoding: str = ""


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Write one example per line as JSON; return the number of examples."""
    return write_json_lines(path, (example.to_dict() for example in examples))


def read_examples(path: Path) -> list[Example]:
    """Read what `write_examples` wrote."""
    return list(iterate_examples(path))


def iterate_examples(path: Path) -> Iterator[Example]:
    """Yield what `read_examples` reads, one example at a time."""
    try:
        for row in read_json_lines(path):
            yield Example.from_dict(intern_texts(row))
    except TypeError as error:
        raise InputError(
            f"{path} does not hold examples ({error}). Write it again with `python -m train.prepare`."
        ) from None


def split_by_image(examples: Sequence[Example], val_fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Split into (train, val) so that no image has questions in both; both keep the order of the examples.

    Each gets at least one image if `val_fraction` is above 0 and there are two images or more.
    """
    val_images = choose_val_images({example.image_id for example in examples}, val_fraction, seed)
    train = [example for example in examples if example.image_id not in val_images]
    val = [example for example in examples if example.image_id in val_images]
    return train, val


def choose_val_images(image_ids: Collection[str], val_fraction: float, seed: int) -> set[str]:
    """Choose the images that `split_by_image` puts into val; `image_ids` are those of the usable rows."""
    shuffled = sorted(image_ids)
    random.Random(seed).shuffle(shuffled)
    count = round(len(shuffled) * val_fraction)
    if val_fraction > 0 and len(shuffled) > 1:
        count = min(max(count, 1), len(shuffled) - 1)
    return set(shuffled[:count])


def group_by_image(examples: Iterable[Example]) -> list[list[Example]]:
    """Group examples by image file; groups and their members stay in order of first appearance."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.image or example.image_id, []).append(example)
    return list(groups.values())


def first_images(examples: Iterable[Example], questions: int) -> list[Example]:
    """The examples of the first images, whole, until there are `questions` of them; 0 takes all."""
    chosen: list[Example] = []
    for group in group_by_image(examples):
        if questions and len(chosen) >= questions:
            break
        chosen += group
    return chosen
