"""Prompt: one prompt style as token ids with one tokeniser, and what all kinds of prompts share.

Ids are made chunk by chunk: what stands before the picture, the question's chunk, the answer, the end. Nothing is
decoded and encoded again, or split by searching a string, so ids do not depend on how a tokeniser treats `<image>`.
"""

from collections.abc import Collection
from typing import Any

from vqa_core.files import InputError
from vqa_core.prompts.styles import IMAGE, PromptStyle, prompt_style


class Prompt:
    """A style, an instruction and a tokeniser. A prompt does not change after its construction.

    `prefix_ids`: the ids before the picture. `end_id`: the token that ends an answer. `cuts`: whether a question may be
    cut to a budget. `before_answer`, `after_answer`: blanks or text that are learnt and generated with an answer.
    """

    cuts: bool = True
    prefix_ids: list[int]
    end_id: int

    def __init__(self, tokenizer: Any, style: str | PromptStyle, instruction: str) -> None:
        self.tokenizer = tokenizer
        self.style = style if isinstance(style, PromptStyle) else prompt_style(style)
        self.instruction = instruction
        self.before_answer, self.after_answer = self.style.before_answer, self.style.after_answer
        self._before_question = self.style.before_question  # the text in front of the question in its chunk
        self._added_tokens = added_tokens(tokenizer)

    def text(self, question: str) -> str:
        """The whole prompt as text, `<image>` standing for the picture; for people to read."""
        return self._text(question, IMAGE)

    def branch_ids(self, question: str, budget: int | None = None) -> tuple[list[int], int]:
        """Ids of one question's chunk, and how many of the question's tokens were cut to stay within `budget`.

        The text around the question is never cut, even if it is longer than `budget`. Text in a question that looks
        like a special token stays text.
        """
        budget = budget if self.cuts else None
        if not any(token in question for token in self._added_tokens):
            ids = self._chunk_ids(self._before_question + question + self._tail())
            if budget is None or len(ids) <= budget:
                return ids, 0
        head, tail = self._chunk_ids(self._before_question), self._chunk_ids(self._tail())
        body = self._plain_ids(question)
        room = len(body) if budget is None else max(0, budget - len(head) - len(tail))
        return head + body[:room] + tail, max(0, len(body) - room)

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer with the blanks around it, without its end; none for an empty one.

        Text that looks like a special token stays text.
        """
        return self._plain_ids(f"{self.before_answer}{answer}{self.after_answer}") if answer else []

    def decode(self, ids: list[int]) -> str:
        """The text of generated ids, without special tokens and surrounding blanks."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def _text(self, question: str, image: str) -> str:
        style = self.style
        return f"{style.before_image}{image}{style.before_question}{question}{self._tail()}"

    def _tail(self) -> str:
        return (f"\n{self.instruction}" if self.instruction else "") + self.style.after_question

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
