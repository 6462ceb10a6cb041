"""One workload learnt from rows packed by image and from one row a question: losses, gradients and work compared."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqa_core.benchmarks.asking import WrongWork
from vqa_core.benchmarks.work_counter import Passed, counting
from vqa_core.benchmarks.workloads import Questions, workload_of
from vqa_core.data.images import open_image
from vqa_core.model.collator import collate
from vqa_core.model.packing import IGNORE_INDEX, PADDING_SEGMENT, PackedRow, pack
from vqa_core.model.vlm import Vlm
from vqa_core.runs.examples import group_by_image
from vqa_core.training.data import BranchEncoder
from vqa_core.training.trainer import PackedLoss

ARMS = ("packed", "separate", "separate_full_head")
LONGEST = 1 << 16  # tokens: no question is cut
LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-4  # relative

Batch = dict[str, Tensor]


class SeparateLoss(PackedLoss):
    """The loss of rows with one question each, as a plain causal language model computes it.

    With `full_head` the head runs on every position, as transformers' own `labels=` does.
    """

    def __init__(self, vlm: Vlm, *, full_head: bool) -> None:
        super().__init__(vlm)
        self.full_head = full_head

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        segment_ids: Tensor,
        position_ids: Tensor,  # noqa: ARG002
        targets: Tensor,
    ) -> dict[str, Tensor]:
        vlm = self.vlm
        with vlm.autocast():
            embeds = vlm.embed(input_ids, vlm.encode_images(pixel_values))  # (B, T, D)
            mask = (segment_ids != PADDING_SEGMENT).long()  # (B, T)
            hidden = vlm.language_model(inputs_embeds=embeds, attention_mask=mask, use_cache=False).last_hidden_state
            keep = torch.ones_like(targets, dtype=torch.bool) if self.full_head else targets != IGNORE_INDEX
            logits = self.model.lm_head(hidden[keep]).float()  # (kept, V)
        loss = nn.functional.cross_entropy(logits, targets[keep], ignore_index=IGNORE_INDEX, reduction="sum")
        return {"loss": loss, "tokens": (targets != IGNORE_INDEX).sum()}


def loss_of(vlm: Vlm, arm: str) -> PackedLoss:
    """The arm's loss."""
    return PackedLoss(vlm) if arm == "packed" else SeparateLoss(vlm, full_head=arm == "separate_full_head")


def make_batches(vlm: Vlm, questions: Questions, batch_tokens: int, *, packed: bool) -> list[Batch]:
    """All questions in batches of at most `batch_tokens` tokens, padding included, rows of like length together.

    Each row has its picture: `packed` rows one for several questions, others one for each.
    """
    encoder = BranchEncoder(vlm.prompt, LONGEST)
    rows: list[tuple[PackedRow, str]] = []
    for group in group_by_image(questions.examples):
        branches = [encoder.encode(example.question, example.answer or "")[0] for example in group]
        for shown in [branches] if packed else [[branch] for branch in branches]:
            row = pack(vlm.prompt.prefix_ids, vlm.image_token_id, vlm.image_tokens, shown)
            rows.append((row, group[0].image))
    rows.sort(key=lambda pair: len(pair[0]), reverse=True)
    batches = []
    for part in _fill(rows, batch_tokens):
        pixels = vlm.pixels([open_image(questions.root / image) for _, image in part])
        batches.append({"pixel_values": pixels, **collate([row for row, _ in part], vlm.pad_id)})
    return batches


def _fill(rows: list[tuple[PackedRow, str]], limit: int) -> Iterator[list[tuple[PackedRow, str]]]:
    """Cut rows, longest first, into batches; a row that is longer than the limit is a batch of its own."""
    start = 0
    while start < len(rows):
        count = max(1, limit // len(rows[start][0]))
        yield rows[start : start + count]
        start += count


@dataclass(frozen=True, slots=True)
class Taught:
    """The mean loss of all answer tokens, the projector's gradient as one vector, and what passed through the model."""

    loss: float
    gradient: Tensor
    passed: Passed


def teach(module: PackedLoss, batches: list[Batch]) -> Taught:
    """Forward and backward over all batches, gradients added up."""
    vlm = module.vlm
    assert isinstance(vlm, Vlm)
    module.zero_grad()
    tokens = sum(int((batch["targets"] != IGNORE_INDEX).sum()) for batch in batches)
    losses = []
    with counting(vlm) as passed:
        for batch in batches:
            loss = module(**{name: value.to(vlm.device) for name, value in batch.items()})["loss"] / tokens
            loss.backward()
            losses.append(loss.detach())
    gradient = torch.cat([p.grad.flatten() for p in vlm.projector.parameters() if p.grad is not None])
    return Taught(float(torch.stack(losses).sum()), gradient, passed)


def check_taught(vlm: Vlm, arm: str, questions: Questions, batches: list[Batch], taught: Taught) -> None:
    """Hold what an arm did against the formulas. Raises WrongWork."""
    expected = workload_of(vlm, questions.examples)
    packed = arm == "packed"
    tokens = sum(int((batch["segment_ids"] != PADDING_SEGMENT).sum()) for batch in batches)
    positions = sum(batch["segment_ids"].numel() for batch in batches)
    rows = positions if arm == "separate_full_head" else expected.head_rows
    pairs = {
        "encodes": (taught.passed.encodes, expected.encodes(packed)),
        "tokens": (tokens, expected.tokens(packed)),
        "positions": (taught.passed.positions, positions),
        "head rows": (taught.passed.head_rows, rows),
    }
    for what, (done, due) in pairs.items():
        if done != due:
            raise WrongWork(f"{arm} did {done} {what}; by the formula it is {due}")


def loss_difference(taught: dict[str, Taught]) -> float:
    """How far the arms' mean losses are apart."""
    losses = [one.loss for one in taught.values()]
    return max(losses) - min(losses)


def gradient_difference(taught: dict[str, Taught]) -> float:
    """The largest distance of an arm's projector gradient from the packed one, relative to its length."""
    packed = taught["packed"].gradient
    return max(float((one.gradient - packed).norm() / packed.norm()) for one in taught.values())


def agree(vlm: Vlm, questions: Questions, batch_tokens: int) -> tuple[float, float]:
    """Differences of loss and gradient between the arms in fp32. Raises WrongWork where they are too large."""
    taught = {}
    for arm in ARMS:
        batches = make_batches(vlm, questions, batch_tokens, packed=arm == "packed")
        taught[arm] = teach(loss_of(vlm, arm), batches)
        check_taught(vlm, arm, questions, batches, taught[arm])
    loss, gradient = loss_difference(taught), gradient_difference(taught)
    if not (loss < LOSS_TOLERANCE and gradient < GRADIENT_TOLERANCE):
        raise WrongWork(f"in fp32 the arms' losses are {loss:.2g} apart, their gradients {gradient:.2g} (relative)")
    return loss, gradient
