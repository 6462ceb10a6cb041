"""A line of tokens gives what padded rows give: hidden states, gradients and answers; and feeds no padding."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.packed import IMAGES, packed_batch, randomise_lora
from tests.support.tiny import tiny_vlm
from vqa_core.benchmarks.work_counter import count_work
from vqa_core.model import unpadded
from vqa_core.model.packing import PADDING_SEGMENT, shared_prefix_mask
from vqa_core.model.stages import prepare_stage, trained_tensors
from vqa_core.model.unpadded import Places, RowCache, Rows, reads_lines
from vqa_core.model.vlm import Vlm
from vqa_core.runs.model_folder import Stage
from vqa_core.training.losses.packed import PackedLoss

SEGMENTS = torch.tensor([[0, 0, 1, 2], [0, 0, -1, -1], [0, 1, 1, -1]])


def states_of(vlm: Vlm, rows: Rows, cache: RowCache | None = None) -> Tensor:
    ids = torch.arange(5, 5 + SEGMENTS.numel()).view_as(SEGMENTS)
    positions = torch.tensor([[0, 1, 2, 2], [0, 1, 0, 0], [0, 1, 2, 0]])
    embeds = vlm.model.get_input_embeddings()(rows.lay(ids))
    mask = shared_prefix_mask(SEGMENTS, SEGMENTS, "sdpa", embeds.dtype)
    return rows.read(vlm, embeds, mask, rows.lay(positions), cache)


@torch.no_grad()
@pytest.mark.parametrize("cached", [False, True])
def test_a_line_has_the_states_of_padded_rows(cached: bool) -> None:
    vlm = tiny_vlm()
    line, padded = Rows(SEGMENTS, Places.of(SEGMENTS)), Rows(SEGMENTS, None)
    found = states_of(vlm, line, RowCache() if cached else None)
    assert found.shape[:2] == (1, 9)
    at = [0, 0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 3, 0, 1, 0, 1, 2]
    expected = padded.take(states_of(vlm, padded), *at)
    assert torch.allclose(line.take(found, *at), expected, atol=1e-5)
    assert torch.allclose(found[0], expected, atol=1e-5)  # the tokens stand in the line row by row
    assert (line.padding, padded.padding) == (0, 3)


def test_positions_on_three_axes_are_laid_out_alike() -> None:
    line = Rows(SEGMENTS, Places.of(SEGMENTS))
    axes = torch.arange(36).view(3, 3, 4)
    assert line.lay(axes).tolist() == [[of_axis[SEGMENTS >= 0].tolist()] for of_axis in axes]


@pytest.mark.parametrize("stage", ["align", "lora"])
def test_a_line_has_the_gradients_of_padded_rows(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, gradients = [], []
    for lines in (True, False):
        vlm = tiny_vlm()
        prepare_stage(vlm, Stage(stage, lora_rank=4, lora_alpha=8.0))
        randomise_lora(vlm)
        if not lines:
            monkeypatch.setattr(unpadded, "reads_lines", lambda _: False)
        batch = packed_batch(vlm, IMAGES)
        padding = int((batch["segment_ids"] == PADDING_SEGMENT).sum())
        module = PackedLoss(vlm)
        with count_work(vlm) as counted:
            loss = module(**batch)["loss"]
        assert counted.positions == batch["segment_ids"].numel() - (padding if lines else 0)
        loss.backward()
        losses.append(float(loss))
        gradients.append({name: tensor.grad for name, tensor in trained_tensors(vlm).items()})
    assert padding > 10
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5, rtol=1e-4), name


class Mixing(nn.Module):
    """A language model that adds each token to the next one, as a convolution would."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config

    def forward(self, inputs_embeds: Tensor, **kwargs: Any) -> Any:
        before = nn.functional.pad(inputs_embeds, (0, 0, 1, 0))[:, :-1]
        return self.inner(inputs_embeds=inputs_embeds + before, **kwargs)


class Deaf(Mixing):
    """A language model that does not tell its attention of the rows."""

    def forward(self, inputs_embeds: Tensor, places: Places | None = None, **kwargs: Any) -> Any:  # noqa: ARG002
        return self.inner(inputs_embeds=inputs_embeds, **kwargs)


@pytest.mark.parametrize("kind", [Mixing, Deaf])
def test_a_model_that_would_mix_rows_reads_padded_ones(kind: type[Mixing]) -> None:
    vlm = tiny_vlm()
    assert reads_lines(vlm)
    vlm.model.model.language_model = kind(vlm.model.model.language_model)
    assert not reads_lines(vlm)
    assert Rows.of(vlm, SEGMENTS).places is None


def test_another_attention_than_sdpa_reads_padded_rows() -> None:
    assert not reads_lines(tiny_vlm(attention="eager"))
