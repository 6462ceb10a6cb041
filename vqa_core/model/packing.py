"""One image and all its questions as one packed row: the image is prefilled once, questions never see each other.

    position   0 ......... P-1 | P P+1 ... | P P+1 ... |      every branch goes on where the prefix ends
    segment    0 ......... 0   | 1 1 ...   | 2 2 ...   |      0 is the shared prefix, -1 is padding
    token      prefix + image  | question 1| question 2|

Row by row this is the same computation as separate samples; `tests/model/test_packing.py` holds it to that.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vqa_core.files import InputError

IGNORE_INDEX = -100
PREFIX_SEGMENT = 0
PADDING_SEGMENT = -1

# What the mask must look like for an attention backend to give right answers (transformers 5.17 and 5.23, measured).
MASK_KIND = {"sdpa": "bool", "eager": "float"}
FLASH = "flash_attention_2"  # exact for plain rows, see vqa_core/model/attention.py
REFUSED = {
    "flash_attention_3": "it takes every restart of the positions for a new document, so questions see each other",
    "flex_attention": "it takes a mask tensor for a score to add and aborts on the CPU",
}


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before the questions of a picture: P tokens, image tokens among them.

    `axes` are the positions of a model with three of them a token, 3 lists of P; else a token's position is its index.
    """

    ids: list[int]
    axes: list[list[int]] | None = None

    @property
    def following(self) -> int:
        """The position of the token behind the prefix."""
        return len(self.ids) if self.axes is None else max(map(max, self.axes)) + 1


@dataclass(frozen=True, slots=True)
class Branch:
    """One question of a packed row. `answer` are the ids to learn behind `ids`, the end included; [] when asking."""

    ids: list[int]
    answer: list[int]


@dataclass(frozen=True, slots=True)
class PackedRow:
    """A packed row of T tokens.

    `targets[t]` is the token to predict *from* position t, IGNORE_INDEX where there is none. `ends[n]` is the index of
    the token that branch n's answer follows. `axes` are those of its Prefix.
    """

    input_ids: list[int]
    segment_ids: list[int]
    position_ids: list[int]
    targets: list[int]
    ends: list[int]
    axes: list[list[int]] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def supervised(self) -> int:
        """Number of tokens the row teaches."""
        return sum(target != IGNORE_INDEX for target in self.targets)


def pack(prefix_ids: list[int], image_token_id: int, image_tokens: int, branches: list[Branch]) -> PackedRow:
    """Pack a prefix, `image_tokens` image positions and the branches into one row."""
    return pack_onto(Prefix(prefix_ids + [image_token_id] * image_tokens), branches)


def pack_onto(shared: Prefix, branches: list[Branch]) -> PackedRow:
    """Pack a prefix, image positions included, and the branches into one row.

    The last answer token is a target only: nothing follows it, so feeding it would be a wasted position. A branch
    without ids (the `plain` prompt shows no question) is answered from the prefix's last token, which only one can be.
    """
    ids, prefix, start = shared.ids, len(shared.ids), shared.following
    positions = list(shared.axes[0] if shared.axes else range(prefix))
    segments, targets, ends = [PREFIX_SEGMENT] * prefix, [IGNORE_INDEX] * prefix, []
    for number, branch in enumerate(branches, start=1):
        if not branch.ids and len(branches) > 1:
            raise InputError(
                "A prompt style that shows no question takes one question a row; set --questions-per-image 1."
            )
        fed = branch.ids + branch.answer[:-1]
        ends.append(len(ids) + len(branch.ids) - 1)
        ids = ids + fed
        segments += [number] * len(fed)
        positions += range(start, start + len(fed))
        targets += [IGNORE_INDEX] * len(fed)
        targets[ends[-1] : ends[-1] + len(branch.answer)] = branch.answer
    return PackedRow(ids, segments, positions, targets, ends, shared.axes)


def shared_prefix_mask(queries: Tensor, keys: Tensor, backend: str, dtype: torch.dtype) -> Tensor:
    """The attention mask of packed rows, from segment ids alone.

    Args:
        queries: (B, Q) segments of the tokens that attend; the last Q of `keys`.
        keys: (B, K) segments of the tokens attended to, cached ones first.
        backend: attention implementation; its mask is boolean or additive, see MASK_KIND.
        dtype: of an additive mask.

    Returns:
        (B, 1, Q, K). A query sees the prefix and its own segment, up to itself. Padding sees only itself: a row of a
        mask with nothing to see is undefined in some kernels.

    Raises:
        InputError: for a backend that would be silently wrong.
    """
    count, total = queries.shape[1], keys.shape[1]
    q, k = queries[:, :, None], keys[:, None, :]  # (B, Q, 1), (B, 1, K)
    index = torch.arange(total, device=keys.device)
    at = index[total - count :, None]  # (Q, 1): where each query stands among the keys
    seen = (index <= at) & ((q == k) | (k == PREFIX_SEGMENT)) & (k != PADDING_SEGMENT)
    return attention_mask(seen | (index == at), backend, dtype)


def attention_mask(seen: Tensor, backend: str, dtype: torch.dtype) -> Tensor:
    """(B, Q, K) booleans, what each query sees, as the (B, 1, Q, K) mask that `backend` takes."""
    check_backend(backend)
    mask = seen[:, None]
    if MASK_KIND[backend] == "bool":
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def plain_mask(segments: Tensor) -> Tensor:
    """The (B, T) mask, False at padding, of rows of one question each: all that FlashAttention takes beside causality.

    Raises InputError for a row of several questions, which would see each other.
    """
    if int(segments.max()) > 1:
        check_backend(FLASH)
    return segments != PADDING_SEGMENT


def check_backend(backend: str) -> None:
    """Refuse attention backends that run packed rows without an error and give wrong answers."""
    if backend in MASK_KIND:
        return
    if backend == FLASH:
        raise InputError(
            "--attention flash_attention_2 can't run packed rows: it takes every restart of the positions for a new "
            "document, so questions see each other. Use --attention auto, or rows of one question: "
            "--questions-per-image 1 in training, --engine hf_batch in prediction."
        )
    reason = REFUSED.get(backend, "it was never checked against separate rows")
    raise InputError(
        f"--attention {backend} can't run packed rows: {reason}. Use --attention {' or '.join(MASK_KIND)}."
    )
