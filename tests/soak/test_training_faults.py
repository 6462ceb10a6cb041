"""What a training writes, with a fault at each of its calls. By themselves: a process with torch forks slowly."""

from pathlib import Path

import pytest

from tests.soak.faults import Case, inject
from tests.soak.learning import LEARNING

CASES = [pytest.param(case, id=case.name.replace(" ", "-")) for case in LEARNING]


@pytest.mark.slow(seconds=15)
@pytest.mark.parametrize("case", CASES)
def test_a_fault_in_what_a_training_writes_leaves_the_old_or_the_new(case: Case, tmp_path: Path) -> None:
    figures = inject(case, tmp_path)
    assert not figures.problems, "\n".join(figures.problems)
