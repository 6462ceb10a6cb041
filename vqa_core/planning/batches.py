"""Plan all batches of a training before its first step: which questions of which images, from settings and lengths.

So step k sees the same batch after a resume, and the time left is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqa_core.config import TrainSettings

WINDOW = (
    32  # batches' worth of rows sorted by length at a time: rows of a batch are about as long, and batches stay random
)


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One packed row: the questions `questions` (indices) of training row `row`."""

    row: int
    questions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All batches of a training, in order. They make `epochs` passes over the images."""

    batches: list[list[PlannedRow]]
    epochs: float

    @property
    def questions(self) -> int:
        return sum(len(row.questions) for batch in self.batches for row in batch)

    def first(self, batches: int) -> "Plan":
        """A plan of the first `batches` batches."""
        kept = self.batches[:batches]
        return Plan(kept, self.epochs * len(kept) / max(len(self.batches), 1))


def plan_batches(lengths: Sequence[Sequence[int]], settings: TrainSettings, processes: int = 1) -> Plan:
    """Plan `epochs` passes over the images, or as many as `max_steps` takes.

    Args:
        lengths: for each training row (image), the tokens of each of its questions, answers included.
        settings: batch size in questions, questions drawn per image and epoch, seed, length of training.
        processes: how many processes share a step; `max_steps` counts steps of all together.

    Batches hold at most `batch_questions` questions. An image with more is cut into several rows.
    """
    wanted = settings.max_steps * settings.accumulate * processes
    batches: list[list[PlannedRow]] = []
    first_epoch = 0
    epoch = 0
    while len(batches) < wanted if wanted else epoch < settings.epochs:
        fresh = _plan_epoch(lengths, settings, epoch)
        if not fresh:
            break
        if not wanted and settings.epochs - epoch < 1:
            fresh = fresh[: max(1, round(len(fresh) * (settings.epochs - epoch)))]
        first_epoch = first_epoch or len(fresh)
        batches += fresh
        epoch += 1
    batches = batches[:wanted] if wanted else _evened_out(batches, processes)
    return Plan(batches, settings.epochs if not wanted else len(batches) / max(first_epoch, 1))


def _plan_epoch(lengths: Sequence[Sequence[int]], settings: TrainSettings, epoch: int) -> list[list[PlannedRow]]:
    rng = np.random.default_rng([settings.seed, epoch])
    rows: list[PlannedRow] = []
    for row in rng.permutation(len(lengths)).tolist():
        order = rng.permutation(len(lengths[row])).tolist()
        chosen = order[: settings.questions_per_image or None]
        starts = range(0, len(chosen), settings.batch_questions)
        rows += [PlannedRow(row, tuple(chosen[start : start + settings.batch_questions])) for start in starts]
    batches: list[list[PlannedRow]] = []
    mean = sum(len(row.questions) for row in rows) / max(len(rows), 1)
    window = max(1, round(WINDOW * settings.batch_questions / max(mean, 1)))
    for start in range(0, len(rows), window):
        near = sorted(rows[start : start + window], key=lambda row: sum(lengths[row.row][q] for q in row.questions))
        batches += _fill(near, settings.batch_questions)
    return [batches[index] for index in rng.permutation(len(batches))]


def _evened_out(batches: list[list[PlannedRow]], processes: int) -> list[list[PlannedRow]]:
    """Halve large batches until every process gets as many; otherwise the last step would repeat some."""
    batches = list(batches)
    while len(batches) % processes:
        largest = max(range(len(batches)), key=lambda index: sum(len(row.questions) for row in batches[index]))
        halves = _halves(batches[largest])
        if not halves:
            break  # one question per batch, and fewer than processes
        batches[largest : largest + 1] = halves
    return batches


def _halves(batch: list[PlannedRow]) -> list[list[PlannedRow]]:
    """A batch cut in two, between rows, or between the questions of a single row; [] for a single question."""
    if len(batch) > 1:
        return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    (row,) = batch
    middle = len(row.questions) // 2
    return [[PlannedRow(row.row, part)] for part in (row.questions[:middle], row.questions[middle:])] if middle else []


def _fill(rows: list[PlannedRow], limit: int) -> list[list[PlannedRow]]:
    """Put rows, in order, into batches of at most `limit` questions."""
    batches: list[list[PlannedRow]] = []
    room = 0
    for row in rows:
        if not batches or len(row.questions) > room:
            batches.append([])
            room = limit
        batches[-1].append(row)
        room -= len(row.questions)
    return batches
