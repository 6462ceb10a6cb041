"""LeftOut: the pictures that a training could not read, and the questions that it went without because of them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vqa_core.files import InputError
from vqa_core.planning.batches import PlannedRow

logger = logging.getLogger("vqa")

NAMED = 10
"""How many pictures a record names."""
ALWAYS = 10
"""So many pictures may be bad however few there are, but no more than half of them."""
IN_A_ROW = 100
"""So many pictures in steps without a readable one are no accident: the drive is gone."""


@dataclass(frozen=True, slots=True)
class BadPicture:
    """A picture that a batch was to show: training row `row`, with so many questions in this batch.

    `trace` is the traceback of an error that is none of a picture's.
    """

    row: int
    questions: int
    problem: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """What is missing from a batch; `is_blank` if nothing is left: a grey picture stands in, and teaches nothing."""

    pictures: tuple[BadPicture, ...]
    is_blank: bool


class LeftOut:
    """What a training has left out so far. It is kept in each checkpoint, so it counts through every stop.

    Args:
        images: the path of each training row's picture.
        plan: all batches, of which `batches_per_step` make a step.
        most: the share of the pictures that may be bad, 0 for none; see `limit`.
    """

    def __init__(
        self, images: Sequence[str], plan: Sequence[Sequence[PlannedRow]], batches_per_step: int, most: float
    ) -> None:
        self.images, self.plan, self.batches_per_step, self.most = images, plan, batches_per_step, most
        self._questions: dict[int, int] = {}  # by row, of steps that are done
        self._read: set[int] = set()  # rows whose picture could be read when it was drawn last
        self._in_a_row = 0

    @property
    def pictures(self) -> int:
        return len(self._questions)

    @property
    def questions(self) -> int:
        """Questions that were planned and not trained on, each as often as it was drawn."""
        return sum(self._questions.values())

    @property
    def limit(self) -> int:
        """How many pictures may be bad."""
        few = min(ALWAYS, len(self.images) // 2) if self.most else 0
        return max(int(self.most * len(self.images)), few)

    def see_step(self, step: int, bad: Sequence[BadPicture]) -> None:
        """Note what step `step`, counted from 0, goes without, and name each picture once.

        Raises InputError, and notes nothing, if too many pictures are bad.
        """
        unread = {picture.row for picture in bad}
        drawn = self._rows(step, step + 1)
        self._in_a_row = self._in_a_row + len(unread) if unread == drawn else 0
        if len(unread | self._questions.keys()) > self.limit or self._in_a_row >= IN_A_ROW:
            raise self._too_many(bad)
        for picture in bad:
            if picture.row not in self._questions:
                self._name(picture)
            self._questions[picture.row] = self._questions.get(picture.row, 0) + picture.questions
        for row in sorted((drawn - unread) - self._read):
            if row in self._questions:
                logger.warning(
                    "%s can be read again; its questions are trained on from step %d on.", self.images[row], step + 1
                )
        self._read = (self._read | drawn) - unread

    def record(self) -> list[list[int]]:
        """JSON-ready, for a checkpoint: pairs of a row and its questions that were left out."""
        return [[row, questions] for row, questions in self._questions.items()]

    def restore(self, record: Sequence[Sequence[int]], step: int) -> None:
        """Go on from the record of a checkpoint of step `step`."""
        self._questions = {int(row): int(questions) for row, questions in record}
        self._read = self._rows(0, step) - self._questions.keys()
        if record:
            logger.info(
                "Left out before step %d: %d images that could not be read, with %d questions (%s).",
                step, self.pictures, self.questions, ", ".join(self.names()),
            )  # fmt: skip

    def names(self) -> list[str]:
        """The first few pictures."""
        return [self.images[row] for row in list(self._questions)[:NAMED]]

    def describe(self) -> Mapping[str, Any]:
        """JSON-ready, for the record of the model: empty if nothing was left out."""
        if not self._questions:
            return {}
        return {"left_out": {"images": self.pictures, "questions": self.questions, "first": self.names()}}

    def _rows(self, first: int, end: int) -> set[int]:
        """The training rows that the steps from `first` up to `end` draw."""
        batches = self.plan[first * self.batches_per_step : end * self.batches_per_step]
        return {planned.row for batch in batches for planned in batch}

    def _name(self, picture: BadPicture) -> None:
        before = ", though it could be read before" if picture.row in self._read else ""
        logger.warning("%s Left out with its questions%s.", picture.problem, before)
        if picture.trace:
            logger.warning("%s", picture.trace.rstrip())

    def _too_many(self, bad: Sequence[BadPicture]) -> InputError:
        rows = list(dict.fromkeys([*(picture.row for picture in bad), *self._questions]))
        found = f"{len(rows)} of {len(self.images)} training images can't be read. The newest: {bad[0].problem}"
        return InputError(
            f"{found} That is more than --max-bad-images {self.most:g} allows. Is the drive there, and are the files "
            "whole? `python -m train.prepare --verify-images full` into another --run names all that are not. Then "
            "give the same command with --resume; a larger --max-bad-images leaves out more."
        )
