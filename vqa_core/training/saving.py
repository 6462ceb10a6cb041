"""What a training writes: the room for it, folders that are whole or absent, and what lies in a checkpoint.

A checkpoint is written before its step is validated, so that nothing is lost while it is. Its plan says that the
validation is due, and VALIDATION, beside what the manifest covers, what it has found since.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vqa_core.files import InputError, read_json
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.stages import trained_tensors
from vqa_core.model.vlm import DTYPES
from vqa_core.processes import is_first_process
from vqa_core.runs.checkpoints import PLAN
from vqa_core.space import check_space, disk_error, format_bytes, said_of_drive
from vqa_core.training.plan import TrainingPlan
from vqa_core.training.prepare import PreparedModel
from vqa_core.training.task import TrainingTask

VALIDATION = "validation.json"
DUE = "validates"
"""In a checkpoint's plan: whether its step is to be validated."""
_BESIDE = 1 << 20  # random states, schedule, plan and manifest
_PROBE = 1 << 20  # bytes written where room can't be asked for


def validation_due(checkpoint: Path) -> bool:
    """Whether the step of a checkpoint was to be validated; those of older versions were saved afterwards."""
    return (checkpoint / PLAN).is_file() and bool(read_json(checkpoint / PLAN).get(DUE))


def validation_of(checkpoint: Path) -> dict[str, Any] | None:
    """What the validation of a checkpoint's step has found; None where it was not done, or not to its end."""
    path = checkpoint / VALIDATION
    return read_json(path) if validation_due(checkpoint) and path.is_file() else None


def checkpoint_bytes(vlm: AnyVlm) -> int:
    """About the size of a checkpoint: the trained weights, AdamW's two means of each, and what is small beside them."""
    return 3 * sum(tensor.numel() * tensor.element_size() for tensor in trained_tensors(vlm).values()) + _BESIDE


def model_bytes(vlm: AnyVlm, save_dtype: str) -> int:
    """About the size of a model folder."""
    size = DTYPES[save_dtype].itemsize
    return sum(tensor.numel() for tensor in trained_tensors(vlm).values()) * size + _BESIDE


def check_room(task: TrainingTask, model: PreparedModel, plan: TrainingPlan) -> None:
    """Raise InputError if the drive has no room for the checkpoints that are there at once and for the model folder.

    At once are the newest two, and the best where one is chosen; those that the run has give their room to them.
    """
    if not is_first_process():
        return
    run, settings = task.run, task.settings
    at_once = 3 if plan.validation and settings.eval_every else 2
    each, folder = checkpoint_bytes(model.vlm), model_bytes(model.vlm, settings.save_dtype)
    there = sum(path.stat().st_size for path in run.checkpoints.rglob("*") if path.is_file())
    check_space(
        run.checkpoints,
        at_once * each + folder - there,
        f"This training, which has {at_once} checkpoints of {format_bytes(each)} at once and a model of "
        f"{format_bytes(folder)},",
    )


@contextmanager
def whole_or_absent(folder: Path, target: Path, needed_bytes: int) -> Iterator[None]:
    """Within, `folder` is written, to become `target`; an error removes it.

    That of a drive, such as a full one, is raised as a sentence that names `target`.
    """
    try:
        yield
    except BaseException as error:
        said = _said_of(error, folder, target, needed_bytes)
        shutil.rmtree(folder, ignore_errors=True)
        if said is None:
            raise
        raise said from error


def _said_of(error: BaseException, folder: Path, target: Path, needed_bytes: int) -> InputError | None:
    """The sentence about the drive if that is to blame; torch does not say why it could not write a file."""
    if isinstance(error, InputError) or not isinstance(error, Exception):
        return None
    if said := said_of_drive(error, target, needed_bytes):
        return said
    if not folder.is_dir():
        return None
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        _try_room(folder / "probe", max(needed_bytes - written, 1))
    except OSError as found:
        return disk_error(target, found, needed_bytes)
    return None


def _try_room(path: Path, size: int) -> None:
    """Raise the OSError that a file of so many bytes would meet."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.write(bytes(min(size, _PROBE)))
