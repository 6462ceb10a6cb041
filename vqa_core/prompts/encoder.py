"""PromptEncoder: a prompt style as token ids, chunk by chunk.

Chunks are what stands before the image, the question's, the answer, the end. Nothing is ever decoded, or split by
searching a string, so the ids do not depend on how a tokeniser treats `<image>` or special tokens.
"""

from typing import Any

from vqa_core.files import InputError
from vqa_core.prompts.styles import IMAGE, PromptStyle, prompt_style


class PromptEncoder:
    """Token ids of one style with one tokeniser.

    Prompt ids are `prefix_ids` + N image tokens + `branch_ids(question)`, then `answer_ids(answer)` and `end_id`.
    """

    cuts = True

    def __init__(self, tokenizer: Any, style: str | PromptStyle, instruction: str = "") -> None:
        self.tokenizer = tokenizer
        self.style = style if isinstance(style, PromptStyle) else prompt_style(style)
        self.instruction = instruction
        self._specials = [str(token) for token in tokenizer.added_tokens_decoder.values()]  # with a role or without
        self.end_id = self._end_id()
        bos = [tokenizer.bos_token_id] if adds_bos(tokenizer) else []
        self.prefix_ids: list[int] = bos + self._ids(self.style.before_image)
        self._before_answer = "" if _adds_blank(tokenizer) else self.style.before_answer

    def text(self, question: str) -> str:
        """The whole prompt as text, `<image>` standing for the picture; for people to read."""
        return f"{self.style.before_image}{IMAGE}{self._around(question) if self.style.shows_question else ''}"

    def branch_ids(self, question: str, budget: int | None = None) -> tuple[list[int], int]:
        """Ids of one question's chunk, and how many of the question's tokens were cut to stay within `budget`.

        The text round the question is never cut, though it be longer than `budget`. Text in a question that looks like
        a special token stays text.
        """
        if not self.style.shows_question:
            return [], 0
        whole = self._around(question)
        if not any(token in question for token in self._specials):
            ids = self._ids(whole)
            if budget is None or len(ids) <= budget:
                return ids, 0
        head, tail = self._ids(self.style.before_question), self._ids(self._tail())
        body = self.tokenizer(question, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        room = len(body) if budget is None else max(0, budget - len(head) - len(tail))
        return head + body[:room] + tail, max(0, len(body) - room)

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer with the blanks round it, without its end; none for an empty one.

        Text that looks like a special token stays text.
        """
        if not answer:
            return []
        text = f"{self._before_answer}{answer}{self.style.after_answer}"
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def decode(self, ids: list[int]) -> str:
        """The text of generated ids, without special tokens and surrounding blanks."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def _tail(self) -> str:
        return (f"\n{self.instruction}" if self.instruction else "") + self.style.after_question

    def _around(self, question: str) -> str:
        return self.style.before_question + question + self._tail()

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _end_id(self) -> int:
        end = self.style.end
        if not end:
            if self.tokenizer.eos_token_id is None:
                raise InputError(
                    "The tokeniser has no end-of-sequence token; choose a --prompt-style that names its end."
                )
            return int(self.tokenizer.eos_token_id)
        if end not in self._specials and not (end.startswith("<") and end.endswith(">")):
            return self._ids("a" + end)[len(self._ids("a"))]  # behind a text: Llama's tokeniser puts a blank before one
        token = self.tokenizer.convert_tokens_to_ids(end)
        if token is None or token == self.tokenizer.unk_token_id:
            raise InputError(
                f"The tokeniser has no token {end!r}, which this prompt style ends answers with. "
                "Choose another --prompt-style, such as vicuna_v1 for Llama-family models."
            )
        return int(token)


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokeniser itself puts a beginning-of-sequence token before a text."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and len(ids) > 0 and ids[0] == tokenizer.bos_token_id


def _adds_blank(tokenizer: Any) -> bool:
    """Whether the tokeniser itself puts a blank before a text, as Llama's does."""
    first = tokenizer.convert_ids_to_tokens(tokenizer("a", add_special_tokens=False)["input_ids"])[:1]
    return any(token.startswith("\u2581") for token in first)
