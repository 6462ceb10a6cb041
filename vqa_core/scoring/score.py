"""Score: how right the answers to one split are, overall and by slice, beside a baseline that guesses blindly."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from vqa_core.answers import NORMALISERS, answer_type, commonest, question_length, question_type
from vqa_core.data.priors import AnswerPrior
from vqa_core.data.references import own_annotations
from vqa_core.files import InputError, find_duplicates, named, read_json, write_json
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import FALLBACKS, SHORTENED, Prediction, read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.choices import (
    ChoiceScore,
    choice_slices,
    references_as_asked,
    score_choices,
    text_of,
)
from vqa_core.scoring.intervals import Interval, mean_interval, paired_difference
from vqa_core.scoring.metrics import DEFAULT_NORMALISER, METRICS, Metric, exact_normalised
from vqa_core.tabulate import tabulate

References = Mapping[str, Sequence[str]]
TABLE_ROWS = 15  # per kind of slice; score.json has all


@dataclass(frozen=True, slots=True)
class Row:
    """The score of one set of questions: the mean of the metric, and of exact match after normalisation."""

    score: Interval
    normalised: Interval


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one split. `slices` has a row per question type, answer type and question length.

    Where questions have choices, also per number of choices and right letter, and `choices` has what is told of those.
    Questions without a reference are not scored: `unreferenced` counts them, `missing` those without an answer yet.
    """

    split: str
    metric: str
    normaliser: str
    overall: Row
    slices: dict[str, dict[str, Row]]
    baseline: Row | None
    gain: Interval | None
    near_misses: list[dict[str, str]]
    statuses: dict[str, int]
    missing: int
    unreferenced: int = 0
    choices: ChoiceScore | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for score.json; every row is {metric: interval, "exact_normalised": interval}."""

        def row(of: Row) -> dict[str, Any]:
            return {self.metric: of.score.to_dict(), "exact_normalised": of.normalised.to_dict()}

        return {
            "split": self.split,
            "metric": self.metric,
            "normaliser": self.normaliser,
            "missing": self.missing,
            **({"unreferenced": self.unreferenced} if self.unreferenced else {}),
            "statuses": self.statuses,
            "overall": row(self.overall),
            "baseline": row(self.baseline) if self.baseline else None,
            "gain": self.gain.to_dict() if self.gain else None,
            "near_misses": {"count": len(self.near_misses), "examples": self.near_misses[:20]},
            **{kind: {name: row(of) for name, of in rows.items()} for kind, rows in self.slices.items()},
            **({"choices": self.choices.to_dict()} if self.choices else {}),
        }

    def table(self) -> str:
        """The score as text for a terminal."""
        head = ["", "questions", "images", self.metric, "95 % interval", f"normalised ({self.normaliser})"]
        blocks = [[_cells("all questions", self.overall)]]
        if self.baseline and self.gain:
            blocks[0].append(_cells("question-only baseline", self.baseline))
            blocks[0].append(["above the baseline", "", "", f"{self.gain.value:+.4f}", self.gain.signed_span, ""])
        if self.choices:
            blocks[0] += _guessing(self.choices)
        for kind, rows in self.slices.items():
            block = [[kind.replace("_", " ")], *(_cells(f"  {name}", of) for name, of in rows.items())]
            if len(rows) > TABLE_ROWS:
                block = [*block[: TABLE_ROWS + 1], [f"  and {len(rows) - TABLE_ROWS} rarer ones in score.json"]]
            blocks.append(block)
        notes = [f"near misses, right only after normalisation: {len(self.near_misses)}"]
        notes += [f"  {miss['answer']!r} for {miss['reference']!r}" for miss in self.near_misses[:3]]
        if self.choices:
            notes.append(self.choices.bias.line())
        for said, kinds in (("answers not from the model", FALLBACKS), ("answers shortened", SHORTENED)):
            counts = [f"{count} {status}" for status, count in self.statuses.items() if status in kinds]
            if counts:
                notes.append(f"{said}: {', '.join(counts)}")
        if not self.baseline:
            notes.append("no question-only baseline: the run has no training questions")
        if self.unreferenced:
            notes.append(f"{self.unreferenced} of {self.asked} questions have no reference answer and are not counted")
        if self.missing:
            notes.append(f"partial: {self.missing} questions have no answer yet and are not counted")
        return tabulate([head, *(line for block in blocks for line in block)]) + "\n" + "\n".join(notes)

    @property
    def asked(self) -> int:
        """All questions of the split, scored or not."""
        return self.overall.score.n + self.missing + self.unreferenced

    def headline(self) -> str:
        """`exact match: 0.9953 (95 % interval 0.9938-0.9968, n 9673, test)`; `n 8 of 16` if some have no reference."""
        name = "exact match" if self.metric == "exact" else self.metric
        score = self.overall.score
        count = f"{score.n} of {self.asked}" if self.unreferenced else str(score.n)
        return f"{name}: {score.value:.4f} (95 % interval {score.span}, n {count}, {self.split})"


def score_predictions(
    examples: Sequence[Example],
    predictions: Mapping[str, Prediction],
    *,
    train: Iterable[Example] = (),
    references: References | None = None,
    split: str = "val",
    metric: str = "exact",
    normaliser: str = DEFAULT_NORMALISER,
    allow_partial: bool = False,
) -> Score:
    """Score the answers to `examples` against `references`, by id, or else against the examples' own answers.

    Scored are the questions that have a reference; the others are counted. The question-only baseline guesses from
    `train`; without it there is no baseline. `allow_partial` leaves out questions without an answer, and counts them.
    Raises InputError if no question has a reference, for a question with one and without a prediction, for a duplicate
    id, and for references that the metric is not made for.
    """
    references = references if references is not None else known_answers(examples)
    asked = with_reference(examples, references)
    answered = _check_ids(examples, asked, predictions, split, allow_partial)
    measure = _find_metric(metric, normaliser)
    near = partial(exact_normalised, normaliser=normaliser)

    given = [predictions[example.question_id].answer for example in answered]
    wanted = references_as_asked(answered, references)
    _, images = np.unique([example.image or example.image_id for example in answered], return_inverse=True)
    right, nearly = _score_all(measure, given, wanted), _score_all(near, given, wanted)

    train = list(train)
    guesses = _score_guesses(AnswerPrior(train), answered, wanted, (measure, near)) if train else None
    by_choice = choice_slices(answered, wanted) if any(example.choices for example in answered) else {}
    literal = _score_all(METRICS["exact"], given, wanted)
    return Score(
        split=split,
        metric=metric,
        normaliser=normaliser,
        overall=_row(right, nearly, images),
        slices={
            "question_types": _slices([question_type(example.question) for example in answered], right, nearly, images),
            "answer_types": _slices(
                [answer_type(text_of(e, commonest(answers))) for e, answers in zip(answered, wanted)],
                *(right, nearly, images),
            ),
            "question_lengths": _slices([question_length(e.question) for e in answered], right, nearly, images),
            **{kind: _slices(names, right, nearly, images, by_name=True) for kind, names in by_choice.items()},
        },
        baseline=_row(*guesses, images) if guesses else None,
        gain=paired_difference(right, guesses[0], images) if guesses else None,
        near_misses=[
            {"question_id": answered[i].question_id, "answer": given[i], "reference": commonest(wanted[i])}
            for i in np.flatnonzero(nearly > literal)
        ],
        statuses=dict(Counter(predictions[example.question_id].status for example in answered).most_common()),
        missing=len(asked) - len(answered),
        unreferenced=len(examples) - len(asked),
        choices=score_choices(answered, wanted, given, images, train),
    )


def score_run(
    run: RunDir,
    split: str,
    *,
    references: References | None = None,
    metric: str = "exact",
    normaliser: str = DEFAULT_NORMALISER,
    allow_partial: bool = False,
) -> Score:
    """Score a run's predictions and write the score into its score.json, beside those of other splits.

    Without `references`, a metric that needs several answers per question takes those in the run's data folder. Raises
    InputError as `score_predictions` does.
    """
    if references is None and not metric.startswith("exact"):
        references = own_annotations(run)
    score = score_predictions(
        run.examples(split),
        read_predictions(run.predictions(split)),
        train=run.examples("train") if run.train.is_file() else (),
        references=references,
        split=split,
        metric=metric,
        normaliser=normaliser,
        allow_partial=allow_partial,
    )
    scores = read_json(run.score) if run.score.is_file() else {}
    write_json(run.score, scores | {split: score.to_dict()})
    return score


def known_answers(examples: Iterable[Example]) -> dict[str, list[str]]:
    """Question id -> the one reference of each example that has an answer."""
    return {example.question_id: [example.answer] for example in examples if example.answer is not None}


def with_reference(examples: Sequence[Example], references: References) -> list[Example]:
    """The examples that have a reference: one that is blank is none."""
    return [example for example in examples if any(map(str.strip, references.get(example.question_id, ())))]


Values = npt.NDArray[np.float64]


def _find_metric(metric: str, normaliser: str) -> Metric:
    if metric not in METRICS:
        raise InputError(f"metric {metric!r} is not known; choose from {', '.join(METRICS)}.")
    if normaliser not in NORMALISERS:
        raise InputError(f"normaliser {normaliser!r} is not known; choose from {', '.join(NORMALISERS)}.")
    return partial(exact_normalised, normaliser=normaliser) if metric == "exact_normalised" else METRICS[metric]


def _check_ids(
    examples: Sequence[Example],
    asked: Sequence[Example],
    predictions: Mapping[str, Prediction],
    split: str,
    allow_partial: bool,
) -> list[Example]:
    """The examples to score: those of `asked`, which have a reference, that also have a prediction."""
    twice = find_duplicates(example.question_id for example in examples)
    if twice:
        raise InputError(f"{split}: {named(twice)} occur more than once among the questions; ids must be unique.")
    if examples and not asked:
        unknown = [example.question_id for example in examples]
        raise InputError(
            f"{split}: no reference answer for {len(unknown)} of {len(examples)} questions: {named(unknown)}. "
            "Pass them with `--answers solution.csv`."
        )
    missing = [example.question_id for example in asked if example.question_id not in predictions]
    if missing and not allow_partial:
        raise InputError(
            f"{split}: no prediction for {len(missing)} of {len(asked)} questions: {named(missing)}. Continue with "
            "`python -m eval.predict`, or pass --partial to score only those that have one."
        )
    answered = [example for example in asked if example.question_id in predictions]
    if not answered:
        raise InputError(f"{split}: nothing to score: {len(examples)} questions, {len(predictions)} predictions.")
    return answered


def _score_all(
    measure: Callable[[str, Sequence[str]], float], given: Sequence[str], wanted: Sequence[Sequence[str]]
) -> Values:
    return np.array([measure(answer, references) for answer, references in zip(given, wanted)])


def _score_guesses(
    prior: AnswerPrior, examples: Sequence[Example], wanted: Sequence[Sequence[str]], measures: Sequence[Metric]
) -> tuple[Values, Values]:
    guesses = [prior.guess(example) for example in examples]
    score, normalised = (_score_all(measure, guesses, wanted) for measure in measures)
    return score, normalised


def _row(right: Values, nearly: Values, images: npt.NDArray[np.int64]) -> Row:
    score = mean_interval(right, images)
    return Row(score, score if np.array_equal(right, nearly) else mean_interval(nearly, images))


def _slices(
    kinds: Sequence[str], right: Values, nearly: Values, images: npt.NDArray[np.int64], *, by_name: bool = False
) -> dict[str, Row]:
    """A row per kind, the most frequent first, or in the order of their names."""
    labels = np.array(kinds)
    names = [name for name, _ in Counter(kinds).most_common()]
    names = sorted(names, key=lambda name: (len(name), name)) if by_name else names
    members = {name: np.flatnonzero(labels == name) for name in names}
    return {name: _row(right[at], nearly[at], images[at]) for name, at in members.items()}


def _guessing(choices: ChoiceScore) -> list[list[str]]:
    """Lines of what guessing a choice would score."""
    lines = [["chance", str(choices.questions), "", f"{choices.chance:.4f}", "", ""]]
    if choices.commonest:
        name, score = choices.commonest
        cells = [str(score.n), str(score.images), f"{score.value:.4f}", score.span, ""]
        lines.append([f"always the commonest letter ({name})", *cells])
    return lines


def _cells(name: str, row: Row) -> list[str]:
    score = row.score
    return [name, str(score.n), str(score.images), f"{score.value:.4f}", score.span, f"{row.normalised.value:.4f}"]
