"""Error analysis: compare the answers to one split of a run with the right ones; slice, filter and count them.

`answers_of(run, "val")` reads the files once and caches the result until one of them changes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vqa_core.analysis.confusion import Confusion, confusion, in_cell
from vqa_core.analysis.near_misses import count_near_misses, near_miss
from vqa_core.analysis.slicing import BY, OF_CHOICES, Bools, Floats, Ints, Slicing, key_of, slicing_of
from vqa_core.apart import run_apart
from vqa_core.config import DataSettings, settings_of
from vqa_core.data.competition import SOLUTION
from vqa_core.data.priors import AnswerPrior
from vqa_core.data.references import read_solution
from vqa_core.files import InputError, named, stamp_of
from vqa_core.runs.examples import ColumnMap, Example
from vqa_core.runs.predictions import Prediction, read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.choices import as_asked
from vqa_core.scoring.intervals import Interval, mean_interval, paired_difference
from vqa_core.scoring.score import known_answers

SPLITS = ("val", "test", "train")
SHOWN = ("wrong", "right", "near", "all")
SORTS = ("confident", "unsure", "order")
KEPT = 4  # analyses held in memory


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the questions. `score` is exact match, None if the right answers are not known.

    `confidence` is the mean probability of the model's answers, None if it gave none; compared with `score` it shows
    the model's calibration.
    """

    key: str
    n: int
    wrong: int
    score: Interval | None
    confidence: float | None


@dataclass(frozen=True, eq=False)
class Answers:
    """The answered questions of a split: `examples`, `predictions` and `references` have the same order.

    `references` is None if the right answers are not known; `why` then says what is wrong with the file of them, ""
    if there is none. `asked` counts all questions, answered or not. If only some have a right answer, these are the
    questions here, and `unreferenced` counts the others.
    """

    run: RunDir
    split: str
    asked: int
    examples: list[Example]
    predictions: list[Prediction]
    references: list[str] | None
    why: str = ""
    unreferenced: int = 0

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def right(self) -> Bools | None:
        """Whether each answer is its reference, character for character (exact match), (n,)."""
        if self.references is None:
            return None
        return np.array([item.answer == reference for item, reference in zip(self.predictions, self.references)], bool)

    @cached_property
    def near(self) -> npt.NDArray[np.object_]:
        """The kind of near-miss of each answer, "" for a right answer or a real error, (n,)."""
        kinds = np.full(len(self), "", dtype=object)
        if self.right is not None and self.references is not None:
            for i in np.flatnonzero(~self.right):
                kinds[i] = near_miss(self.predictions[i].answer, self.references[i])
        return kinds

    @cached_property
    def images(self) -> Ints:
        """The number of each question's picture, (n,)."""
        return slicing_of(example.image or example.image_id for example in self.examples).codes

    @cached_property
    def confidence(self) -> Floats:
        """The probability of each answer, NaN if the model gave none, (n,)."""
        values = [np.nan if item.probability is None else item.probability for item in self.predictions]
        return np.array(values, dtype=np.float64)

    @cached_property
    def place(self) -> dict[str, int]:
        """Question id -> its position."""
        return {example.question_id: i for i, example in enumerate(self.examples)}

    def same_image(self, place: int) -> list[int]:
        """The positions of all questions about the picture of the question at `place`."""
        return [int(i) for i in np.flatnonzero(self.images == self.images[place])]

    @cached_property
    def overall(self) -> Interval | None:
        """Exact match of all answers."""
        return self._score(np.arange(len(self)))

    @cached_property
    def baseline(self) -> tuple[Interval, Interval] | None:
        """Exact match of guessing without the picture, and by how much the model is better."""
        if self.right is None or self.references is None or not len(self) or not self.run.train.is_file():
            return None
        try:
            guesses = run_apart(_guess, self.run, set(map(_asked, self.examples)), size=self.run.train.stat().st_size)
        except InputError:  # there is no training answer
            return None
        hits = [
            float(guesses[_asked(example)] == reference) for example, reference in zip(self.examples, self.references)
        ]
        return mean_interval(hits, self.images), paired_difference(self.right.astype(float), hits, self.images)

    @cached_property
    def slicings(self) -> dict[str, Slicing]:
        """The slicing by each of BY; by the right answers, or by the given ones if the right ones are not known.

        Those by choice are there only if a question has choices.
        """
        answers = self.references or [item.answer for item in self.predictions]
        ways = (
            BY
            if any(example.choices for example in self.examples)
            else {by: BY[by] for by in BY if by not in OF_CHOICES}
        )
        return {by: make(self.examples, answers, self.confidence) for by, make in ways.items()}

    def slices(self, by: str, at: Ints, most: int = 20) -> tuple[list[Slice], int]:
        """The first `most` parts of the questions `at` by one of BY, and the number of further parts.

        Parts without an order of their own are sorted by the number of wrong answers, then of questions.
        """
        slicing = self.slicings[by]
        codes = slicing.codes[at]
        counts = np.bincount(codes, minlength=len(slicing.keys))
        wrong = (
            np.zeros_like(counts) if self.right is None else np.bincount(codes[~self.right[at]], minlength=len(counts))
        )
        present = np.flatnonzero(counts)
        if not slicing.ordered:
            present = present[np.lexsort((present, -counts[present], -wrong[present]))]
        slices = []
        for code in present[:most]:
            members = at[codes == code]
            known = self.confidence[members][~np.isnan(self.confidence[members])]
            mean = float(known.mean()) if known.size else None
            slices.append(Slice(slicing.keys[code], int(counts[code]), int(wrong[code]), self._score(members), mean))
        return slices, max(0, len(present) - most)

    def near_misses(self, at: Ints) -> dict[str, int]:
        """The number of near-misses among the questions `at`, by kind."""
        return count_near_misses(self.near[at])

    def confusion(self, at: Ints) -> Confusion:
        """The confusion matrix of the questions `at`; empty without right answers."""
        return confusion(*self._answers, at) if self.references is not None else Confusion([], 0, [])

    def select(
        self,
        *,
        kind: str = "",
        by: str = "",
        part: str = "",
        wanted: str = "",
        given: str = "",
        form: str = "",
        ids: Collection[str] | None = None,
    ) -> Ints:
        """Positions of the questions that match all arguments; an empty argument matches everything.

        Args:
            kind: question type.
            by, part: one of BY, and the key of one of its parts.
            wanted, given: row and column in the confusion matrix of the questions of that `kind` and `part`, by key.
            form: kind of near-miss.
            ids: question ids.
        """
        mask = np.ones(len(self), dtype=np.bool_)
        for slicing, key in (("question_type", kind), (by, part)):
            if key and slicing in self.slicings:
                mask &= self.slicings[slicing].where(key)
        if self.right is not None:
            if wanted or given:
                mask &= in_cell(*self._answers, np.flatnonzero(mask), wanted, given)
            if form:
                mask &= self.near == form
        if ids is not None:
            mask &= np.isin(np.arange(len(self)), [self.place[name] for name in ids if name in self.place])
        return np.flatnonzero(mask)

    def shown(self, show: str) -> Bools:
        """Mask of the answers that are `show`, one of SHOWN, (n,); all if the right answers are not known."""
        if self.right is None or show == "all":
            return np.ones(len(self), dtype=np.bool_)
        return {"wrong": ~self.right, "right": self.right, "near": np.asarray(self.near != "", dtype=np.bool_)}[show]

    def sort(self, at: Ints, order: str) -> Ints:
        """Sort by confidence, highest first (`confident`) or last (`unsure`), unknown at the end; else unchanged."""
        if order not in ("confident", "unsure"):
            return at
        sign = -1 if order == "confident" else 1
        return at[np.argsort(sign * self.confidence[at], kind="stable")]  # NaN is last either way

    @cached_property
    def _answers(self) -> tuple[Slicing, Slicing]:
        """Right and given answers, with the same keys."""
        both = slicing_of(
            key_of(answer) for answer in [*(self.references or []), *(p.answer for p in self.predictions)]
        )
        half = len(both.codes) - len(self)
        return Slicing(both.keys, both.codes[:half]), Slicing(both.keys, both.codes[half:])

    def _score(self, at: Ints) -> Interval | None:
        return (
            mean_interval(self.right[at].astype(float), self.images[at]) if self.right is not None and len(at) else None
        )


def _asked(example: Example) -> Example:
    """What a guess depends on: the question and its choices."""
    return Example("", "", "", example.question, None, example.choices, example.answer_form)


def _guess(run: RunDir, asked: Collection[Example]) -> dict[Example, str]:
    """Question -> the answer to guess from the training answers alone."""
    prior = AnswerPrior(run.examples("train"))
    return {example: prior.guess(example) for example in asked}


def predicted_splits(run: RunDir) -> list[str]:
    """The splits that the run has predictions for, val first."""
    return [split for split in SPLITS if run.predictions(split).is_file() and (run.root / f"{split}.jsonl").is_file()]


def answers_of(run: RunDir, split: str) -> Answers:
    """The answers to a split; reads the files again only if one of them has changed.

    The right answers to test questions come from `solution.csv` in the dataset folder, if it exists. Raises InputError
    if there are no questions or no predictions.
    """
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r}; choose from {', '.join(SPLITS)}.")
    try:
        solution = run.data_root() / SOLUTION
    except InputError:
        solution = Path()
    files = (run.config, run.root / f"{split}.jsonl", run.predictions(split), run.train, solution)
    return _read(run, split, solution, tuple(map(stamp_of, files)))


@lru_cache(maxsize=KEPT)
def _read(run: RunDir, split: str, solution: Path, _stamps: tuple[tuple[int, int], ...]) -> Answers:
    asked = run.examples(split)
    predictions = read_predictions(run.predictions(split))
    examples = [example for example in asked if example.question_id in predictions]
    known, why = None, ""
    try:
        known = _read_references(run, split, examples, solution)
    except InputError as error:
        why = str(error)
    scored = examples if known is None else [example for example in examples if example.question_id in known]
    given = [predictions[example.question_id] for example in scored]
    references = None if known is None else [known[example.question_id] for example in scored]
    return Answers(run, split, len(asked), scored, given, references, why, len(examples) - len(scored))


def _read_references(run: RunDir, split: str, examples: list[Example], solution: Path) -> dict[str, str] | None:
    """Question id -> its right answer, for those that have one; None if there is no file of them."""
    if split != "test":
        known = known_answers(examples)
    elif solution.is_file():
        data = settings_of(DataSettings, run.read_config(), {})
        columns = ColumnMap(question_id=data.question_id_column, answer=data.answer_column, encoding=data.encoding)
        known = read_solution(solution, columns)
    else:
        return None
    found = {row.question_id: as_asked(row, known[row.question_id][0]) for row in examples if row.question_id in known}
    if examples and not found:
        missing = [example.question_id for example in examples]
        raise InputError(
            f"{split}: {len(missing)} of {len(examples)} questions have no right answer: {named(missing)}."
        )
    return found
