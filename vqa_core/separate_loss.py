"""SeparateRowsLoss: the loss of a model whose questions can't share a prefix, each through its own forward pass."""

from typing import Any

from torch import Tensor, nn

from vqa_core.hub_model import HubModel, HubPicture
from vqa_core.trainer import PackedLoss


class SeparateRowsLoss(PackedLoss):
    """What PackedLoss computes, a question at a time; the picture is encoded once where the model takes it encoded."""

    def __init__(self, vlm: HubModel) -> None:
        nn.Module.__init__(self)  # no mask of ours: any attention backend does
        self.vlm = self.hub = vlm
        self.model = vlm.model

    def forward(
        self, pixel_values: Any, input_ids: Tensor, segment_ids: Tensor, position_ids: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """Sum of the cross entropies of all targets; arguments and result as PackedLoss has them."""
        losses: list[Tensor] = []
        pictures: list[HubPicture] = pixel_values
        for row, picture in enumerate(pictures):
            outputs = self.hub.image_outputs(picture.pixels) if self.hub.sharing == "vision" else None
            for number in range(1, int(segment_ids[row].max()) + 1):
                of_branch = segment_ids[row] == number
                ids, wanted = input_ids[row, of_branch], targets[row, of_branch]
                with self.hub.autocast():
                    inputs = self.hub.row_inputs(picture, ids.tolist(), outputs)
                    logits = self.model(**inputs, use_cache=False, logits_to_keep=len(ids)).logits[0]  # (branch, V)
                keep = wanted >= 0
                losses.append(nn.functional.cross_entropy(logits[keep].float(), wanted[keep], reduction="sum"))
        return {"loss": sum(losses[1:], losses[0]), "tokens": (targets >= 0).sum()}
