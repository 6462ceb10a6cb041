"""Prompt: one prompt style as token ids with one tokeniser, and what all kinds of prompts share.

Ids are made chunk by chunk: what stands before the picture, the question's chunk, the answer, the end. Nothing is
decoded and encoded again, or split by searching a string, so ids do not depend on how a tokeniser treats `<image>`.
"""

from collections.abc import Collection, Sequence
from typing import Any

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.prompts.choice_style import ChoiceStyle
from vqa_core.prompts.styles import IMAGE, PromptStyle, prompt_style


class Prompt:
    """A style, an instruction and a tokeniser. A prompt does not change after its construction.

    `prefix_ids`: the ids before the picture. `end_id`: the token that ends an answer. `cuts`: whether a question may be
    cut to a budget. `before_answer`, `after_answer`: blanks or text that are learnt and generated with an answer.
    `choice_style`: how options are shown and answered; without one, as the default settings have it.
    """

    cuts: bool = True
    prefix_ids: list[int]
    end_id: int

    def __init__(
        self, tokenizer: Any, style: str | PromptStyle, instruction: str, choice_style: ChoiceStyle | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.style = style if isinstance(style, PromptStyle) else prompt_style(style)
        self.instruction = instruction
        self.choice_style = choice_style or ChoiceStyle.of(ModelSettings(instruction=instruction))
        self.before_answer, self.after_answer = self.style.before_answer, self.style.after_answer
        self._before_question = self.style.before_question  # the text in front of the question in its chunk
        self._added_tokens = added_tokens(tokenizer)

    def text(self, question: str, choices: Sequence[str] = ()) -> str:
        """The whole prompt as text, `<image>` standing for the picture; for people to read."""
        return self._text(question, IMAGE, choices)

    def branch_ids(
        self, question: str, choices: Sequence[str] = (), *, budget: int | None = None
    ) -> tuple[list[int], int]:
        """Ids of one question's chunk, and how many of the question's tokens were cut to stay within `budget`.

        The options and the text around the question are never cut, even if they are longer than `budget`. Text in a
        question or an option that looks like a special token stays text.
        """
        budget = budget if self.cuts else None
        lines, end = self.choice_style.lines(choices), self._tail(choices)
        if not any(token in question + lines for token in self._added_tokens):
            ids = self._chunk_ids(self._before_question + question + lines + end)
            if budget is None or len(ids) <= budget:
                return ids, 0
        head, tail = self._chunk_ids(self._before_question), self._chunk_ids(end)
        body, options = self._plain_ids(question + lines), []
        room = len(body) if budget is None else max(0, budget - len(head) - len(tail))
        if lines and len(body) > room:
            body, options = self._plain_ids(question), self._plain_ids(lines)
            room = max(0, room - len(options))
        return head + body[:room] + options + tail, max(0, len(body) - room)

    def choice_ids(self, choices: Sequence[str]) -> list[list[int]]:
        """For each option the ids that its score is made of: its letter's, or those of its text and the end."""
        end = [] if self.choice_style.by_letter else [self.end_id]
        return [self.answer_ids(name) + end for name in self.choice_style.names(choices)]

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer with the blanks around it, without its end; none for an empty one.

        Text that looks like a special token stays text.
        """
        return self._plain_ids(f"{self.before_answer}{answer}{self.after_answer}") if answer else []

    def decode(self, ids: list[int]) -> str:
        """The text of generated ids, without special tokens and surrounding blanks."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def _text(self, question: str, image: str, choices: Sequence[str] = ()) -> str:
        asked = question + self.choice_style.lines(choices)
        return f"{self.style.before_image}{image}{self.style.before_question}{asked}{self._tail(choices)}"

    def _tail(self, choices: Sequence[str] = ()) -> str:
        instruction = self.choice_style.instruction if choices else self.instruction
        return (f"\n{instruction}" if instruction else "") + self.style.after_question

    def _chunk_ids(self, text: str) -> list[int]:
        """Ids of text behind the picture."""
        return self._ids(text)

    def _ids(self, text: str) -> list[int]:
        return self._tokenise(text) if text else []

    def _plain_ids(self, text: str) -> list[int]:
        """Ids of text in which nothing is a special token."""
        return self._tokenise(text, split_special_tokens=True)

    def _tokenise(self, text: str, **options: Any) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, **options)["input_ids"])

    def _end_id(self) -> int:
        """The token that the style ends answers with, the first of a text's; an InputError where there is none."""
        end, tokenizer = self.style.end, self.tokenizer
        if not end:
            if tokenizer.eos_token_id is None:
                raise InputError(
                    "The tokeniser has no end-of-sequence token; choose a --prompt-style that names its end."
                )
            return int(tokenizer.eos_token_id)
        if end not in self._added_tokens and not (end.startswith("<") and end.endswith(">")):
            return self._ids("a" + end)[len(self._ids("a"))]  # behind a text: Llama's tokeniser puts a blank before one
        token = tokenizer.convert_tokens_to_ids(end)
        if token is None or (token == tokenizer.unk_token_id and end not in self._added_tokens):
            raise InputError(
                f"The tokeniser has no token {end!r}, which this prompt style ends answers with. "
                "Choose another --prompt-style, such as vicuna_v1 for Llama-family models."
            )
        return int(token)


def added_tokens(tokenizer: Any) -> list[str]:
    """The tokens that are added to a tokeniser's vocabulary, special ones and others."""
    return [str(token) for token in tokenizer.added_tokens_decoder.values()]


def break_up(question: str, tokens: Collection[str]) -> str:
    """The question with a blank behind the first letter of each of `tokens`: none of its text becomes a token."""
    for token in tokens:
        question = question.replace(token, f"{token[0]} {token[1:]}")
    return question
