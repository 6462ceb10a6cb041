"""The likeliest whole answers to a question, each with its probability: a beam search on the shared prefix.

The picture and the questions are prefilled once. Candidates grow from them as a tree: a token sees its question and
its own ancestors, so all candidates share one cache, which is never copied or reordered.
"""

import heapq
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache

from vqa_core.inference.decoding import pack_questions
from vqa_core.inference.engine import Engine
from vqa_core.inference.fitting import fit_batch
from vqa_core.inference.generation import Batch, Picture, encode
from vqa_core.inference.retrying import Failure
from vqa_core.model.capabilities import Sharing
from vqa_core.model.collator import collate
from vqa_core.model.packing import PREFIX_SEGMENT, attention_mask
from vqa_core.runs.examples import Example

logger = logging.getLogger("vqa")

BEAM = 12  # candidates of a question that are followed at once
ALL_ANSWERS = 256  # up to so many allowed answers are all followed, which makes the search exact
RARE = 1e-5  # a beginning that is no likelier is followed only while too few answers are found; shown as < 0.01 %


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer and the probability that the model gives its tokens, the end included: not a calibrated confidence.

    With allowed answers it is the probability among them, as in prediction.
    """

    answer: str
    probability: float


@dataclass(slots=True)
class _Beginning:
    """The first tokens of an answer. `parent` is its place in the step before, `state` that in the trie."""

    question: int
    ids: list[int]
    logprob: float
    state: int = 0
    parent: int = 0


@dataclass(slots=True)
class _Answers:
    """The whole answers to one question so far: log probability by text, the best of equal texts."""

    logprobs: dict[str, float] = field(default_factory=dict)

    def add(self, text: str, logprob: float) -> None:
        self.logprobs[text] = max(logprob, self.logprobs.get(text, -math.inf))

    def floor(self, k: int, least: float) -> float:
        """Log probability above which a beginning is worth following; at least `least` once `k` answers are found."""
        best = heapq.nlargest(k, self.logprobs.values())
        return max(best[-1], least) if len(best) >= k else -math.inf

    def best(self, k: int) -> list[Candidate]:
        best = heapq.nlargest(k, self.logprobs.items(), key=lambda item: item[1])
        return [Candidate(text, round(math.exp(min(logprob, 0.0)), 6)) for text, logprob in best]


@torch.inference_mode()
def find_likeliest(engine: Engine, image: Image.Image, questions: Sequence[str], k: int = 5) -> list[list[Candidate]]:
    """The `k` likeliest whole answers to each question about one picture (RGB), likeliest first.

    Answers longer than the engine allows are left out, so there may be fewer. Where few answers are allowed, all of
    them are weighed; else the search may miss a likelier one that begins with unlikely tokens or is rare itself. Where
    a text has several spellings, the likeliest counts. A model whose questions share no prefix is not searched: its
    lists are empty. So is that of a question with which the search fails.
    """
    if engine.vlm.sharing is not Sharing.PREFIX:
        return [[] for _ in questions]
    return _search_or_halve(engine, engine.vlm.preprocess(image), questions, k)


def _search_or_halve(engine: Engine, picture: Picture, questions: Sequence[str], k: int) -> list[list[Candidate]]:
    try:
        return _search(engine, picture, questions, k)
    except BaseException as error:
        Failure.of(error)  # raises what is to end the process
        if len(questions) == 1:
            logger.warning("The likeliest answers to a question can't be found.", exc_info=error)
            return [[]]
    half = len(questions) // 2
    return [
        found for part in (questions[:half], questions[half:]) for found in _search_or_halve(engine, picture, part, k)
    ]


def _search(engine: Engine, picture: Picture, questions: Sequence[str], k: int) -> list[list[Candidate]]:
    """`find_likeliest` for a preprocessed picture. Shapes: Q candidates, K cached tokens, D hidden size, V
    vocabulary."""
    vlm, limits = engine.vlm, engine.limits
    few = limits.trie is not None and limits.trie.answers <= ALL_ANSWERS
    width = ALL_ANSWERS if few else max(BEAM, k)
    group = [Example(str(index), "", "", question) for index, question in enumerate(questions)]
    (fits,) = fit_batch(vlm, Batch([group]), [picture], limits) or [[None] * len(group)]
    fitting = [at for at, fit in enumerate(fits) if fit is None or not fit.refusal]
    if len(fitting) < len(questions):
        found = iter(_search(engine, picture, [questions[at] for at in fitting], k) if fitting else [])
        return [next(found) if at in fitting else [] for at in range(len(questions))]
    row = pack_questions(vlm, group, picture, limits)
    cache = DynamicCache()
    answers = [_Answers() for _ in questions]

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
        embeds = vlm.embed(batch["input_ids"], encode(vlm, [picture], engine.work))
        hidden = forward(embeds, seen, batch["position_ids"])[row.ends]
        seen = seen[row.ends]
        live = [_Beginning(question, [], 0.0) for question in range(len(questions))]
        for depth in range(1, limits.longest + 1):
            live = _extend(engine, live, hidden, width, answers, k)
            if not live or depth == limits.longest:
                break
            ids = torch.tensor([[each.ids[-1] for each in live]], device=vlm.device)
            itself = torch.eye(len(live), dtype=torch.bool, device=vlm.device)
            seen = torch.cat([seen[[each.parent for each in live]], itself], dim=1)  # (Q, K)
            positions = [row.position_ids[row.ends[each.question]] + depth for each in live]
            hidden = forward(vlm.model.get_input_embeddings()(ids), seen, torch.tensor([positions], device=vlm.device))
    return [each.best(k) for each in answers]


def _extend(
    engine: Engine, live: list[_Beginning], hidden: Tensor, width: int, answers: list[_Answers], k: int
) -> list[_Beginning]:
    """The beginnings, one token longer, that may still lead to one of the `k` best; whole ones go to `answers`."""
    tokens, logprobs, states = _next_tokens(engine, hidden, [each.state for each in live], width)
    longer: list[list[_Beginning]] = [[] for _ in answers]
    least = -math.inf if width == ALL_ANSWERS else math.log(RARE)
    for parent, (each, options) in enumerate(zip(live, zip(tokens, logprobs, states, strict=True), strict=True)):
        for token, logprob, state in zip(*options, strict=True):
            total = each.logprob + logprob
            if not math.isfinite(total):
                continue
            if token in engine.vlm.stop_ids:
                answers[each.question].add(engine.text_of(each.ids), total)
            else:
                longer[each.question].append(_Beginning(each.question, [*each.ids, token], total, state, parent))
    return [
        each
        for candidates, whole in zip(longer, answers, strict=True)
        for each in heapq.nlargest(width, candidates, key=lambda each: each.logprob)
        if each.logprob > whole.floor(k, least)
    ]


def _next_tokens(
    engine: Engine, hidden: Tensor, states: list[int], width: int
) -> tuple[list[list[int]], list[list[float]], list[list[int]]]:
    """Next tokens, log probabilities and trie states of each of Q candidates (Q, D): the end and the likeliest."""
    trie = engine.limits.trie
    logits = engine.vlm.model.lm_head(hidden).float()  # (Q, V)
    if trie is not None:
        tokens, logprobs, following = trie.options(logits, torch.tensor(states, device=logits.device))
    else:
        every = logits.log_softmax(-1)
        end = torch.tensor([engine.vlm.prompt.end_id], device=logits.device).expand(len(states), 1)
        _, others = every.scatter(1, end, -math.inf).topk(min(width, every.shape[1] - 1))
        tokens = torch.cat([end, others], dim=1)
        logprobs, following = every.gather(1, tokens), torch.zeros_like(tokens)
    return tokens.tolist(), logprobs.tolist(), following.tolist()
