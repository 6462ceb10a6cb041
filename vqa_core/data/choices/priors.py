"""ChoicePrior: chooses an option without looking at the picture, from the training answers alone."""

from collections import Counter, defaultdict

from vqa_core.answers import question_type
from vqa_core.data.choices.forms import right_choice
from vqa_core.runs.choices import write_choice
from vqa_core.runs.examples import Example


class ChoicePrior:
    """The option whose text was the right one most often in training, and the letter that was.

    Counts the right options of training questions with the same text, else of those of the same type, else of all, as
    AnswerPrior does for answers. If no option of a question was ever right, it takes the commonest letter. `places`
    counts the indices of right options.
    """

    def __init__(self) -> None:
        self._of_text: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._of_type: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._all: Counter[str] = Counter()
        self.places: Counter[int] = Counter()

    def add(self, example: Example) -> None:
        """Count a training example; one without choices, or without a right one, counts nothing."""
        right = right_choice(example)
        if right is None:
            return
        text = example.choices[right].strip()
        self._of_text[example.question][text] += 1
        self._of_type[question_type(example.question)][text] += 1
        self._all[text] += 1
        self.places[right] += 1

    def choose(self, example: Example) -> int:
        """The index of the option to guess."""
        kind = question_type(example.question)
        counters = (self._of_text.get(example.question), self._of_type.get(kind), self._all)
        options = [(at, text.strip()) for at, text in enumerate(example.choices) if text]
        for counter in filter(None, counters):
            best, text = max(options, key=lambda option: counter[option[1]])
            if counter[text]:
                return best
        return self.commonest_place(example)

    def commonest_place(self, example: Example) -> int:
        """The index of the option with the letter that was right most often in training, of those with a text."""
        return max((at for at, text in enumerate(example.choices) if text), key=lambda at: self.places[at])

    def answer(self, example: Example) -> str:
        """The option to guess, in the form of the example's answers."""
        return write_choice(self.choose(example), example.choices, example.answer_form)
