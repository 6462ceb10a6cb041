"""ChoiceStyle: how a prompt shows the options of a multiple-choice question, and what a model answers to choose one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from vqa_core.config import ModelSettings
from vqa_core.runs.choices import letter, list_choices


@dataclass(frozen=True, slots=True)
class ChoiceStyle:
    """The form of LLaVA-1.5: the question, a line per option (`A. red`), an instruction.

    `instruction` stands in the place of the instruction of open questions. `scoring` is ModelSettings.choice_scoring.
    """

    instruction: str
    scoring: str

    @classmethod
    def of(cls, settings: ModelSettings) -> Self:
        """The style of a model's settings. Who asks for an option's text asks as for any short answer."""
        letters = settings.choice_scoring == "letter"
        return cls(settings.choice_instruction if letters else settings.instruction, settings.choice_scoring)

    @property
    def by_letter(self) -> bool:
        return self.scoring == "letter"

    @property
    def per_token(self) -> bool:
        """Whether an option's score is the mean over its tokens, so that long options are not at a disadvantage."""
        return self.scoring == "text_per_token"

    def lines(self, choices: Sequence[str]) -> str:
        """The options as they follow the question, each on a line of its own; a blank one only keeps its letter."""
        return "".join(f"\n{line}" for line in list_choices(choices))

    def names(self, choices: Sequence[str]) -> list[str]:
        """What a model answers to choose each of the options: its letter, or its text."""
        return [letter(index) for index in range(len(choices))] if self.by_letter else list(choices)


def places_of(choices: Sequence[str]) -> list[int]:
    """The places of the choices that are not blank, which are those to choose from; all if every one is blank."""
    return [place for place, choice in enumerate(choices) if choice] or list(range(len(choices)))


def rearranged(choices: Sequence[str], order: Sequence[int]) -> tuple[str, ...]:
    """The choices in another order: `order` says which of them each place shows. Blank ones stay where they are."""
    shown = list(choices)
    for place, source in zip(places_of(choices), order, strict=True):
        shown[place] = choices[source]
    return tuple(shown)
