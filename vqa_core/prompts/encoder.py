"""PromptEncoder: the prompt of a LLaVA of parts, whose image tokens and beginning of sequence are put there by us.

Prompt ids are `prefix_ids` + N image tokens + `branch_ids(question)`, then `answer_ids(answer)` and `end_id`.
"""

from collections.abc import Sequence
from typing import Any

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.prompts.choice_style import ChoiceStyle
from vqa_core.prompts.prompt import Prompt
from vqa_core.prompts.styles import IMAGE, PromptStyle


class PromptEncoder(Prompt):
    """Token ids of one style with the tokeniser of a language model."""

    def __init__(
        self,
        tokenizer: Any,
        style: str | PromptStyle,
        instruction: str = "",
        choice_style: ChoiceStyle | None = None,
    ) -> None:
        super().__init__(tokenizer, style, instruction, choice_style)
        self.end_id = self._end_id()
        bos = [tokenizer.bos_token_id] if adds_bos(tokenizer) else []
        self.prefix_ids = bos + self._ids(self.style.before_image)
        if _adds_blank(tokenizer):
            self.before_answer = ""

    def text(self, question: str, choices: Sequence[str] = ()) -> str:
        """As Prompt has it; a style may show no question."""
        return super().text(question, choices) if self.style.shows_question else f"{self.style.before_image}{IMAGE}"

    def branch_ids(
        self, question: str, choices: Sequence[str] = (), *, budget: int | None = None
    ) -> tuple[list[int], int]:
        """As Prompt has it; no ids with a style that shows no question, and an InputError if that has options."""
        if self.style.shows_question:
            return super().branch_ids(question, choices, budget=budget)
        if choices:
            raise InputError(
                f"--prompt-style {self.style.text!r} shows no question, and so no options to choose from. Take "
                "one with <question> in it, such as chatml."
            )
        return [], 0


def prompt_encoder(tokenizer: Any, settings: ModelSettings) -> PromptEncoder:
    """The encoder of the prompt that `settings` name."""
    return PromptEncoder(tokenizer, settings.prompt_style, settings.instruction, ChoiceStyle.of(settings))


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokeniser itself puts a beginning-of-sequence token before a text."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and len(ids) > 0 and ids[0] == tokenizer.bos_token_id


def _adds_blank(tokenizer: Any) -> bool:
    """Whether the tokeniser itself puts a blank before a text, as Llama's does."""
    first = tokenizer.convert_ids_to_tokens(tokenizer("a", add_special_tokens=False)["input_ids"])[:1]
    return any(token.startswith("\u2581") for token in first)
