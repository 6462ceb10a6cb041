"""AnswerPrior: answers questions without looking at the picture, from the training answers alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from vqa_core.answers import question_type
from vqa_core.data.choices.priors import ChoicePrior
from vqa_core.files import InputError
from vqa_core.runs.examples import Example


class AnswerPrior:
    """The most common training answer to a question: the question-only baseline, and the fallback for a broken image.

    Counts the answers to training questions with the same text, else to those of the same type, else to all. Of
    equally common answers, the first seen wins. `answers` counts all training answers. A question with choices gets one
    of them (`guess`).
    """

    def __init__(self, train: Iterable[Example]) -> None:
        by_text: defaultdict[str, Counter[str]] = defaultdict(Counter)
        by_type: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.answers: Counter[str] = Counter()
        self._choices = ChoicePrior()
        for example in train:
            self._choices.add(example)
            if example.answer is not None:
                by_text[example.question][example.answer] += 1
                self.answers[example.answer] += 1
        for text, counter in by_text.items():
            by_type[question_type(text)].update(counter)
        if not self.answers:
            raise InputError("there is no training answer to learn from. Prepare the run with a train.csv first.")
        self._by_text = {text: counter.most_common(1)[0][0] for text, counter in by_text.items()}
        self._by_type = {kind: counter.most_common(1)[0][0] for kind, counter in by_type.items()}
        self._commonest = self.answers.most_common(1)[0][0]

    def guess(self, example: Example) -> str:
        """The answer to guess for an example, one of its choices if it has any."""
        return self._choices.answer(example) if example.choices else self.answer(example.question)

    def answer(self, question: str) -> str:
        """The answer to guess for `question`."""
        if question in self._by_text:
            return self._by_text[question]
        return self._by_type.get(question_type(question), self._commonest)
