"""The lengths of a dataset's training rows for the page, whose memory is no place for 400,000 rows.

python -m ui.train_lengths --data data/dacon --val-fraction 0.02

prints them as JSON. The page takes them from the dataset's index where it is up to date; else it reads a small dataset
itself and has this command, a process of its own, read a large one.
"""

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ui.train_plan import Source
from ui.workspace import Workspace
from vqa_core.commands import run_command
from vqa_core.config import DataSettings
from vqa_core.data_index_writer import fingerprint
from vqa_core.easy_vqa import train_examples
from vqa_core.examples import split_by_image
from vqa_core.files import InputError, stamp_of
from vqa_core.lengths import Lengths, lengths_of, lengths_of_data, lengths_of_index
from vqa_core.prepare import column_map
from vqa_core.settings import add_arguments, flags_between, resolve
from vqa_core.sources import EASY_VQA

SMALL = 4_000_000  # bytes of a train.csv that the page reads itself: some 70,000 rows, 1 s and 30 MB


def lengths_of_source(workspace: Workspace, source: Source, settings: DataSettings) -> Lengths | None:
    """The training rows that preparing the source would give; None as long as it is not unpacked.

    Raises InputError where it could not be prepared.
    """
    if not source.root.is_dir():
        return _of_easy_vqa(settings) if source.argument == EASY_VQA else None
    stamp = stamp_of(source.root / "train.csv")
    if stamp[1] <= SMALL:
        return lengths_of_data(source.root, settings)
    mark = fingerprint(source.root.resolve(), column_map(settings))
    with contextlib.suppress(InputError):
        sight = workspace.datasets.see(workspace.datasets.get(source.dataset))
        if sight.index and sight.index.fingerprint == mark:
            return lengths_of_index(sight.index, settings.val_fraction, settings.split_seed)
    return _elsewhere(source.root.resolve(), settings, *stamp)


@lru_cache(maxsize=2)
def _of_easy_vqa(settings: DataSettings) -> Lengths:
    """Those of the installed package, which is written to a folder when it is prepared."""
    return lengths_of(split_by_image(train_examples(), settings.val_fraction, settings.split_seed)[0])


@lru_cache(maxsize=2)
def _elsewhere(root: Path, settings: DataSettings, _changed: int, _size: int) -> Lengths:
    command = [sys.executable, "-m", "ui.train_lengths", f"--data={root}", *flags_between(DataSettings(), settings)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, encoding="utf-8")
    if done.returncode == 2:
        raise InputError(done.stderr.strip().removeprefix("error: "))
    done.check_returncode()
    return tuple(map(tuple, json.loads(done.stdout)))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ui.train_lengths", description="Tokens of each training question.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a competition folder")
    add_arguments(parser, DataSettings)
    args = parser.parse_args(argv)
    json.dump(lengths_of_data(args.data, resolve(DataSettings, {}, args)), sys.stdout)


if __name__ == "__main__":
    run_command(main)
