"""Example, one question about one image: read, write, split and group examples."""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
    `question_id` is the only one of its kind in a run. Where the source gives several questions one id, `source_id` is
    the id in the source, and files for others have that.
    """

    question_id: str
    image_id: str
    image: str
    question: str
    answer: str | None = None
    choices: tuple[str, ...] = ()
    answer_form: str = TEXT
    source_id: str | None = None

    @property
    def id_in_source(self) -> str:
        """The question's id as its source has it."""
        return self.question_id if self.source_id is None else self.source_id

    def with_id(self, question_id: str) -> "Example":
        """The same example under an id of the run."""
        if question_id == self.question_id:
            return self
        return replace(self, question_id=question_id, source_id=self.id_in_source)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; without the fields of multiple choice and of repeated ids where they say nothing."""
        row = asdict(self)
        if not self.choices:
            del row["choices"], row["answer_form"]
        if self.source_id is None:
            del row["source_id"]
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


def split_by_image(
    examples: Sequence[Example], val_fraction: float, seed: int, copies: Mapping[str, str] | None = None
) -> tuple[list[Example], list[Example]]:
    """Split into (train, val) so that no picture has questions in both; both keep the order of the examples.

    `copies` maps a picture to the first one with the same content. Each gets at least one image if `val_fraction` is
    above 0 and there are two pictures or more.
    """
    val_images = choose_val_images(join_images(examples, copies or {}), val_fraction, seed)
    train = [example for example in examples if example.image_id not in val_images]
    val = [example for example in examples if example.image_id in val_images]
    return train, val


def join_images(examples: Iterable[Example], copies: Mapping[str, str]) -> dict[str, str]:
    """Image id -> the least of the image ids that share a picture with it, directly or through others."""
    parent: dict[str, str] = {}

    def root_of(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    first_with: dict[str, str] = {}
    for image_id, image in dict.fromkeys((example.image_id, example.image) for example in examples):
        parent.setdefault(image_id, image_id)
        if image:
            other = root_of(first_with.setdefault(copies.get(image, image), image_id))
            least, greatest = sorted((root_of(image_id), other))
            parent[greatest] = least
    return {image_id: root_of(image_id) for image_id in parent}


def choose_val_images(image_ids: Mapping[str, str] | Collection[str], val_fraction: float, seed: int) -> set[str]:
    """Choose the images that `split_by_image` puts into val; `image_ids` are those of the usable rows.

    A mapping, from `join_images`, keeps together the ids that it maps to the same one.
    """
    joined = image_ids if isinstance(image_ids, Mapping) else {image_id: image_id for image_id in image_ids}
    groups: dict[str, list[str]] = {}
    for image_id, name in joined.items():
        groups.setdefault(name, []).append(image_id)
    shuffled = sorted(groups)
    random.Random(seed).shuffle(shuffled)
    count = round(len(joined) * val_fraction)
    if val_fraction > 0 and len(groups) > 1:
        count = min(max(count, 1), len(joined) - 1)
    chosen: set[str] = set()
    for name in shuffled:  # as long as every group has one image, these are the first `count`
        if len(chosen) + len(groups[name]) <= count:
            chosen.update(groups[name])
    if count and not chosen and len(groups) > 1:
        chosen.update(groups[min(shuffled, key=lambda name: len(groups[name]))])
    return chosen


def number_repeats(examples: Sequence[Example], taken: Collection[str] = ()) -> list[Example]:
    """The same examples with an id of its own each: the second with an id gets `id#2` and keeps its own in `source_id`.

    Ids in `taken` count as if examples before these had them.
    """
    ids = UniqueIds(taken)
    return [example.with_id(ids.add(example.question_id)) for example in examples]


class UniqueIds:
    """Ids of which no two are the same."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def __contains__(self, question_id: object) -> bool:
        return question_id in self._taken

    def __iter__(self) -> Iterator[str]:
        return iter(self._taken)

    def add(self, question_id: str) -> str:
        """Take `question_id`, or if it is taken the first of `id#2`, `id#3` ... that is not; return what was taken."""
        name = question_id
        if name in self._taken:
            number = self._last.get(question_id, 1)
            while name in self._taken:
                number += 1
                name = f"{question_id}#{number}"
            self._last[question_id] = number
        self._taken.add(name)
        return name


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
