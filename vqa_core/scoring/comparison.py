"""Compare two sets of answers to the same questions: which is better, and where they differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vqa_core.answers import question_type
from vqa_core.files import InputError, named
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction, read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.choices import LetterBias, compared_letters, letter_bias, references_as_asked
from vqa_core.scoring.intervals import Interval, mcnemar, mean_interval, paired_difference
from vqa_core.scoring.metrics import exact
from vqa_core.scoring.score import References, known_answers, with_reference
from vqa_core.settings import differing_settings
from vqa_core.tabulate import tabulate

MOST = 10  # lines of each list in the table


@dataclass(frozen=True, slots=True)
class Paired:
    """Exact match of two runs on the same questions. `difference` is a - b, with an interval that respects images.

    `unreferenced` questions have no reference answer, and none of the other numbers counts them.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    a: Interval
    b: Interval
    difference: Interval
    p_value: float
    unreferenced: int = 0

    @property
    def verdict(self) -> str:
        """`a`, `b`, or `tied` if the interval of the difference includes 0."""
        if self.difference.low > 0:
            return "a"
        return "b" if self.difference.high < 0 else "tied"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between runs `a` and `b`; `paired` is None if the right answers are not known.

    `transitions` counts (answer of a, answer of b), the most frequent first; `changed_types` and `types` count changed
    questions and all questions by question type. `letters` are the letter biases of both where questions have choices.
    """

    questions: int
    changed: int
    changed_types: dict[str, int]
    types: dict[str, int]
    transitions: dict[tuple[str, str], int]
    settings: dict[str, tuple[Any, Any]]
    paired: Paired | None
    letters: tuple[LetterBias, LetterBias] | None = None

    def table(self, a: str = "a", b: str = "b") -> str:
        """The comparison as text for a terminal; `a` and `b` are the names of the runs."""
        blocks = [self._paired_text(self.paired, a, b)] if self.paired else []
        share = f" ({self.changed / self.questions:.1%})"
        blocks.append(f"answers that differ: {self.changed} of {self.questions}{share if self.changed else ''}")
        if self.changed:
            rows = [["question type", "differ", "of"]]
            rows += [[f"  {kind}", str(count), str(self.types[kind])] for kind, count in self.changed_types.items()]
            blocks.append(_first_lines(rows, "types"))
            rows = [[f"most frequent changes, {a} -> {b}", "questions"]]
            rows += [[f"  {old!r} -> {new!r}", str(count)] for (old, new), count in self.transitions.items()]
            blocks.append(_first_lines(rows, "changes"))
        if self.letters:
            blocks.append(tabulate(compared_letters(*self.letters, (a, b))))
        if self.settings:
            rows = [["settings that differ", a, b]]
            rows += [[f"  {name}", _shown(old), _shown(new)] for name, (old, new) in self.settings.items()]
            blocks.append(tabulate(rows))
        else:
            blocks.append("settings that differ: none")
        return "\n\n".join(blocks)

    def _paired_text(self, paired: Paired, a: str, b: str) -> str:
        difference, runs = paired.difference, {"a": a, "b": b}
        better = runs.get(paired.verdict)
        conclusion = (
            f"{better} is better: the interval of the difference excludes 0."
            if better
            else "tied: the interval of the difference includes 0."
        )
        if not paired.only_a + paired.only_b:
            conclusion = "tied: both are right and wrong on the same questions."
        counts = {f"only {a}": paired.only_a, f"only {b}": paired.only_b, "neither": paired.neither}
        rows = [["", "questions"], ["both right", str(paired.both)]]
        rows += [[name, str(count)] for name, count in counts.items()]
        match = [["", "exact match", "95 % interval"]]
        match += [[name, f"{of.value:.4f}", of.span] for name, of in ((a, paired.a), (b, paired.b))]
        match.append([f"{a} - {b}", f"{difference.value:+.4f}", difference.signed_span])
        lines = [tabulate(rows), "", tabulate(match), f"exact McNemar p: {paired.p_value:.4g}", conclusion]
        if paired.unreferenced:
            lines.append(
                f"{paired.unreferenced} of {self.questions} questions have no reference answer and are not counted."
            )
        return "\n".join(lines)


def compare_runs(a: RunDir, b: RunDir, split: str, *, references: References | None = None) -> Comparison:
    """Compare the predictions of two runs for one split.

    The right answers are `references`, or else those of the runs' own questions. Raises InputError unless both runs
    have the same questions and an answer to each.
    """
    examples = a.examples(split)
    unshared = {example.question_id for example in examples} ^ {example.question_id for example in b.examples(split)}
    if unshared:
        raise InputError(
            f"the {split} questions of {a.root} and {b.root} are not the same; {len(unshared)} are in one only, "
            f"such as {named(sorted(unshared))}. Prepare both with the same data, --val-fraction and --split-seed."
        )
    return compare(
        examples,
        read_predictions(a.predictions(split)),
        read_predictions(b.predictions(split)),
        references=references,
        config_a=a.trained_config(),
        config_b=b.trained_config(),
    )


def compare(
    examples: Sequence[Example],
    a: Mapping[str, Prediction],
    b: Mapping[str, Prediction],
    *,
    references: References | None = None,
    config_a: Mapping[str, Any] | None = None,
    config_b: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compare the answers of two runs to `examples`, by question id.

    The right answers are `references`, or else those of the examples; questions without one are not counted as right or
    wrong. Raises InputError if a run lacks the answer to a question, or if `references` have none for any.
    """
    for name, predictions in (("first", a), ("second", b)):
        missing = [example.question_id for example in examples if example.question_id not in predictions]
        if missing:
            raise InputError(
                f"the {name} run has no prediction for {len(missing)} of {len(examples)} questions: {named(missing)}. "
                "Finish it with `python -m eval.predict`; both runs must answer the same questions."
            )
    if not examples:
        raise InputError("there are no questions to compare answers to.")
    pairs = [(e, a[e.question_id].answer, b[e.question_id].answer) for e in examples]
    changed = [(e, old, new) for e, old, new in pairs if old != new]
    return Comparison(
        questions=len(examples),
        changed=len(changed),
        changed_types=dict(Counter(question_type(e.question) for e, _, _ in changed).most_common()),
        types=dict(Counter(question_type(e.question) for e in examples)),
        transitions=dict(Counter((old, new) for _, old, new in changed).most_common()),
        settings=differing_settings(config_a or {}, config_b or {}),
        paired=_compare_pairs(pairs, references),
        letters=_compare_letters(pairs, references),
    )


def _compare_pairs(pairs: Sequence[tuple[Example, str, str]], references: References | None) -> Paired | None:
    examples = [example for example, _, _ in pairs]
    known = known_answers(examples) if references is None else references
    scored = {example.question_id for example in with_reference(examples, known)}
    if not scored and references is None:
        return None
    if not scored:
        unknown = [example.question_id for example in examples]
        raise InputError(f"no reference answer for {len(unknown)} of {len(pairs)} questions: {named(unknown)}.")
    unreferenced = len(pairs) - len(scored)
    pairs = [pair for pair in pairs if pair[0].question_id in scored]
    images = [example.image or example.image_id for example, _, _ in pairs]
    wanted = references_as_asked((example for example, _, _ in pairs), known)
    a = [exact(old, answers) for (_, old, _), answers in zip(pairs, wanted)]
    b = [exact(new, answers) for (_, _, new), answers in zip(pairs, wanted)]
    counts = Counter(zip(a, b))
    only_a, only_b = counts[1.0, 0.0], counts[0.0, 1.0]
    return Paired(
        both=counts[1.0, 1.0],
        only_a=only_a,
        only_b=only_b,
        neither=counts[0.0, 0.0],
        a=mean_interval(a, images),
        b=mean_interval(b, images),
        difference=paired_difference(a, b, images),
        p_value=mcnemar(only_a, only_b),
        unreferenced=unreferenced,
    )


def _compare_letters(
    pairs: Sequence[tuple[Example, str, str]], references: References | None
) -> tuple[LetterBias, LetterBias] | None:
    """The letter biases of both runs on the questions with choices and a reference; None if there are none."""
    examples = [example for example, _, _ in pairs if example.choices]
    known = known_answers(examples) if references is None else references
    scored = with_reference(examples, known)
    if not scored:
        return None
    given = {example.question_id: (old, new) for example, old, new in pairs}
    wanted = references_as_asked(scored, known)
    a, b = (letter_bias(scored, wanted, [given[row.question_id][side] for row in scored]) for side in (0, 1))
    return a, b


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


def _first_lines(rows: list[list[str]], noun: str) -> str:
    """A table of the header and the first lines, and the number of further ones."""
    more = len(rows) - 1 - MOST
    return tabulate(rows[: MOST + 1]) + (f"\n  and {more} more {noun}" if more > 0 else "")
