"""The batches of one optimiser step as the data loader gives them: what they teach, and what is missing from them.

All processes of a training agree: on the number of targets, on the pictures that were left out, on an end.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather, gather_object

from vqa_core.files import InputError
from vqa_core.training.data import UNREAD, TrainingBatches, supervised_tokens
from vqa_core.training.feed.deaths import DeathWatch, death_of_worker
from vqa_core.training.feed.left_out import BadPicture, LeftOut, Unread

BLANK = "blank"
"""The entry of a batch that must be computed, as every process takes part in every step, and teaches nothing."""


@dataclass(slots=True)
class StepBatches:
    """Fetches the batches of each step.

    Args:
        data: the training data, whose batches are fetched in the order of the plan.
        left_out: gets what each step goes without.
        workers: how many processes read pictures ahead.
        processes: how many train together.
    """

    data: TrainingBatches
    left_out: LeftOut
    workers: int
    processes: int
    tokens: int = 0
    """Targets of the step that was fetched last, of all processes together."""
    _watch: DeathWatch = field(default_factory=DeathWatch)

    def fetch(self, fetch: Callable[[], list[dict[str, Any]]], step: int, device: torch.device) -> list[dict[str, Any]]:
        """This process's batches of step `step`, counted from 0, with `tokens` set.

        Raises, in all processes alike, an error for a step that can't be had: a worker that died, a drive that is gone,
        too many bad pictures.
        """
        samples: list[dict[str, Any]] = []
        bad: list[BadPicture] = []
        failure: Exception | None = None
        try:
            with self._watch.waiting():
                samples = fetch()
            bad = [picture for sample in samples for picture in _take_unread(sample)]
            if bad and not os.path.isdir(self.data.data_root):
                failure = _gone(self.data.data_root, bad[0])
        except Exception as error:
            failure = death_of_worker(error, self.workers) or error
        tokens = sum(int(supervised_tokens(sample)) for sample in samples if BLANK not in sample)
        counts = torch.tensor([tokens, len(bad), failure is not None], device=device)
        if self.processes > 1:
            counts = gather(counts).reshape(-1, 3).sum(0)
        self.tokens, pictures, failed = counts.tolist()
        if failed:
            raise failure or InputError(
                "Another of the processes that train together could not read its pictures; its own message says why. "
                "Give the same command with --resume to go on."
            )
        if pictures and self.processes > 1:
            bad = gather_object(bad)
        self.left_out.see_step(step, bad)
        return samples


def _take_unread(sample: dict[str, Any]) -> tuple[BadPicture, ...]:
    """The pictures that are missing from a batch, which is marked if it has none at all."""
    unread: Unread | None = sample.pop(UNREAD, None)
    if unread is None:
        return ()
    if unread.is_blank:
        sample[BLANK] = True
    return unread.pictures


def _gone(root: Path, picture: BadPicture) -> InputError:
    return InputError(
        f"The folder of the pictures, {root}, can't be reached any more ({picture.problem}) Mount it again, then give "
        "the same command with --resume."
    )
