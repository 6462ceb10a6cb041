"""Paired errors: two runs' answers to the same questions side by side, and where one is right and the other is not."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from vqa_core.analysis.errors import KEPT, Answers
from vqa_core.analysis.slicing import Bools
from vqa_core.files import InputError, named
from vqa_core.scoring.comparison import Comparison, compare

PAIRS = ("only_a", "only_b", "both_wrong", "both_right", "differ")


@dataclass(frozen=True, eq=False)
class PairedErrors:
    """Answers `a` beside those of `b` to the same questions; made by `pair`."""

    a: Answers
    b: Answers
    comparison: Comparison

    @cached_property
    def others(self) -> list[int]:
        """By place in `a`, the place in `b`."""
        return [self.b.place[example.question_id] for example in self.a.examples]

    @cached_property
    def masks(self) -> dict[str, Bools]:
        """The questions of `a` of which each of PAIRS is true, (n,); without right answers only `differ` ever is."""
        answers = zip(self.a.predictions, self.others)
        differ = np.array([mine.answer != self.b.predictions[i].answer for mine, i in answers], dtype=np.bool_)
        if self.a.right is None or self.a.references is None:
            return dict.fromkeys(PAIRS, np.zeros(len(self.a), dtype=np.bool_)) | {"differ": differ}
        right = zip(self.a.references, self.others)
        a, b = self.a.right, np.array([self.b.predictions[i].answer == wanted for wanted, i in right], dtype=np.bool_)
        return {"only_a": a & ~b, "only_b": b & ~a, "both_wrong": ~a & ~b, "both_right": a & b, "differ": differ}


@lru_cache(maxsize=KEPT)
def pair(a: Answers, b: Answers) -> PairedErrors:
    """Put two runs side by side. Raises InputError unless `b` answers all the questions that `a` does."""
    different = [
        example.question_id
        for example in a.examples
        if example.question_id in b.place
        and (example.question, example.image_id)
        != ((other := b.examples[b.place[example.question_id]]).question, other.image_id)
    ]
    if different:
        raise InputError(
            f"the {a.split} questions of {a.run.root} and {b.run.root} are not the same: {len(different)} ids stand "
            f"for different ones, such as {named(different)}. Compare runs of the same data."
        )
    references = None
    if a.references is not None:
        references = {example.question_id: [answer] for example, answer in zip(a.examples, a.references)}
    comparison = compare(
        a.examples,
        {item.question_id: item for item in a.predictions},
        {item.question_id: item for item in b.predictions},
        references=references,
        config_a=a.run.read_config(),
        config_b=b.run.read_config(),
    )
    return PairedErrors(a, b, comparison)
