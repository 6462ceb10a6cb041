"""The work of a workload by arithmetic alone: what counters must show, and what times are compared with.

I images, Q questions, P prefix tokens per image (start of the prompt and image tokens), S branch tokens per question
(itself and the prompt after it), D tokens fed after them (generated or learnt); d width, L layers, V vocabulary.

    separate   Q (P + S + D) tokens, Q encodes       each question on its own, as LLaVA's model_vqa.py does
    shared     I P + Q (S + D) tokens, I encodes     the prefix once per image

Answering, the text before the picture, E of the P tokens, is read once for all: E + I (P - E) + Q (S + D) tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TRAINED_PASSES = 2.0  # forward and gradient of activations; a frozen language model has no weight gradients
TRAINED_ATTENTION_PASSES = 3.5  # 2 products forward, 5 backward (FlashAttention-2, arXiv 2307.08691, section 4.1)


@dataclass(frozen=True, slots=True)
class Workload:
    """Questions about images as numbers of tokens; `branches` and `fed` are sums over all questions.

    `once` is E, the tokens of the prefix that are read once for all images; 0 in training.
    """

    images: int
    questions: int
    prefix: int
    branches: int
    fed: int
    once: int = 0

    @classmethod
    def uniform(cls, images: int, questions: int, prefix: int = 286, branch: int = 20, fed: int = 2) -> "Workload":
        """Equal questions; the defaults are a prompt of 30 tokens, 256 image tokens and answers of two tokens."""
        return cls(images, questions, prefix, questions * branch, questions * fed)

    @classmethod
    def of(cls, prefix: int, groups: Sequence[Sequence[tuple[int, int]]], once: int = 0) -> "Workload":
        """A workload from (S, D) of every question, grouped by image."""
        pairs = [pair for group in groups for pair in group]
        return cls(len(groups), len(pairs), prefix, sum(s for s, _ in pairs), sum(d for _, d in pairs), once)

    @property
    def separate_tokens(self) -> int:
        return self.questions * self.prefix + self.branches + self.fed

    @property
    def shared_tokens(self) -> int:
        return self.once + self.images * (self.prefix - self.once) + self.branches + self.fed

    @property
    def head_rows(self) -> int:
        """The number of positions that predict a token: the branch's last, and every one fed after it."""
        return self.questions + self.fed

    @property
    def speedup(self) -> float:
        """Tokens saved by sharing: N (P + S + D) / (P + N (S + D)) for N questions per image."""
        return self.separate_tokens / self.shared_tokens

    def tokens(self, shared: bool) -> int:
        return self.shared_tokens if shared else self.separate_tokens

    def encodes(self, shared: bool) -> int:
        return self.images if shared else self.questions


DACON_TEST = Workload.uniform(images=11_915, questions=40_479)
DACON_TRAIN = Workload.uniform(images=107_231, questions=359_521)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes that determine a model's work. `linear` counts weights in its layers' matrices, without the head."""

    linear: int
    layers: int
    width: int
    vocabulary: int
    encode_flops: float

    @property
    def flops_per_token(self) -> float:
        """FLOPs of the layers' matrices, forward, per token."""
        return 2.0 * self.linear

    @property
    def head_flops(self) -> float:
        """FLOPs of one row of logits."""
        return 2.0 * self.width * self.vocabulary

    def attention_flops(self, work: Workload, shared: bool) -> float:
        """FLOPs of attention: 4 d L for each token and each token that it sees (itself, earlier ones, the prefix)."""
        after = (work.branches + work.fed) / work.questions  # S + D, on average
        prefixes = work.images if shared else work.questions
        pairs = prefixes * work.prefix * work.prefix / 2 + work.questions * after * (work.prefix + after / 2)
        return 4.0 * self.width * self.layers * pairs

    def answer_flops(self, work: Workload, shared: bool = True) -> float:
        """FLOPs of answering all questions."""
        return (
            work.tokens(shared) * self.flops_per_token
            + work.head_rows * self.head_flops
            + work.encodes(shared) * self.encode_flops
            + self.attention_flops(work, shared)
        )

    def train_flops(self, work: Workload, shared: bool = True) -> float:
        """FLOPs of one epoch of projector training, forward and backward, with tower and language model frozen."""
        return (
            TRAINED_PASSES * (work.tokens(shared) * self.flops_per_token + work.head_rows * self.head_flops)
            + work.encodes(shared) * self.encode_flops
            + TRAINED_ATTENTION_PASSES * self.attention_flops(work, shared)
        )


def transformer_encode_flops(linear: int, layers: int, width: int, tokens: int) -> float:
    """FLOPs of a vision tower with `linear` weights in its matrices for one picture of `tokens` tokens."""
    return 2.0 * linear * tokens + 4.0 * width * layers * tokens * tokens
