"""Ten kills of predict and three of train at random moments; `make soak` has a hundred and thirty, of real commands."""

from pathlib import Path

import pytest

from tests.soak.kills import Forked, Subject, Tally, disturb
from tests.soak.subjects import Predicting, Training


def killed(subject: Subject, folder: Path, kills: int, most: int) -> Tally:
    *_, tally = disturb(subject, folder, kills, seed=kills, launch=Forked, most=most)
    assert (tally.kills, tally.lost) == (kills, 0)
    assert not tally.problems, "\n".join(tally.problems)
    return tally


@pytest.mark.slow(seconds=40)
def test_ten_kills_of_predict_lose_no_answer_and_the_file_ends_with_the_same_bytes(tmp_path: Path) -> None:
    tally = killed(Predicting(tmp_path / "made"), tmp_path, 10, most=5)
    assert tally.acknowledged > 0


@pytest.mark.slow(seconds=15)
def test_three_kills_of_train_lose_no_kept_step_and_the_weights_end_the_same(tmp_path: Path) -> None:
    killed(Training(tmp_path / "made", workers=0), tmp_path, 3, most=3)
