"""AnswerTrie: the allowed answers as a tree of token ids, held in flat tensors on the model's device."""

from collections.abc import Iterable

import torch
from torch import Tensor


class AnswerTrie:
    """States and the tokens that may follow. State 0 is the empty answer; every answer ends with the end token.

    The tokens allowed in state s are `tokens[starts[s] : starts[s] + counts[s]]`; `children` holds the states that they
    lead to. `depth` is the number of tokens of the longest answer, its end included; `answers` counts the answers.
    """

    def __init__(self, answers: Iterable[list[int]], end_id: int, device: torch.device) -> None:
        nodes: list[dict[int, int]] = [{}]
        self.depth = 0
        for answer in answers:
            self.depth = max(self.depth, len(answer) + 1)
            state = 0
            for token in [*answer, end_id]:
                if token not in nodes[state]:
                    nodes[state][token] = len(nodes)
                    nodes.append({})
                state = nodes[state][token]
        self.answers = sum(end_id in node for node in nodes)
        if not nodes[0]:
            raise ValueError("an answer trie needs at least one answer")
        counts = [len(node) for node in nodes]
        self.counts = torch.tensor(counts, device=device)
        self.starts = torch.cumsum(self.counts, 0) - self.counts
        self.tokens = torch.tensor([token for node in nodes for token in node], device=device)
        self.children = torch.tensor([child for node in nodes for child in node.values()], device=device)

    def choose(self, logits: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The likeliest allowed token of each row.

        Args:
            logits: (R, V); states: (R,) the state each row is in.

        Returns:
            tokens (R,), log probabilities (R,) among the allowed tokens, next states (R,).
        """
        tokens, logprobs, following = self.options(logits, states)
        logprobs, best = logprobs.max(-1)
        chosen = best[:, None]
        return tokens.gather(1, chosen).squeeze(1), logprobs, following.gather(1, chosen).squeeze(1)

    def options(self, logits: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All C allowed tokens of each row; rows that have fewer are filled up with log probabilities of -inf.

        Args:
            logits: (R, V); states: (R,) the state each row is in.

        Returns:
            tokens (R, C), log probabilities (R, C) among the allowed tokens, the states (R, C) that they lead to.
        """
        slots = torch.arange(int(self.counts[states].max()), device=logits.device)
        allowed = slots < self.counts[states, None]  # (R, C)
        at = torch.where(allowed, self.starts[states, None] + slots, 0)
        scores = logits.gather(1, self.tokens[at]).float().masked_fill(~allowed, float("-inf"))
        return self.tokens[at], scores.log_softmax(-1), self.children[at]
