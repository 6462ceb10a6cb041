"""Paired errors: the answers of two runs to the same questions, and where only one of them is right."""

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
    """Answers `a` and `b` to the same questions. Create it with `pair`."""

    a: Answers
    b: Answers
    comparison: Comparison

    @cached_property
    def others(self) -> list[int]:
        """The position in `b` of each question of `a`."""
        return [self.b.place[example.question_id] for example in self.a.examples]

    @cached_property
    def masks(self) -> dict[str, Bools]:
        """Each of PAIRS -> mask of the questions of `a`, (n,); without right answers all but `differ` are false."""
        answers = zip(self.a.predictions, self.others)
        differ = np.array([mine.answer != self.b.predictions[i].answer for mine, i in answers], dtype=np.bool_)
        if self.a.right is None or self.a.references is None:
            return dict.fromkeys(PAIRS, np.zeros(len(self.a), dtype=np.bool_)) | {"differ": differ}
        right = zip(self.a.references, self.others)
        a, b = self.a.right, np.array([self.b.predictions[i].answer == wanted for wanted, i in right], dtype=np.bool_)
        return {"only_a": a & ~b, "only_b": b & ~a, "both_wrong": ~a & ~b, "both_right": a & b, "differ": differ}


@lru_cache(maxsize=KEPT)
def pair(a: Answers, b: Answers) -> PairedErrors:
    """Pair the answers of two runs. Raises InputError unless `b` answers all the questions that `a` does."""
    different = [
        example.question_id
        for example in a.examples
        if example.question_id in b.place
        and (example.question, example.image_id)
        != ((other := b.examples[b.place[example.question_id]]).question, other.image_id)
    ]
    if different:
        raise InputError(
            f"the {a.split} questions of {a.run.root} and {b.run.root} are not the same: {len(different)} ids mean "
            f"different ones, such as {named(different)}. Compare runs of the same data."
        )
    references = None
    if a.references is not None:
        references = {example.question_id: [answer] for example, answer in zip(a.examples, a.references)}
    comparison = compare(
        a.examples,
        {item.question_id: item for item in a.predictions},
        {item.question_id: item for item in b.predictions},
        references=references,
        config_a=a.run.trained_config(),
        config_b=b.run.trained_config(),
    )
    return PairedErrors(a, b, comparison)
