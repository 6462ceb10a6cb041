"""The rows that a finding of the DataReport is about, so that the page can show them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vqa_core.data.competition import Competition
from vqa_core.data.findings import copied_images, repeated_questions, rows_with_copies
from vqa_core.data.index.index import SPLITS
from vqa_core.data.pictures.copies import Copies
from vqa_core.runs.examples import Example

Test = Callable[[Example], bool]


def finding_rows(
    competition: Competition, problems: Mapping[str, str], copies: Copies | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Finding code -> mask over the rows of the tables, one after the other as in SPLITS, (rows,).

    Leaves out codes without a row, and findings about files or about ids that have no row. `problems` is from
    `check_images`, `copies` from `find_copies`.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    tables = [(split, competition.splits.get(split, [])) for split in SPLITS]
    for code, tests in _tests(competition, problems, copies or Copies()).items():
        passed = [bool(test and test(row)) for split, rows in tables for test in [tests.get(split)] for row in rows]
        mask = np.array(passed, dtype=np.bool_)
        if mask.any():
            masks[code] = mask
    return masks


def _tests(competition: Competition, problems: Mapping[str, str], copies: Copies) -> dict[str, dict[str, Test]]:
    """Finding code -> the test that a row must pass to belong to it, by split."""

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
        return not row.id_in_source

    def lacks_answer(row: Example) -> bool:
        return not (row.answer or "").strip()

    def spaced(row: Example) -> bool:
        return not lacks_answer(row) and row.answer != (row.answer or "").strip()

    def pair(row: Example) -> tuple[str, str]:
        return copies.picture(row.image) or row.image_id, row.question

    both = {row.image for row in competition.train if row.image} & {row.image for row in competition.test}
    copied = dict(copied_images(competition.train, copies))
    sample = set(competition.sample_ids)
    repeated = repeated_questions(competition.train, copies)
    several = {pair for pair, answers in repeated.items() if len(answers) > 1}
    test_twice = _duplicates(row.question_id for row in competition.test)
    tests: dict[str, dict[str, Test]] = {
        "ambiguous-images": dict.fromkeys(SPLITS, ambiguous),
        "most-images-missing": {"train": lambda row: not row.image or broken(row)},
        "shared-images": {"train": shared, "test": shared},
        "copied-train-images": {"train": lambda row: row.image in copied},
        "duplicate-test-ids": {"test": lambda row: row.question_id in test_twice},
        "test-ids-not-in-sample": {"test": lambda row: bool(sample) and row.question_id not in sample},
        "empty-answers": {"train": lacks_answer},
        "empty-val-answers": {"val": lacks_answer},
        "spaces-round-answers": {"train": spaced},
        "conflicting-answers": {"train": lambda row: pair(row) in several},
        "repeated-questions": {"train": lambda row: pair(row) in repeated and pair(row) not in several},
    }
    for split in SPLITS:
        tests[f"missing-{split}-images"] = {split: missing}
        tests[f"broken-{split}-images"] = {split: broken}
        tests[f"empty-{split}-ids"] = {split: lacks_id}
        tests[f"empty-{split}-questions"] = {split: lacks_question}
    for split in ("train", "val"):
        twice = _duplicates(row.id_in_source for row in competition.splits.get(split, ()))
        tests[f"duplicate-{split}-ids"] = {split: partial(_has_id_in_source, twice)}
    for split in ("val", "test"):
        copying = {row.question_id for row in rows_with_copies(competition, copies, split)}
        tests[f"{split}-images-in-train"] = {"train": partial(_has_id, copying)}
    return tests


def _duplicates(ids: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(ids).items() if count > 1 and name}


def _has_id(ids: set[str], row: Example) -> bool:
    return row.question_id in ids


def _has_id_in_source(ids: set[str], row: Example) -> bool:
    return row.id_in_source in ids
