"""The loss of packed rows: a model as one module, which DDP and FSDP wrap as a whole."""

from typing import Any

from torch import Tensor, nn

from vqa_core.model.packing import check_backend, plain_mask, shared_prefix_mask
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.unpadded import Rows, reads_lines


class PackedLoss(nn.Module):
    """A Vlm as one module whose `forward` is the loss, so that DDP and FSDP wrap all of it.

    The head runs on supervised positions only: with a vocabulary of 49,152 it is a quarter of a small model's work.
    """

    def __init__(self, vlm: AnyVlm, *, plain: bool = False) -> None:
        """`plain`: no row has several questions, so FlashAttention is exact; a row that has several raises an error."""
        super().__init__()
        if not plain:
            check_backend(vlm.attention)
            reads_lines(vlm)  # tried here, while each process has all weights
        self.vlm, self.plain = vlm, plain
        self.model = vlm.model

    def forward(
        self, pixel_values: Any, input_ids: Tensor, segment_ids: Tensor, position_ids: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """Sum of the cross entropies of all targets.

        Args:
            pixel_values: as `encode_images` takes them, (B, 3, side, side) for a Vlm; row b shows image b.
            input_ids, segment_ids, targets: (B, T), position_ids (B, T) or (3, B, T), see vqa_core/model/packing.py.

        Returns:
            `loss`, the sum, and `tokens`, the number of targets.
        """
        with self.vlm.autocast():
            return self._summed(self.vlm.encode_images(pixel_values), input_ids, segment_ids, position_ids, targets)

    def _summed(
        self, image_tokens: Tensor, input_ids: Tensor, segment_ids: Tensor, position_ids: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """What `forward` returns, for pictures that are encoded already."""
        vlm = self.vlm
        rows = Rows(segment_ids, None) if self.plain else Rows.of(vlm, segment_ids)
        embeds = vlm.embed(rows.lay(input_ids), image_tokens)  # (1, L, D), or (B, T, D) padded
        if self.plain:
            mask = plain_mask(segment_ids)  # (B, T)
        else:
            mask = shared_prefix_mask(segment_ids, segment_ids, vlm.attention, embeds.dtype)  # (B, 1, T, T)
        hidden = rows.read(vlm, embeds, mask, rows.lay(position_ids))
        targets = rows.lay(targets)
        keep = targets >= 0
        logits = self.model.lm_head(hidden[keep]).float()  # (supervised, V)
        loss = nn.functional.cross_entropy(logits, targets[keep], reduction="sum")
        return {"loss": loss, "tokens": keep.sum()}
