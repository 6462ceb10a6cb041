"""The likeliest whole answers to a question, each with its probability: a beam search on the shared prefix.

The picture and the questions are prefilled once. Candidates grow from them as a tree: a token sees its question and
its own ancestors, so all of them share one cache, which is never copied or reordered.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache

from vqa_core.inference.engine import Engine
from vqa_core.model.capabilities import Sharing
from vqa_core.model.collator import collate
from vqa_core.model.packing import PREFIX_SEGMENT, attention_mask
from vqa_core.runs.examples import Example

BEAM = 12  # candidates of a question that are followed at once
ALL_ANSWERS = 256  # allowed answers up to this many are all followed, which makes the search exact
RARE = 1e-5  # a beginning no likelier than that is followed only while too few answers are found; shown as < 0.01 %


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer and the probability that the model gives its tokens, the end included: no calibrated confidence.

    With allowed answers it is the probability among them, as in prediction.
    """

    answer: str
    probability: float


@dataclass(slots=True)
class _Live:
    """A beginning of an answer. `parent` is its place in the step before, `state` in the trie of allowed answers."""

    question: int
    ids: list[int]
    logprob: float
    state: int = 0
    parent: int = 0


@dataclass(slots=True)
class _Found:
    """The whole answers found to one question: log probability by text, the best of equal texts."""

    logprobs: dict[str, float] = field(default_factory=dict)

    def add(self, text: str, logprob: float) -> None:
        self.logprobs[text] = max(logprob, self.logprobs.get(text, -math.inf))

    def floor(self, k: int, least: float) -> float:
        """What a beginning must be above to be worth following; at least `least` once `k` answers are found."""
        best = heapq.nlargest(k, self.logprobs.values())
        return max(best[-1], least) if len(best) >= k else -math.inf

    def best(self, k: int) -> list[Candidate]:
        best = heapq.nlargest(k, self.logprobs.items(), key=lambda item: item[1])
        return [Candidate(text, round(math.exp(min(logprob, 0.0)), 6)) for text, logprob in best]


@torch.inference_mode()
def likeliest(engine: Engine, image: Image.Image, questions: Sequence[str], k: int = 5) -> list[list[Candidate]]:
    """The `k` likeliest whole answers to each question about one picture (RGB), likeliest first.

    Answers longer than the engine allows are left out, so there may be fewer. Where answers are restricted to few, all
    are weighed; else a likelier one may be missed that begins with unlikely tokens or is rare itself. Of several
    spellings of a text the likeliest counts. A model whose questions share no prefix is not searched: its lists are
    empty. Shapes: Q candidates, K cached tokens, D hidden size, V vocabulary.
    """
    vlm, trie = engine.vlm, engine.trie
    width = max(BEAM, k) if trie is None or trie.answers > ALL_ANSWERS else ALL_ANSWERS
    if vlm.sharing is not Sharing.PREFIX:
        return [[] for _ in questions]
    picture = vlm.preprocess(image)
    row = engine.row_of([Example(str(index), "", "", question) for index, question in enumerate(questions)], picture)
    cache = DynamicCache()
    found = [_Found() for _ in questions]

    def forward(embeds: Tensor, seen: Tensor, positions: Tensor) -> Tensor:
        """(1, Q, D) -> hidden states (Q, D); `seen` (Q, K) says what each of the Q attends to."""
        return vlm.language_model(  # type: ignore[no-any-return]
            inputs_embeds=embeds,
            attention_mask=attention_mask(seen[None], vlm.attention, embeds.dtype),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[0]

    with vlm.autocast():
        batch = {name: value.to(vlm.device) for name, value in collate([row], vlm.pad_id).items()}
        segments = batch["segment_ids"][0]  # (K,)
        seen = ((segments == segments[:, None]) | (segments == PREFIX_SEGMENT)).tril()
        embeds = vlm.embed(batch["input_ids"], engine.encode([picture]))
        hidden = forward(embeds, seen, batch["position_ids"])[row.ends]
        seen = seen[row.ends]
        live = [_Live(question, [], 0.0) for question in range(len(questions))]
        for depth in range(1, engine.longest + 1):
            live = _grown(engine, live, hidden, width, found, k)
            if not live or depth == engine.longest:
                break
            ids = torch.tensor([[each.ids[-1] for each in live]], device=vlm.device)
            itself = torch.eye(len(live), dtype=torch.bool, device=vlm.device)
            seen = torch.cat([seen[[each.parent for each in live]], itself], dim=1)  # (Q, K)
            positions = [row.position_ids[row.ends[each.question]] + depth for each in live]
            hidden = forward(vlm.model.get_input_embeddings()(ids), seen, torch.tensor([positions], device=vlm.device))
    return [each.best(k) for each in found]


def _grown(engine: Engine, live: list[_Live], hidden: Tensor, width: int, found: list[_Found], k: int) -> list[_Live]:
    """The beginnings one token longer that may still lead among the `k` best; answers that end go to `found`."""
    tokens, logprobs, states = _options(engine, hidden, [each.state for each in live], width)
    grown: list[list[_Live]] = [[] for _ in found]
    least = -math.inf if width == ALL_ANSWERS else math.log(RARE)
    for parent, (each, options) in enumerate(zip(live, zip(tokens, logprobs, states, strict=True), strict=True)):
        for token, logprob, state in zip(*options, strict=True):
            total = each.logprob + logprob
            if not math.isfinite(total):
                continue
            if token in engine.vlm.stop_ids:
                found[each.question].add(engine.text_of(each.ids), total)
            else:
                grown[each.question].append(_Live(each.question, [*each.ids, token], total, state, parent))
    return [
        each
        for candidates, done in zip(grown, found, strict=True)
        for each in heapq.nlargest(width, candidates, key=lambda each: each.logprob)
        if each.logprob > done.floor(k, least)
    ]


def _options(
    engine: Engine, hidden: Tensor, states: list[int], width: int
) -> tuple[list[list[int]], list[list[float]], list[list[int]]]:
    """Next tokens, log probabilities and trie states of each of Q candidates (Q, D): the end and the likeliest."""
    logits = engine.vlm.model.lm_head(hidden).float()  # (Q, V)
    if engine.trie is not None:
        tokens, logprobs, following = engine.trie.options(logits, torch.tensor(states, device=logits.device))
    else:
        every = logits.log_softmax(-1)
        end = torch.tensor([engine.vlm.prompt.end_id], device=logits.device).expand(len(states), 1)
        _, others = every.scatter(1, end, -math.inf).topk(min(width, every.shape[1] - 1))
        tokens = torch.cat([end, others], dim=1)
        logprobs, following = every.gather(1, tokens), torch.zeros_like(tokens)
    return tokens.tolist(), logprobs.tolist(), following.tolist()
