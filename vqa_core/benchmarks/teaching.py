"""Train on the same questions with rows packed by image and with one row per question; compare losses and gradients."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqa_core.benchmarks.asking import WrongWork
from vqa_core.benchmarks.work_counter import WorkCount, count_work
from vqa_core.benchmarks.workloads import Questions, workload_of
from vqa_core.data.images import open_image
from vqa_core.model.collator import collate
from vqa_core.model.packing import IGNORE_INDEX, PADDING_SEGMENT, PackedRow, pack
from vqa_core.model.unpadded import Rows
from vqa_core.model.vlm import Vlm
from vqa_core.runs.examples import group_by_image
from vqa_core.training.data import BranchEncoder
from vqa_core.training.losses.packed import PackedLoss

ARMS = ("packed", "separate", "separate_full_head")
LONGEST = 1 << 16  # tokens: no question is cut
LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-4  # relative

Batch = dict[str, Tensor]


class SeparateLoss(PackedLoss):
    """The loss of rows with one question each, as a plain causal language model computes it.

    With `full_head` the head runs on every position, as with transformers' own `labels=`.
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
    """The loss module of an arm."""
    return PackedLoss(vlm) if arm == "packed" else SeparateLoss(vlm, full_head=arm == "separate_full_head")


def make_batches(vlm: Vlm, questions: Questions, batch_tokens: int, *, packed: bool) -> list[Batch]:
    """All questions in batches of at most `batch_tokens` tokens, including padding, with rows of similar length.

    Each row has a picture, for all its questions if `packed`, else for its one question.
    """
    encoder = BranchEncoder(vlm.prompt, LONGEST)
    rows: list[tuple[PackedRow, str]] = []
    for group in group_by_image(questions.examples):
        branches = [encoder.encode(example.question, example.answer or "")[0] for example in group]
        for of_row in [branches] if packed else [[branch] for branch in branches]:
            row = pack(vlm.prompt.prefix_ids, vlm.image_token_id, vlm.image_tokens, of_row)
            rows.append((row, group[0].image))
    rows.sort(key=lambda pair: len(pair[0]), reverse=True)
    batches = []
    for part in _fill(rows, batch_tokens):
        pixels = vlm.pixels([open_image(questions.root / image) for _, image in part])
        batches.append({"pixel_values": pixels, **collate([row for row, _ in part], vlm.pad_id)})
    return batches


def _fill(rows: list[tuple[PackedRow, str]], limit: int) -> Iterator[list[tuple[PackedRow, str]]]:
    """Divide rows, longest first, into batches; a row longer than the limit is a batch of its own."""
    start = 0
    while start < len(rows):
        count = max(1, limit // len(rows[start][0]))
        yield rows[start : start + count]
        start += count


@dataclass(frozen=True, slots=True)
class StepResult:
    """The mean loss over all answer tokens, the projector's gradient as a vector, and the work counted in the model."""

    loss: float
    gradient: Tensor
    counted: WorkCount


def train_step(module: PackedLoss, batches: list[Batch]) -> StepResult:
    """Forward and backward over all batches, accumulating gradients."""
    vlm = module.vlm
    assert isinstance(vlm, Vlm)
    module.zero_grad()
    tokens = sum(int((batch["targets"] != IGNORE_INDEX).sum()) for batch in batches)
    losses = []
    with count_work(vlm) as counted:
        for batch in batches:
            loss = module(**{name: value.to(vlm.device) for name, value in batch.items()})["loss"] / tokens
            loss.backward()
            losses.append(loss.detach())
    gradient = torch.cat([p.grad.flatten() for p in vlm.projector.parameters() if p.grad is not None])
    return StepResult(float(torch.stack(losses).sum()), gradient, counted)


def check_step(vlm: Vlm, arm: str, questions: Questions, batches: list[Batch], result: StepResult) -> None:
    """Check an arm's work against the formulas. Raises WrongWork if they differ."""
    expected = workload_of(vlm, questions.examples)
    packed = arm == "packed"
    tokens = sum(int((batch["segment_ids"] != PADDING_SEGMENT).sum()) for batch in batches)
    padded = sum(batch["segment_ids"].numel() for batch in batches)
    rows_read = [Rows.of(vlm, batch["segment_ids"]) for batch in batches]
    positions = sum(rows.tokens + rows.padding for rows in rows_read) if packed else padded
    rows = padded if arm == "separate_full_head" else expected.head_rows
    pairs = {
        "encodes": (result.counted.encodes, expected.encodes(packed)),
        "tokens": (tokens, expected.tokens(packed)),
        "positions": (result.counted.positions, positions),
        "head rows": (result.counted.head_rows, rows),
    }
    for what, (actual, formula) in pairs.items():
        if actual != formula:
            raise WrongWork(f"{arm} did {actual} {what}; by the formula it is {formula}")


def loss_difference(results: dict[str, StepResult]) -> float:
    """The largest difference between the arms' mean losses."""
    losses = [one.loss for one in results.values()]
    return max(losses) - min(losses)


def gradient_difference(results: dict[str, StepResult]) -> float:
    """The largest distance of an arm's projector gradient from the packed one, relative to the latter's norm."""
    packed = results["packed"].gradient
    return max(float((one.gradient - packed).norm() / packed.norm()) for one in results.values())


def check_agreement(vlm: Vlm, questions: Questions, batch_tokens: int) -> tuple[float, float]:
    """The differences of loss and gradient between the arms in fp32. Raises WrongWork if they are too large."""
    results = {}
    for arm in ARMS:
        batches = make_batches(vlm, questions, batch_tokens, packed=arm == "packed")
        results[arm] = train_step(loss_of(vlm, arm), batches)
        check_step(vlm, arm, questions, batches, results[arm])
    loss, gradient = loss_difference(results), gradient_difference(results)
    if not (loss < LOSS_TOLERANCE and gradient < GRADIENT_TOLERANCE):
        raise WrongWork(f"in fp32 the arms' losses are {loss:.2g} apart, their gradients {gradient:.2g} (relative)")
    return loss, gradient
