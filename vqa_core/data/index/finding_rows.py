"""The rows that a finding of the DataReport is about, so that the page can show them."""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vqa_core.data.competition import Competition
from vqa_core.data.findings import repeated_questions
from vqa_core.runs.examples import Example

Test = Callable[[Example], bool]


def finding_rows(competition: Competition, problems: Mapping[str, str]) -> dict[str, NDArray[np.bool_]]:
    """Finding code -> mask over the rows of train.csv followed by test.csv, (rows,).

    Leaves out codes without a row, and findings about files or about ids that have no row. `problems` is from
    `check_images`.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    for code, (train, test) in _tests(competition, problems).items():
        mask = np.array(
            [bool(train and train(row)) for row in competition.train]
            + [bool(test and test(row)) for row in competition.test],
            dtype=np.bool_,
        )
        if mask.any():
            masks[code] = mask
    return masks


def _tests(competition: Competition, problems: Mapping[str, str]) -> dict[str, tuple[Test | None, Test | None]]:
    """Finding code -> the tests that a row of train.csv and a row of test.csv must pass to belong to it."""

    def missing(row: Example) -> bool:
        return not row.image and row.image_id not in competition.ambiguous

    def broken(row: Example) -> bool:
        return row.image in problems

    def ambiguous(row: Example) -> bool:
        return row.image_id in competition.ambiguous

    def shared(row: Example) -> bool:
        return row.image in both

    def lacks_question(row: Example) -> bool:
        return not row.question.strip()

    def lacks_id(row: Example) -> bool:
        return not row.question_id

    both = {row.image for row in competition.train if row.image} & {row.image for row in competition.test}
    sample = set(competition.sample_ids)
    repeated = repeated_questions(competition.train)
    several = {pair for pair, answers in repeated.items() if len(answers) > 1}
    train_twice, test_twice = _duplicate_ids(competition.train), _duplicate_ids(competition.test)

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
        "empty-train-ids": (lacks_id, None),
        "empty-test-ids": (None, lacks_id),
        "duplicate-train-ids": (lambda row: row.question_id in train_twice, None),
        "duplicate-test-ids": (None, lambda row: row.question_id in test_twice),
        "test-ids-not-in-sample": (None, lambda row: bool(sample) and row.question_id not in sample),
        "empty-train-questions": (lacks_question, None),
        "empty-test-questions": (None, lacks_question),
        "empty-answers": (lambda row: not (row.answer or "").strip(), None),
        "spaces-round-answers": (
            lambda row: bool((row.answer or "").strip()) and row.answer != (row.answer or "").strip(),
            None,
        ),
        "conflicting-answers": (lambda row: pair(row) in several, None),
        "repeated-questions": (lambda row: pair(row) in repeated and pair(row) not in several, None),
    }


def _duplicate_ids(rows: list[Example]) -> set[str]:
    return {name for name, count in Counter(row.question_id for row in rows).items() if count > 1 and name}
