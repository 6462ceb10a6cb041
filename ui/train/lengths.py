"""The lengths of a dataset's training rows.

Those of a large dataset come from its index if that is up to date: the page's memory is no place for 400,000 rows.
"""

import contextlib
from functools import lru_cache

from ui.train.plan import Source
from ui.workspace.workspace import Workspace
from vqa_core.apart import LARGE
from vqa_core.config import DataSettings
from vqa_core.data.easy_vqa import train_examples
from vqa_core.data.index.writer import fingerprint
from vqa_core.data.prepare import column_map
from vqa_core.data.sources import EASY_VQA
from vqa_core.files import InputError, stamp_of
from vqa_core.planning.lengths import Lengths, lengths_of, lengths_of_data, lengths_of_index
from vqa_core.runs.examples import split_by_image


def lengths_of_source(workspace: Workspace, source: Source, settings: DataSettings) -> Lengths | None:
    """The training rows that preparing the source would give; None as long as it is not unpacked.

    Raises InputError where it could not be prepared.
    """
    if not source.root.is_dir():
        return _of_easy_vqa(settings) if source.argument == EASY_VQA else None
    if stamp_of(source.root / "train.csv")[1] < LARGE:
        return lengths_of_data(source.root, settings)
    mark = fingerprint(source.root.resolve(), column_map(settings))
    with contextlib.suppress(InputError):
        status = workspace.datasets.update_index(workspace.datasets.get(source.dataset))
        if status.index and status.index.fingerprint == mark:
            return lengths_of_index(status.index.path, settings.val_fraction, settings.split_seed)
    return lengths_of_data(source.root, settings)


@lru_cache(maxsize=2)
def _of_easy_vqa(settings: DataSettings) -> Lengths:
    """Those of the installed package, which is written to a folder when it is prepared."""
    return lengths_of(split_by_image(train_examples(), settings.val_fraction, settings.split_seed)[0])
