"""AnswerLengths: how many tokens the answers take that a model learns, and how long its own answers may be."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vqa_core.prompts.prompt import Prompt
from vqa_core.runs.examples import Example

LEAST = 16
"""Tokens of the longest answer where training answers take fewer, or none are known."""
RARE = 1000  # of so many answers one may be longer than the limit


@dataclass(frozen=True, slots=True)
class AnswerLengths:
    """`counts`: how many answers take so many tokens, their end included."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls({int(tokens): int(count) for tokens, count in record["counts"].items()})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        counts = {str(tokens): self.counts[tokens] for tokens in sorted(self.counts)}
        return {"median": self.median, "most": self.most, "longest": self.longest, "counts": counts}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def median(self) -> int:
        return self._within(-(-self.total // 2))

    @property
    def most(self) -> int:
        """Tokens that at least 99.9 % of the answers keep within."""
        return self._within(self.total - self.total // RARE)

    @property
    def longest(self) -> int:
        return max(self.counts, default=0)

    @property
    def limit(self) -> int:
        """The longest answer that a model may give which learnt these, in tokens, its end included."""
        return max(LEAST, self.most)

    def longer_than(self, limit: int) -> int:
        """How many answers take more tokens than `limit`."""
        return sum(count for tokens, count in self.counts.items() if tokens > limit)

    def _within(self, answers: int) -> int:
        """The tokens of the `answers`-th answer, the shortest first; 0 of none."""
        seen = 0
        for tokens in sorted(self.counts):
            seen += self.counts[tokens]
            if seen >= answers:
                return tokens
        return 0


def measure_answers(prompt: Prompt, examples: Iterable[Example]) -> AnswerLengths:
    """The lengths of the answers to open questions, tokenised as they are learnt."""
    answers = Counter(example.answer for example in examples if example.answer and not example.choices)
    counts: Counter[int] = Counter()
    for answer, count in answers.items():
        counts[len(prompt.answer_ids(answer)) + 1] += count
    return AnswerLengths(dict(counts))
