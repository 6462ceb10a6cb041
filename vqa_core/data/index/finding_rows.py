"""Which rows a finding of the DataReport is about, so that one can look at them."""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vqa_core.data.competition import Competition
from vqa_core.data.findings import repeated_questions
from vqa_core.runs.examples import Example

Test = Callable[[Example], bool]


def finding_rows(competition: Competition, problems: Mapping[str, str]) -> dict[str, NDArray[np.bool_]]:
    """Finding code -> which rows of train.csv followed by test.csv it is about, (rows,).

    Codes that no row falls under are left out, as are findings about files or about ids that have no row. `problems`
    is from `check_images`.
    """
    found: dict[str, NDArray[np.bool_]] = {}
    for code, (train, test) in _tests(competition, problems).items():
        which = np.array(
            [bool(train and train(row)) for row in competition.train]
            + [bool(test and test(row)) for row in competition.test],
            dtype=np.bool_,
        )
        if which.any():
            found[code] = which
    return found


def _tests(competition: Competition, problems: Mapping[str, str]) -> dict[str, tuple[Test | None, Test | None]]:
    """Finding code -> what a row of train.csv and one of test.csv must be like to fall under it."""

    def missing(row: Example) -> bool:
        return not row.image and row.image_id not in competition.ambiguous

    def broken(row: Example) -> bool:
        return row.image in problems

    def ambiguous(row: Example) -> bool:
        return row.image_id in competition.ambiguous

    def shared(row: Example) -> bool:
        return row.image in both

    def wordless(row: Example) -> bool:
        return not row.question.strip()

    def nameless(row: Example) -> bool:
        return not row.question_id

    both = {row.image for row in competition.train if row.image} & {row.image for row in competition.test}
    sample = set(competition.sample_ids)
    repeated = repeated_questions(competition.train)
    several = {pair for pair, answers in repeated.items() if len(answers) > 1}
    train_twice, test_twice = _twice(competition.train), _twice(competition.test)

    def pair(row: Example) -> tuple[str, str]:
        return row.image or row.image_id, row.question

    return {
        "ambiguous-images": (ambiguous, ambiguous),
        "missing-train-images": (missing, None),
        "missing-test-images": (None, missing),
        "broken-train-images": (broken, None),
        "broken-test-images": (None, broken),
        "most-images-missing": (lambda row: not row.image or broken(row), None),
        "shared-images": (shared, shared),
        "empty-train-ids": (nameless, None),
        "empty-test-ids": (None, nameless),
        "duplicate-train-ids": (lambda row: row.question_id in train_twice, None),
        "duplicate-test-ids": (None, lambda row: row.question_id in test_twice),
        "test-ids-not-in-sample": (None, lambda row: bool(sample) and row.question_id not in sample),
        "empty-train-questions": (wordless, None),
        "empty-test-questions": (None, wordless),
        "empty-answers": (lambda row: not (row.answer or "").strip(), None),
        "spaces-round-answers": (
            lambda row: bool((row.answer or "").strip()) and row.answer != (row.answer or "").strip(),
            None,
        ),
        "conflicting-answers": (lambda row: pair(row) in several, None),
        "repeated-questions": (lambda row: pair(row) in repeated and pair(row) not in several, None),
    }


def _twice(rows: list[Example]) -> set[str]:
    return {name for name, count in Counter(row.question_id for row in rows).items() if count > 1 and name}
