"""Multiple choice: each of a question's own options gets a probability, and no other answer is possible.

An option's score is the log probability of the tokens that name it, see `Prompt.choice_ids`, or their mean; its
probability is the softmax over the scores of all options. A question that is shown in several orders is several
branches of the picture's packed row, and an option's probability is the mean over them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from vqa_core.inference.fitting import room_for
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
from vqa_core.model.unpadded import Lead, RowCache, Rows
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


def orders_of(prompt: Prompt, example: Example, wanted: int, room: int | None = None) -> list[Order]:
    """The question in each of its orders, the first of which is the example's own; cut to `room` tokens."""
    places, orders = places_of(example.choices), []
    for shift in rotations(len(places), wanted):
        shown = rearranged(example.choices, places[shift:] + places[:shift])
        answers = prompt.choice_ids(shown)
        own = [answers[place] for place in places[len(places) - shift :] + places[: len(places) - shift]]
        orders.append(Order(shown, prompt.branch_ids(example.question, shown, budget=room)[0], own))
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
    vlm: AnyVlm,
    picture: Picture,
    example: Example,
    limits: Limits,
    logits_behind: Callable[[Order, list[int], int], Tensor],
) -> Generated:
    """Answer a multiple-choice question with a row for each answer; answers that are fed the same tokens share one.

    Args:
        logits_behind: of a row of an order and the fed tokens of an answer, the logits (L, V) of its last L tokens.
    """
    prompt = vlm.prompt
    room = room_for(vlm, picture, example, limits)
    orders = orders_of(prompt, example, limits.orders, room)
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
    lead: Lead | None = None,
) -> list[list[Generated]]:
    """Answer multiple-choice questions, all of a picture and all their orders in one packed row, or in few long ones.

    Args:
        image_tokens: those of all pictures in order, (B, N, D) or (sum of N, D).
    """
    asked = [
        [orders_of(vlm.prompt, example, limits.orders, room_for(vlm, picture, example, limits)) for example in group]
        for group, picture in zip(groups, pictures, strict=True)
    ]
    at, rows, answers = [], [], []
    for number, of_picture in enumerate(asked):
        for in_row in _in_rows([order for orders in of_picture for order in orders]):
            at.append(number)
            rows.append(pack_onto(vlm.prefix_of(pictures[number]), [Branch(order.ids, []) for order in in_row]))
            answers.append([order.answers for order in in_row])
    scored = iter(score_packed(vlm, rows, tokens_of(vlm, image_tokens, pictures, at), answers, work, lead))
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
    lead: Lead | None = None,
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
    cache = RowCache()

    def forward(laid: Rows, embeds: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        work.lm_tokens += laid.tokens
        work.padding_tokens += laid.padding
        return laid.read(vlm, embeds, mask, laid.lay(positions), cache)

    with vlm.autocast():
        begun, read = (lead or Lead()).start(vlm, cache, batch)  # tokens of each row that are in the cache
        work.lm_tokens += read
        laid = Rows.of(vlm, segments[:, begun:])
        embeds = vlm.embed(laid.lay(batch["input_ids"][:, begun:]), image_tokens)  # (1, L, D)
        mask = shared_prefix_mask(laid.segments, segments, vlm.attention, embeds.dtype)
        hidden = forward(laid, embeds, mask, batch["position_ids"][..., begun:])
        owner = [number for number, row in enumerate(rows) for _ in row.ends]  # the row of each branch
        hidden = laid.take(hidden, owner, [end - begun for row in rows for end in row.ends])  # (branches, D)
        of_branches = [of_branch for of_row in answers for of_branch in of_row]
        first = [(branch, ids[0]) for branch, of_branch in enumerate(of_branches) for ids in of_branch]
        logprobs = _logprobs(vlm, hidden, first, work)
        if fed := _fed_tokens(rows, answers):
            work.decode_tokens += len(fed)
            block = _block_of(fed, len(rows), vlm)
            cached = (block["segments"][:, :, None] == segments[:, None, :]) | (segments == PREFIX_SEGMENT)[:, None, :]
            itself = (block["answers"][:, :, None] == block["answers"][:, None, :]).tril()
            laid = Rows.of(vlm, block["segments"])
            embeds = vlm.model.get_input_embeddings()(laid.lay(block["ids"]))
            mask = attention_mask(torch.cat([cached, itself], dim=2), vlm.attention, embeds.dtype)
            hidden = forward(laid, embeds, mask, block["positions"])
            hidden = laid.take(hidden, [token.row for token in fed], [token.column for token in fed])  # (fed tokens, D)
            following = _logprobs(vlm, hidden, [(number, token.following) for number, token in enumerate(fed)], work)
            for token, logprob in zip(fed, following, strict=True):
                logprobs[token.answer] += logprob
    found = iter(logprobs)
    return [[next(found) for _ in of_branch] for of_branch in of_branches]


class _Fed(NamedTuple):
    """A token that is fed: its place in the block, its branch's segment, the number of its answer among all answers,
    its position, and the token that follows it in the answer."""

    row: int
    column: int
    id: int
    segment: int
    answer: int
    position: int
    following: int


def _fed_tokens(rows: Sequence[PackedRow], answers: Sequence[Sequence[Sequence[list[int]]]]) -> list[_Fed]:
    """All tokens of answers but their last, which nothing follows."""
    fed: list[_Fed] = []
    answer = 0
    for number, (row, of_row) in enumerate(zip(rows, answers, strict=True)):
        column = 0
        for segment, (end, of_branch) in enumerate(zip(row.ends, of_row, strict=True), start=1):
            for ids in of_branch:
                for position, (id, following) in enumerate(pairwise(ids), start=row.position_ids[end] + 1):
                    fed.append(_Fed(number, column, id, segment, answer, position, following))
                    column += 1
                answer += 1
    return fed


def _block_of(fed: Sequence[_Fed], rows: int, vlm: AnyVlm) -> dict[str, Tensor]:
    """`ids`, `segments`, `answers` and `positions` of the fed tokens, (B, Q) each."""
    shape = rows, 1 + max(token.column for token in fed)
    at = [token.row for token in fed], [token.column for token in fed]

    def filled(values: list[int], padding: int) -> Tensor:
        block = torch.full(shape, padding)
        block[at] = torch.tensor(values)
        return block.to(vlm.device)

    return {
        "ids": filled([token.id for token in fed], vlm.pad_id),
        "segments": filled([token.segment for token in fed], PADDING_SEGMENT),
        "answers": filled([token.answer for token in fed], -1),
        "positions": filled([token.position for token in fed], 0),
    }


def _logprobs(vlm: AnyVlm, hidden: Tensor, wanted: Sequence[tuple[int, int]], work: Work) -> list[float]:
    """The log probability of each wanted token, given as the number of a hidden state of (H, D) and the token's id."""
    at, tokens = torch.tensor(wanted, device=hidden.device).T
    found = torch.empty(len(wanted), device=hidden.device)
    work.head_rows += hidden.shape[0]
    for start in range(0, hidden.shape[0], HEAD_ROWS):
        logprobs = vlm.model.lm_head(hidden[start : start + HEAD_ROWS]).float().log_softmax(-1)
        here = (at >= start) & (at < start + HEAD_ROWS)
        found[here] = logprobs[at[here] - start, tokens[here]]
    return found.tolist()
