"""The losses of models whose questions can't share a prefix, so that each question needs a row of its own."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vqa_core.model.capabilities import Sharing
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.inputs import HubPicture
from vqa_core.model.packing import FLASH, IGNORE_INDEX, PADDING_SEGMENT, PREFIX_SEGMENT
from vqa_core.model.protocol import AnyVlm
from vqa_core.training.losses.packed import PackedLoss


def loss_of(vlm: AnyVlm) -> PackedLoss:
    """The loss module for a model, chosen by what its questions can share."""
    if vlm.sharing is Sharing.PREFIX:
        return PackedLoss(vlm, plain=vlm.attention == FLASH)
    return SeparateRowsLoss(vlm) if isinstance(vlm, HubModel) else PlainRowsLoss(vlm)


class PlainRowsLoss(PackedLoss):
    """The loss of PackedLoss for a Vlm, with packed rows split into one row per question. Pictures are encoded once."""

    def __init__(self, vlm: AnyVlm) -> None:
        super().__init__(vlm, plain=True)

    def forward(
        self, pixel_values: Any, input_ids: Tensor, segment_ids: Tensor, position_ids: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """Sum of the cross entropies of all targets; arguments and result are those of PackedLoss."""
        owner, at = _apart(segment_ids)
        padding = at < 0

        def apart(values: Tensor, fill: int) -> Tensor:
            return values[owner[:, None], at.clamp(min=0)].masked_fill(padding, fill)

        with self.vlm.autocast():
            return self._summed(
                self.vlm.encode_images(pixel_values)[owner],
                apart(input_ids, self.vlm.pad_id),
                apart(segment_ids.clamp(max=1), PADDING_SEGMENT),
                apart(position_ids, 0),
                apart(targets, IGNORE_INDEX),
            )


def _apart(segments: Tensor) -> tuple[Tensor, Tensor]:
    """Segments (B, T) of packed rows -> for R questions, the row of each (R,) and the places of its tokens (R, S).

    The prefix comes first; -1 is padding.
    """
    owner, places = [], []
    for row, of_row in enumerate(segments):
        for number in range(1, int(of_row.max()) + 1):
            owner.append(row)
            places.append(((of_row == PREFIX_SEGMENT) | (of_row == number)).nonzero()[:, 0])
    return torch.tensor(owner, device=segments.device), pad_sequence(places, batch_first=True, padding_value=-1)


class SeparateRowsLoss(PackedLoss):
    """The loss of PackedLoss for a HubModel, one question at a time; the picture is encoded once if possible."""

    def __init__(self, vlm: HubModel) -> None:
        nn.Module.__init__(self)  # no mask of ours, so any attention backend will do
        self.vlm = self.hub = vlm
        self.model = vlm.model
        self.keeps = "logits_to_keep" in inspect.signature(vlm.model.forward).parameters

    def few_logits(self, number: int) -> dict[str, int]:
        """The argument that asks for the last logits only, if the model has it."""
        return {"logits_to_keep": number} if self.keeps else {}

    def forward(
        self,
        pixel_values: Any,
        input_ids: Tensor,
        segment_ids: Tensor,
        position_ids: Tensor,  # noqa: ARG002
        targets: Tensor,
    ) -> dict[str, Tensor]:
        """Sum of the cross entropies of all targets; arguments and result are those of PackedLoss."""
        losses: list[Tensor] = []
        pictures: list[HubPicture] = pixel_values
        for row, picture in enumerate(pictures):
            outputs = self.hub.image_outputs(picture.pixels) if self.hub.sharing is Sharing.VISION else None
            for number in range(1, int(segment_ids[row].max()) + 1):
                of_branch = segment_ids[row] == number
                wanted = targets[row, of_branch]
                answer = wanted[wanted >= 0]  # (A,)
                ids = input_ids[row, of_branch].tolist()[: len(wanted) - len(answer) + 1]
                question = picture.questions[number - 1] if picture.questions else ""
                choices = picture.choices[number - 1] if picture.choices else ()
                with self.hub.autocast():
                    inputs = self.hub.training_inputs(picture, question, ids, answer.tolist(), outputs, choices=choices)
                    logits = self.model(**inputs, use_cache=False, **self.few_logits(len(answer))).logits
                # some models return the logits of all tokens regardless
                logits = logits[0, -len(answer) :]  # (A, V)
                losses.append(nn.functional.cross_entropy(logits.float(), answer, reduction="sum"))
        return {"loss": sum(losses[1:], losses[0]), "tokens": (targets >= 0).sum()}
