"""The lengths of a dataset's training rows for the page, whose memory is no place for 400,000 rows.

They come from the dataset's index where that is up to date; else a small dataset is read here, a large one apart.
"""

import contextlib
from functools import lru_cache
from pathlib import Path

from ui.train_plan import Source
from ui.workspace import Workspace
from vqa_core.apart import LARGE, apart
from vqa_core.config import DataSettings
from vqa_core.data_index_writer import fingerprint
from vqa_core.easy_vqa import train_examples
from vqa_core.examples import split_by_image
from vqa_core.files import InputError, stamp_of
from vqa_core.lengths import Lengths, lengths_of, lengths_of_data, lengths_of_index
from vqa_core.prepare import column_map
from vqa_core.sources import EASY_VQA


def lengths_of_source(workspace: Workspace, source: Source, settings: DataSettings) -> Lengths | None:
    """The training rows that preparing the source would give; None as long as it is not unpacked.

    Raises InputError where it could not be prepared.
    """
    if not source.root.is_dir():
        return _of_easy_vqa(settings) if source.argument == EASY_VQA else None
    stamp = stamp_of(source.root / "train.csv")
    if stamp[1] < LARGE:
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
def _elsewhere(root: Path, settings: DataSettings, _changed: int, size: int) -> Lengths:
    return apart(lengths_of_data, root, settings, size=size)
