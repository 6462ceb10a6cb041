"""Packed rows -> a padded batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vqa_core.model.packing import IGNORE_INDEX, PADDING_SEGMENT, PackedRow


def collate(rows: Sequence[PackedRow], pad_id: int) -> dict[str, Tensor]:
    """Pad rows on the right to the longest, T.

    >>> rows = [pack([5], 9, 1, [Branch([6], [7])]), pack([5], 9, 1, [])]
    >>> batch = collate(rows, pad_id=0)
    >>> batch["input_ids"].tolist(), batch["segment_ids"].tolist(), batch["targets"].tolist()
    ([[5, 9, 6], [5, 9, 0]], [[0, 0, 1], [0, 0, -1]], [[-100, -100, 7], [-100, -100, -100]])

    Returns:
        `input_ids`, `segment_ids`, `position_ids`, `targets`, each (B, T) of int64; `position_ids` (3, B, T) where
        the rows' prefixes have three axes: behind the prefix all three are the same.
    """
    length = max(len(row) for row in rows)

    def padded(values: Sequence[list[int]], fill: int) -> Tensor:
        return torch.tensor([row + [fill] * (length - len(row)) for row in values])

    return {
        "input_ids": padded([row.input_ids for row in rows], pad_id),
        "segment_ids": padded([row.segment_ids for row in rows], PADDING_SEGMENT),
        "position_ids": torch.stack([padded([_axis(row, axis) for row in rows], 0) for axis in range(3)])
        if any(row.axes for row in rows)
        else padded([row.position_ids for row in rows], 0),
        "targets": padded([row.targets for row in rows], IGNORE_INDEX),
    }


def _axis(row: PackedRow, axis: int) -> list[int]:
    prefix = row.axes[axis] if row.axes else []
    return prefix + row.position_ids[len(prefix) :]
