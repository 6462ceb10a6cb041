"""The shared way of answering: the questions about a picture branch off one prefix, and are decoded together.

Packed rows are prefilled once; then each step decodes one token per question, with one copy of the KV cache per
picture. A step of a row is a block of one token for each of its unfinished questions. The segment mask that keeps
questions apart in the prefill keeps them apart here too, so the cache is never expanded question by question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vqa_core.inference.answer_trie import AnswerTrie
from vqa_core.inference.choosing import choose_packed
from vqa_core.inference.fitting import room_for
from vqa_core.inference.generation import Batch, Generated, Limits, Picture, Work, encode, tokens_of
from vqa_core.model.collator import collate
from vqa_core.model.packing import PADDING_SEGMENT, Branch, PackedRow, pack_onto, shared_prefix_mask
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.unpadded import Lead, RowCache, Rows
from vqa_core.runs.examples import Example


@torch.inference_mode()
def answer_packed(
    vlm: AnyVlm, batch: Batch, pictures: list[Picture], limits: Limits, work: Work, lead: Lead | None = None
) -> list[list[Generated]]:
    """One packed row per picture; all rows of the batch are decoded together, behind the `lead` of all batches.

    A picture with open and with multiple-choice questions has two rows, and is encoded once for both.
    """
    with vlm.autocast():
        image_tokens = encode(vlm, pictures, work)

        def answer_open(at: list[int], groups: list[list[Example]]) -> list[list[Generated]]:
            rows = [
                pack_questions(vlm, group, pictures[place], limits) for place, group in zip(at, groups, strict=True)
            ]
            tokens = tokens_of(vlm, image_tokens, pictures, at)
            return generate_packed(vlm, rows, tokens, limits.longest, limits.trie, work, lead)

        def choose(at: list[int], groups: list[list[Example]]) -> list[list[Generated]]:
            tokens = tokens_of(vlm, image_tokens, pictures, at)
            return choose_packed(vlm, groups, [pictures[place] for place in at], tokens, limits, work, lead)

        return batch.answer_by_kind(answer_open, choose)


def stream_answers(
    vlm: AnyVlm, batch: Batch, pictures: list[Picture], limits: Limits, work: Work, lead: Lead | None = None
) -> Iterator[list[list[Generated]]]:
    """What `answer_packed` returns for open questions, after each token; see `stream_packed`."""
    rows = [pack_questions(vlm, group, picture, limits) for group, picture in zip(batch.groups, pictures, strict=True)]
    yield from stream_packed(vlm, rows, encode(vlm, pictures, work), limits.longest, limits.trie, work, lead)


def pack_questions(vlm: AnyVlm, group: Sequence[Example], picture: Picture, limits: Limits | None = None) -> PackedRow:
    """The packed row of one picture's questions, without answers; cut to leave room for them within the limits."""
    rooms = [None if limits is None else room_for(vlm, picture, example, limits) for example in group]
    branches = [
        Branch(vlm.prompt.branch_ids(example.question, budget=room)[0], [])
        for example, room in zip(group, rooms, strict=True)
    ]
    return pack_onto(vlm.prefix_of(picture), branches)


def generate_packed(
    vlm: AnyVlm,
    rows: Sequence[PackedRow],
    image_tokens: Tensor,
    max_new_tokens: int,
    trie: AnswerTrie | None = None,
    work: Work | None = None,
    lead: Lead | None = None,
) -> list[list[Generated]]:
    """Answer every branch of every row greedily.

    Args:
        rows: B packed rows without answers.
        image_tokens: the image tokens of all rows in order, (B, N, D) or (sum of N, D).
        max_new_tokens: longest answer, its end included.
        trie: the only answers allowed, or None for free generation.
        work: where the work is counted.
        lead: of earlier rows, whose weights are the same.

    Returns:
        For each row the generations of its branches, in order.
    """
    *_, grouped = stream_packed(vlm, rows, image_tokens, max_new_tokens, trie, work, lead)
    return grouped


@torch.inference_mode()
def stream_packed(
    vlm: AnyVlm,
    rows: Sequence[PackedRow],
    image_tokens: Tensor,
    max_new_tokens: int,
    trie: AnswerTrie | None = None,
    work: Work | None = None,
    lead: Lead | None = None,
) -> Iterator[list[list[Generated]]]:
    """What `generate_packed` returns, yielded after each token: the same objects each time, which grow.

    The steps may be taken in different threads.
    """
    work = work if work is not None else Work()
    batch = {name: value.to(vlm.device) for name, value in collate(rows, vlm.pad_id).items()}
    segments = batch["segment_ids"]  # (B, T), grows to (B, K) with the cache
    # of every token: the mask says what is seen, and a sliding window would count other questions' tokens
    cache = RowCache()

    def forward(rows: Rows, embeds: Tensor, positions: Tensor) -> Tensor:
        mask = shared_prefix_mask(rows.segments, segments, vlm.attention, embeds.dtype)
        work.lm_tokens += rows.tokens
        work.padding_tokens += rows.padding
        return rows.read(vlm, embeds, mask, rows.lay(positions), cache)

    owner = [row for row, packed in enumerate(rows) for _ in packed.ends]  # R questions in all: row of each,
    segment = [number for packed in rows for number in range(1, len(packed.ends) + 1)]  # its segment,
    ends = [end for packed in rows for end in packed.ends]  # where its prompt ends,
    position = [packed.position_ids[end] + 1 for packed in rows for end in packed.ends]  # and where its answer begins
    answers = [Generated() for _ in owner]
    grouped: list[list[Generated]] = [[] for _ in rows]
    for row, answer in zip(owner, answers, strict=True):
        grouped[row].append(answer)

    with vlm.autocast():  # never round a `yield`: autocast belongs to the thread
        begun, read = (lead or Lead()).start(vlm, cache, batch)  # tokens of each row that are in the cache
        work.lm_tokens += read
        laid = Rows.of(vlm, segments[:, begun:])
        embeds = vlm.embed(laid.lay(batch["input_ids"][:, begun:]), image_tokens)  # (1, L, D)
        hidden = forward(laid, embeds, batch["position_ids"][..., begun:])
        hidden = laid.take(hidden, owner, [end - begun for end in ends])  # (R, D)
    active = list(range(len(owner)))
    states = torch.zeros(len(owner), dtype=torch.long, device=vlm.device)
    for step in range(max_new_tokens):
        with vlm.autocast():
            tokens, logprobs, states = _choose(vlm, hidden, states, trie, work)
        going = []
        for at, (question, token, logprob) in enumerate(zip(active, tokens.tolist(), logprobs.tolist(), strict=True)):
            answers[question].logprob += logprob
            if token in vlm.stop_ids:
                answers[question].ended = True
            else:
                answers[question].ids.append(token)
                going.append(at)
        active, states = [active[at] for at in going], states[going]
        yield grouped
        if not active or step + 1 == max_new_tokens:
            break
        block = _Block.of(active, owner, len(rows))
        ids = block.fill(vlm.pad_id, [answers[question].ids[-1] for question in active], vlm.device)
        queries = block.fill(PADDING_SEGMENT, [segment[question] for question in active], vlm.device)
        positions = block.fill(0, [position[question] + step for question in active], vlm.device)
        segments = torch.cat([segments, queries], dim=1)
        work.decode_tokens += len(active)
        with vlm.autocast():
            laid = Rows.of(vlm, queries)
            hidden = forward(laid, vlm.model.get_input_embeddings()(laid.lay(ids)), positions)
        hidden = laid.take(hidden, block.rows, block.columns)  # (active, D)


@dataclass(frozen=True, slots=True)
class _Block:
    """Where each unfinished question stands in the next (B, Q) block: its row, and the next free column of it."""

    rows: list[int]
    columns: list[int]
    shape: tuple[int, int]

    @classmethod
    def of(cls, active: list[int], owner: list[int], count: int) -> "_Block":
        used = [0] * count
        columns = []
        for question in active:
            columns.append(used[owner[question]])
            used[owner[question]] += 1
        return cls([owner[question] for question in active], columns, (count, max(used)))

    def fill(self, padding: int, values: list[int], device: torch.device) -> Tensor:
        block = torch.full(self.shape, padding)
        block[self.rows, self.columns] = torch.tensor(values)
        return block.to(device)


def _choose(
    vlm: AnyVlm, hidden: Tensor, states: Tensor, trie: AnswerTrie | None, work: Work
) -> tuple[Tensor, Tensor, Tensor]:
    """Greedy tokens (R,), their log probabilities (R,), next trie states (R,) from hidden states (R, D)."""
    work.head_rows += hidden.shape[0]
    logits = vlm.model.lm_head(hidden).float()  # (R, V)
    if trie is not None:
        return trie.choose(logits, states)
    best, tokens = logits.max(-1)
    return tokens, best - logits.logsumexp(-1), states
