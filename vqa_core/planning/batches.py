"""Which questions of which images make up each training batch: known, from the settings alone, before the first step.

The whole run is planned at once. That makes resuming exact (step k always sees the same batch) and ETA honest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqa_core.config import TrainSettings

WINDOW = 32  # batches sorted by length together: short rows share a batch, yet batches stay random


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """Questions `questions` (indices) of training row `row`: one packed row."""

    row: int
    questions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All batches of a run in order. `epochs` is how many passes over the images they make."""

    batches: list[list[PlannedRow]]
    epochs: float

    @property
    def questions(self) -> int:
        return sum(len(row.questions) for batch in self.batches for row in batch)

    def first(self, batches: int) -> "Plan":
        """What the first `batches` of them are."""
        kept = self.batches[:batches]
        return Plan(kept, self.epochs * len(kept) / max(len(self.batches), 1))


def plan_batches(lengths: Sequence[Sequence[int]], settings: TrainSettings, processes: int = 1) -> Plan:
    """Plan `epochs` passes, or as many as `max_steps` takes.

    Args:
        lengths: for each training row (image) the number of tokens of each of its questions, answers included.
        settings: batch size in questions, questions drawn per image and epoch, seed, length of the run.
        processes: how many share a step; `max_steps` counts steps of all of them.

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
    """Cut batches in two until each process gets as many; else the last step would repeat some to fill up."""
    batches = list(batches)
    while len(batches) % processes:
        largest = max(range(len(batches)), key=lambda index: sum(len(row.questions) for row in batches[index]))
        halves = _halves(batches[largest])
        if not halves:
            break  # a question a batch: there are fewer than processes
        batches[largest : largest + 1] = halves
    return batches


def _halves(batch: list[PlannedRow]) -> list[list[PlannedRow]]:
    """A batch as two, between rows or, of a single row, between questions; nothing of a single question."""
    if len(batch) > 1:
        return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    (row,) = batch
    middle = len(row.questions) // 2
    return [[PlannedRow(row.row, part)] for part in (row.questions[:middle], row.questions[middle:])] if middle else []


def _fill(rows: list[PlannedRow], limit: int) -> list[list[PlannedRow]]:
    """Cut rows, in order, into batches of at most `limit` questions."""
    batches: list[list[PlannedRow]] = []
    room = 0
    for row in rows:
        if not batches or len(row.questions) > room:
            batches.append([])
            room = limit
        batches[-1].append(row)
        room -= len(row.questions)
    return batches
