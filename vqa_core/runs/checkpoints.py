"""Atomic checkpoints: written under another name with a manifest of hashes, then renamed."""

import logging
import os
import shutil
from pathlib import Path

from vqa_core.drives import rename_folder, sync_folder
from vqa_core.files import read_json, sha256_of, write_json
from vqa_core.folders import sync_files

logger = logging.getLogger("vqa")

MANIFEST = "manifest.json"
PLAN = "plan.json"
"""In a checkpoint: what it was planned with, see vqa_core/training/resume.py."""


def seal(folder: Path, target: Path) -> None:
    """Write the manifest of a finished folder, flush its files to disk, and rename the folder to `target`."""
    files = sync_files(folder)
    write_json(folder / MANIFEST, {str(path.relative_to(folder)): sha256_of(path) for path in files})
    if target.exists():
        shutil.rmtree(target)
    rename_folder(folder, target)
    sync_folder(target.parent)


def problem_with(folder: Path) -> str | None:
    """Why a checkpoint can't be trusted, as a clause; None if its manifest verifies."""
    try:
        manifest = read_json(folder / MANIFEST)
    except ValueError:
        return "it has no readable manifest"
    for name, expected in manifest.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256_of(path) != expected:
            return f"{name} is not what was written"
    return None


def steps_below(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of every checkpoint-N below `folder`, oldest first."""
    folders = [(path.name.removeprefix("checkpoint-"), path) for path in folder.glob("checkpoint-*") if path.is_dir()]
    return sorted((int(step), path) for step, path in folders if step.isdigit())


def newest_valid(folder: Path) -> Path | None:
    """The newest checkpoint whose manifest verifies; logs each newer one with its problem."""
    for _, path in reversed(steps_below(folder)):
        problem = problem_with(path)
        if problem is None:
            return path
        logger.warning("Skipping %s: %s.", path, problem)
    return None


def set_aside(path: Path) -> Path:
    """Rename `checkpoint-N`, so that nothing goes on from it, to `diverged-N`; return the new path."""
    target = path.with_name(path.name.replace("checkpoint", "diverged"))
    shutil.rmtree(target, ignore_errors=True)
    rename_folder(path, target)
    return target


def keep_only(folder: Path, steps: set[int]) -> None:
    """Delete the checkpoints below `folder` whose step is not in `steps`, and what a crash left of others.

    They lose their names first: what is called a checkpoint is whole.
    """
    for path in folder.glob(".writing-*"):
        shutil.rmtree(path, ignore_errors=True)
    for step, path in steps_below(folder):
        if step not in steps:
            nameless = folder / f".writing-{step}"
            try:
                os.rename(path, nameless)
            except OSError:  # not every drive renames folders
                nameless = path
            shutil.rmtree(nameless, ignore_errors=True)
