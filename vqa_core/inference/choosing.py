"""Multiple choice: each of a question's own options gets a probability, and no other answer is possible.

An option's score is the log probability of the tokens that name it, see `Prompt.choice_ids`, or their mean; its
probability is the softmax over the scores of all options. A question that is shown in several orders is several
branches of the picture's packed row, and an option's probability is the mean over them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from transformers import DynamicCache

from vqa_core.inference.generation import Generated, Limits, Picture, Work, tokens_of
from vqa_core.model.collator import collate
from vqa_core.model.packing import (
    PADDING_SEGMENT,
    PREFIX_SEGMENT,
    Branch,
    PackedRow,
    attention_mask,
    pack_onto,
    shared_prefix_mask,
)
from vqa_core.model.protocol import AnyVlm
from vqa_core.prompts.choice_style import places_of, rearranged
from vqa_core.prompts.prompt import Prompt
from vqa_core.runs.examples import Example

ROW_TOKENS = 4096  # of all branches of a packed row: the mask grows with its square
HEAD_ROWS = 512  # positions whose logits are held at once: with a vocabulary of 150,000 they take 300 MB


@dataclass(frozen=True, slots=True)
class Order:
    """A multiple-choice question with its options in one order.

    `shown` are the options as its prompt shows them, `ids` are those of its chunk. `answers` are the ids that name each
    option that is not blank; they stand in the example's own order, whatever is shown.
    """

    shown: tuple[str, ...]
    ids: list[int]
    answers: list[list[int]]


def rotations(count: int, wanted: int) -> list[int]:
    """By how many places to rotate `count` options for `wanted` orders, spread evenly; all `count` if more are wanted.

    >>> rotations(4, 1), rotations(4, 2), rotations(5, 3), rotations(3, 99)
    ([0], [0, 2], [0, 1, 3], [0, 1, 2])
    """
    orders = min(count, wanted)
    return [number * count // orders for number in range(orders)]


def orders_of(prompt: Prompt, example: Example, wanted: int) -> list[Order]:
    """The question in each of its orders, the first of which is the example's own."""
    places, orders = places_of(example.choices), []
    for shift in rotations(len(places), wanted):
        shown = rearranged(example.choices, places[shift:] + places[:shift])
        answers = prompt.choice_ids(shown)
        own = [answers[place] for place in places[len(places) - shift :] + places[: len(places) - shift]]
        orders.append(Order(shown, prompt.branch_ids(example.question, shown)[0], own))
    return orders


def weigh(orders: Sequence[Order], logprobs: Sequence[Sequence[float]], *, per_token: bool) -> Generated:
    """The probability of each option, from the log probabilities of its answer in each order; 0 of a blank one."""
    total = [0.0] * len(orders[0].answers)
    for order, of_order in zip(orders, logprobs, strict=True):
        lengths = [len(ids) if per_token else 1 for ids in order.answers]
        scores = [logprob / length for logprob, length in zip(of_order, lengths, strict=True)]
        highest = max(scores)
        weights = [math.exp(score - highest) for score in scores]
        total = [before + weight / sum(weights) for before, weight in zip(total, weights, strict=True)]
    options = [0.0] * len(orders[0].shown)
    for place, probability in zip(places_of(orders[0].shown), total, strict=True):
        options[place] = probability / len(orders)
    return Generated(logprob=math.log(max(total) / len(orders)), ended=True, options=options)


def choose_singly(
    prompt: Prompt, example: Example, limits: Limits, logits_behind: Callable[[Order, list[int], int], Tensor]
) -> Generated:
    """Answer a multiple-choice question with a row for each answer; answers that are fed the same tokens share one.

    Args:
        logits_behind: of a row of an order and the fed tokens of an answer, the logits (L, V) of its last L tokens.
    """
    orders = orders_of(prompt, example, limits.orders)
    logprobs: list[list[float]] = []
    for order in orders:
        rows: dict[tuple[int, ...], Tensor] = {}
        logprobs.append([])
        for ids in order.answers:
            fed = tuple(ids[:-1])
            if fed not in rows:
                rows[fed] = logits_behind(order, list(fed), len(ids)).float().log_softmax(-1)
            wanted = torch.tensor(ids, device=rows[fed].device)
            logprobs[-1].append(float(rows[fed].gather(1, wanted[:, None]).sum()))
    return weigh(orders, logprobs, per_token=prompt.choice_style.per_token)


@torch.inference_mode()
def choose_packed(
    vlm: AnyVlm,
    groups: Sequence[Sequence[Example]],
    pictures: Sequence[Picture],
    image_tokens: Tensor,
    limits: Limits,
    work: Work,
) -> list[list[Generated]]:
    """Answer multiple-choice questions, all of a picture and all their orders in one packed row, or in few long ones.

    Args:
        image_tokens: those of all pictures in order, (B, N, D) or (sum of N, D).
    """
    asked = [[orders_of(vlm.prompt, example, limits.orders) for example in group] for group in groups]
    at, rows, answers = [], [], []
    for number, of_picture in enumerate(asked):
        for in_row in _in_rows([order for orders in of_picture for order in orders]):
            at.append(number)
            rows.append(pack_onto(vlm.prefix_of(pictures[number]), [Branch(order.ids, []) for order in in_row]))
            answers.append([order.answers for order in in_row])
    scored = iter(score_packed(vlm, rows, tokens_of(vlm, image_tokens, pictures, at), answers, work))
    per_token = vlm.prompt.choice_style.per_token
    return [[weigh(orders, [next(scored) for _ in orders], per_token=per_token) for orders in row] for row in asked]


def _in_rows(orders: Sequence[Order]) -> list[list[Order]]:
    """All orders of a picture's questions, for a row each of some ROW_TOKENS tokens or of a single order."""
    rows: list[list[Order]] = []
    room = 0
    for order in orders:
        if not rows or len(order.ids) > room:
            rows.append([])
            room = ROW_TOKENS
        rows[-1].append(order)
        room -= len(order.ids)
    return rows


@torch.inference_mode()
def score_packed(
    vlm: AnyVlm,
    rows: Sequence[PackedRow],
    image_tokens: Tensor,
    answers: Sequence[Sequence[Sequence[list[int]]]],
    work: Work,
) -> list[list[float]]:
    """The log probability of each answer to each branch of B packed rows, branch by branch.

    The rows are prefilled once. The first token of an answer is predicted from there; answers of several tokens are fed
    in one block behind it, where each sees the prefix, its branch and itself. Shapes: T tokens of the longest row, Q
    tokens of the block.

    Args:
        rows: packed rows without answers.
        answers: for each branch of each row, the ids of answers to it.
    """
    batch = {name: value.to(vlm.device) for name, value in collate(rows, vlm.pad_id).items()}
    segments = batch["segment_ids"]  # (B, T)
    cache = DynamicCache()

    def forward(embeds: Tensor, mask: Tensor, positions: Tensor, tokens: int) -> Tensor:
        work.lm_tokens += tokens
        work.padding_tokens += embeds.shape[0] * embeds.shape[1] - tokens
        return vlm.language_model(  # type: ignore[no-any-return]
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state

    block = _Block.of(rows, answers)
    with vlm.autocast():
        embeds = vlm.embed(batch["input_ids"], image_tokens)
        mask = shared_prefix_mask(segments, segments, vlm.attention, embeds.dtype)
        hidden = forward(embeds, mask, batch["position_ids"], sum(map(len, rows)))  # (B, T, D)
        hidden = hidden[block.branch_rows, block.ends]  # (branches, D)
        logprobs = _logprobs(vlm, hidden, block.first_of, block.first, work)
        if block.fed:
            ids, queries, owners, positions = block.tensors(len(rows), vlm.pad_id, vlm.device)  # (B, Q) each
            cached = (queries[:, :, None] == segments[:, None, :]) | (segments == PREFIX_SEGMENT)[:, None, :]
            itself = (owners[:, :, None] == owners[:, None, :]).tril()
            embeds = vlm.model.get_input_embeddings()(ids)
            mask = attention_mask(torch.cat([cached, itself], dim=2), vlm.attention, embeds.dtype)
            work.decode_tokens += len(block.fed)
            hidden = forward(embeds, mask, positions, len(block.fed))  # (B, Q, D)
            hidden = hidden[[at[0] for at in block.places], [at[1] for at in block.places]]  # (fed tokens, D)
            behind = _logprobs(vlm, hidden, list(range(len(block.fed))), block.following, work)
            for answer, logprob in zip(block.owners, behind, strict=True):
                logprobs[answer] += logprob
    found = iter(logprobs)
    return [[next(found) for _ in of_branch] for of_row in answers for of_branch in of_row]


@dataclass(frozen=True, slots=True)
class _Block:
    """All answers to all branches, numbered, and where the tokens that are fed stand in the (B, Q) block behind rows.

    `ends` and `branch_rows` say where each branch ends, `first_of` is the branch of each answer, `first` its first
    token. Of each fed token: `places` has its row and column, `fed` its id, `segments` that of its branch, `owners` its
    answer, `positions` its position, `following` the token behind it.
    """

    branch_rows: list[int]
    ends: list[int]
    first_of: list[int]
    first: list[int]
    places: list[tuple[int, int]]
    fed: list[int]
    segments: list[int]
    owners: list[int]
    positions: list[int]
    following: list[int]

    @classmethod
    def of(cls, rows: Sequence[PackedRow], answers: Sequence[Sequence[Sequence[list[int]]]]) -> "_Block":
        block = cls([], [], [], [], [], [], [], [], [], [])
        for number, (row, of_row) in enumerate(zip(rows, answers, strict=True)):
            column = 0
            for segment, (end, of_branch) in enumerate(zip(row.ends, of_row, strict=True), start=1):
                block.branch_rows.append(number)
                block.ends.append(end)
                for ids in of_branch:
                    for depth, (token, following) in enumerate(pairwise(ids), start=1):
                        block.places.append((number, column))
                        block.fed.append(token)
                        block.segments.append(segment)
                        block.owners.append(len(block.first))
                        block.positions.append(row.position_ids[end] + depth)
                        block.following.append(following)
                        column += 1
                    block.first_of.append(len(block.ends) - 1)
                    block.first.append(ids[0])
        return block

    def tensors(self, rows: int, pad_id: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ids, segments, owners and positions of the fed tokens, (B, Q) each."""
        shape = rows, 1 + max(column for _, column in self.places)
        at = [row for row, _ in self.places], [column for _, column in self.places]

        def filled(values: list[int], padding: int) -> Tensor:
            block = torch.full(shape, padding)
            block[at] = torch.tensor(values)
            return block.to(device)

        # a segment of its own keeps padding from seeing padding in the cache: its keys have PADDING_SEGMENT
        segments = filled(self.segments, PADDING_SEGMENT - 1)
        return filled(self.fed, pad_id), segments, filled(self.owners, -1), filled(self.positions, 0)


def _logprobs(vlm: AnyVlm, hidden: Tensor, of: Sequence[int], tokens: Sequence[int], work: Work) -> list[float]:
    """The log probability of each of `tokens`, predicted from the hidden state (H, D) that `of` names."""
    found = torch.empty(len(tokens), device=hidden.device)
    owner, wanted = (torch.tensor(values, device=hidden.device) for values in (of, tokens))
    work.head_rows += hidden.shape[0]
    for start in range(0, hidden.shape[0], HEAD_ROWS):
        logprobs = vlm.model.lm_head(hidden[start : start + HEAD_ROWS]).float().log_softmax(-1)
        here = (owner >= start) & (owner < start + HEAD_ROWS)
        found[here] = logprobs[owner[here] - start, wanted[here]]
    return found.tolist()
