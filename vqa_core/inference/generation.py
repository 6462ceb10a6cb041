"""What every way of answering shares: the questions it is given, the limits of an answer, what it generates and counts.

A way is a function `(vlm, batch, pictures, limits, work) -> generations`; Engine chooses one.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from vqa_core.inference.answer_trie import AnswerTrie
from vqa_core.model.positions import NO_END, Positions
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.vlm import Vlm
from vqa_core.runs.examples import Example

Picture = Any
"""What `AnyVlm.preprocess` returns; for a Vlm a (3, side, side) tensor."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some pictures, each with some of its questions: one group of examples per picture."""

    groups: list[list[Example]]

    def answer_by_kind(self, answer_open: "KindWay", answer_choices: "KindWay") -> "list[list[Generated]]":
        """Answer open questions in one way and multiple-choice questions in another; what a Way returns.

        A way gets the places of the pictures that it has questions about, and for each of them these questions.
        """
        found: list[dict[bool, Iterator[Generated]]] = [{} for _ in self.groups]
        for is_choice, answer in ((False, answer_open), (True, answer_choices)):
            groups = [[each for each in group if bool(each.choices) == is_choice] for group in self.groups]
            at = [place for place, group in enumerate(groups) if group]
            if at:
                for place, generated in zip(at, answer(at, [groups[place] for place in at]), strict=True):
                    found[place][is_choice] = iter(generated)
        return [
            [next(of_picture[bool(each.choices)]) for each in group]
            for group, of_picture in zip(self.groups, found, strict=True)
        ]

    @property
    def examples(self) -> list[Example]:
        return [example for group in self.groups for example in group]

    def halve(self, pictures: list[Picture]) -> list[tuple["Batch", list[Picture]]]:
        """The same questions as two smaller batches, each with its pictures; none where a single question is left."""
        half = len(self.groups) // 2
        if half:
            return [(Batch(self.groups[:half]), pictures[:half]), (Batch(self.groups[half:]), pictures[half:])]
        (group,) = self.groups
        half = len(group) // 2
        return [(Batch([group[:half]]), pictures), (Batch([group[half:]]), pictures)] if half else []


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer may be: one of those in `trie`, or any text (None); `longest` tokens at most, its end included.

    A multiple-choice question is answered with one of its own options, which are shown in `orders` orders. Question and
    answer keep within the model's `positions`.
    """

    trie: AnswerTrie | None
    longest: int
    orders: int = 1
    positions: Positions = NO_END


@dataclass(slots=True)
class Generated:
    """What was generated for one question: token ids without the end; the log probability includes the end.

    `ended` is False where the limit cut it off. Of a multiple-choice question only the probability of each of its
    options is there. `question_cut` says how a question was cut to fit, `refusal` why it could not be asked.
    """

    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: bool = False
    options: list[float] = field(default_factory=list)
    question_cut: str = ""
    refusal: str = ""


@dataclass(slots=True)
class Work:
    """Counted work, to be compared with the formulas in docs/benchmarks.md. Padding is counted separately."""

    encodes: int = 0
    lm_tokens: int = 0
    padding_tokens: int = 0
    head_rows: int = 0
    decode_tokens: int = 0

    def add_row(self, prompt_tokens: int, answer: Generated) -> None:
        """Count one question in a row of its own. Its first token comes from the prompt, each other one from a step."""
        steps = len(answer.ids) + answer.ended  # the end is chosen like any token
        self.lm_tokens += prompt_tokens + steps - 1
        self.decode_tokens += steps - 1
        self.head_rows += steps


Way = Callable[[Batch, list[Picture], Limits, Work], list[list[Generated]]]
"""A way of answering, bound to its model. For each group it returns the generations of its questions, in order."""
KindWay = Callable[[list[int], list[list[Example]]], list[list[Generated]]]
"""What answers the questions of one kind, see `Batch.answer_by_kind`."""


@torch.inference_mode()
def encode(vlm: AnyVlm, pictures: Sequence[Picture], work: Work) -> Tensor:
    """Preprocessed pictures -> their image tokens in order, (B, N, D) or (sum of N, D)."""
    kept = vlm.features if isinstance(vlm, Vlm) else None
    before = kept.hits if kept else 0
    with vlm.autocast():
        tokens = vlm.encode_images(vlm.stacked(pictures))
    work.encodes += len(pictures) - (kept.hits - before if kept else 0)
    return tokens


def tokens_of(vlm: AnyVlm, image_tokens: Tensor, pictures: Sequence[Picture], at: Sequence[int]) -> Tensor:
    """Of all pictures' image tokens, as `encode` returns them, those of the pictures with these numbers."""
    if list(at) == list(range(len(pictures))):
        return image_tokens
    if image_tokens.ndim == 3:
        return image_tokens[list(at)]
    counts = [vlm.prefix_of(picture).ids.count(vlm.image_token_id) for picture in pictures]
    parts = torch.split(image_tokens, counts)
    return torch.cat([parts[number] for number in at])


class Choices(LogitsProcessor):  # type: ignore[misc]
    """Makes transformers' `generate` choose as `limits` say, and records the log probability of each choice.

    In each of R rows only the likeliest token is left, among those that the trie allows where there is one. The first
    `forced` tokens are not ours to choose: the model begins with them.
    """

    def __init__(self, limits: Limits, rows: int, device: torch.device, forced: int = 0) -> None:
        self.trie, self.forced = limits.trie, forced
        self.states = torch.zeros(rows, dtype=torch.long, device=device)
        self.logprobs: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        if self.trie is None or len(self.logprobs) < self.forced:
            best, tokens = scores.max(-1)
            self.logprobs.append(best - scores.logsumexp(-1))
        else:
            tokens, logprobs, self.states = self.trie.choose(scores, self.states)
            self.logprobs.append(logprobs)
        return torch.full_like(scores, float("-inf")).scatter_(1, tokens[:, None], 0.0)


def cut(ids: list[int], logprobs: list[float], stop_ids: Collection[int]) -> Generated:
    """What was generated up to the first end token; `generate` pads the rows that end early."""
    kept = next((at for at, token in enumerate(ids) if token in stop_ids), len(ids))
    ended = kept < len(ids)
    return Generated(ids[:kept], sum(logprobs[: kept + ended]), ended)
