"""PROMPT_STYLES: how a question and an answer become text round the image, and from there token ids.

Ids are built chunk by chunk: what stands before the image, the question's chunk, the answer, the end. Nothing is ever
decoded, or split by searching a string, so the ids do not depend on how a tokeniser treats `<image>` or special tokens.
"""

from dataclasses import dataclass
from typing import Any

from vqa_core.files import InputError

_VICUNA = (
    "A chat between a curious {who} and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the {who}'s questions. USER: "
)


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """The fixed text of a prompt: `before_image <image> before_question QUESTION after_question ANSWER end`.

    `end` names the token that closes an answer, or is a line break; "" means the end-of-sequence token.
    Sources: `vicuna_v1`, `llava_v1` and `plain` are LLaVA's conversation.py; `chatml` is SmolLM2's and Qwen's.
    """

    before_image: str = ""
    before_question: str = "\n"
    after_question: str = "\n"
    end: str = ""
    shows_question: bool = True


PROMPT_STYLES: dict[str, PromptStyle] = {
    "vicuna_v1": PromptStyle(before_image=_VICUNA.format(who="user"), after_question=" ASSISTANT:"),
    "llava_v1": PromptStyle(before_image=_VICUNA.format(who="human"), after_question=" ASSISTANT:"),
    "chatml": PromptStyle(
        before_image="<|im_start|>user\n", after_question="<|im_end|>\n<|im_start|>assistant\n", end="<|im_end|>"
    ),
    "bare": PromptStyle(),  # the fewest tokens: for a model that is trained on short answers anyway
    "plain": PromptStyle(before_question="", after_question="", end="\n", shows_question=False),
}


def prompt_style(name: str) -> PromptStyle:
    """Look a style up; an unknown name is an InputError that lists the known ones."""
    if name not in PROMPT_STYLES:
        raise InputError(f"--prompt-style {name!r} is not known; choose from {', '.join(PROMPT_STYLES)}.")
    return PROMPT_STYLES[name]


class PromptEncoder:
    """Token ids of one style with one tokeniser.

    Prompt ids are `prefix_ids` + N image tokens + `branch_ids(question)`, then `answer_ids(answer)` and `end_id`.
    """

    def __init__(self, tokenizer: Any, style: str, instruction: str = "") -> None:
        self.tokenizer = tokenizer
        self.style = prompt_style(style)
        self.instruction = instruction
        self.end_id = self._end_id()
        bos = [tokenizer.bos_token_id] if _adds_bos(tokenizer) else []
        self.prefix_ids: list[int] = bos + self._ids(self.style.before_image)
        self._specials = [str(token) for token in tokenizer.added_tokens_decoder.values()]  # with a role or without

    def text(self, question: str) -> str:
        """The whole prompt as text, `<image>` standing for the picture; for people to read."""
        return f"{self.style.before_image}<image>{self._around(question) if self.style.shows_question else ''}"

    def branch_ids(self, question: str, budget: int | None = None) -> tuple[list[int], int]:
        """Ids of one question's chunk, and how many of the question's tokens were cut to stay within `budget`.

        Text in a question that looks like a special token stays text.
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
        room = len(body) if budget is None else budget - len(head) - len(tail)
        if room < 0:
            raise InputError(
                "The text token budget leaves no room for a question: the prompt's own text takes "
                f"{len(head) + len(tail)} tokens. Raise --text-token-budget."
            )
        return head + body[:room] + tail, max(0, len(body) - room)

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer without its end; text that looks like a special token stays text."""
        return list(self.tokenizer(answer, add_special_tokens=False, split_special_tokens=True)["input_ids"])

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
        end = self.tokenizer.eos_token_id
        if self.style.end == "\n":
            end = self._ids("\n")[-1]  # Llama's tokeniser puts a blank before it
        elif self.style.end:
            end = self.tokenizer.convert_tokens_to_ids(self.style.end)
            if end is None or end == self.tokenizer.unk_token_id:
                raise InputError(
                    f"The tokeniser has no token {self.style.end!r}, which this prompt style ends answers with. "
                    "Choose another --prompt-style, such as vicuna_v1 for Llama-family models."
                )
        if end is None:
            raise InputError("The tokeniser has no end-of-sequence token; choose a --prompt-style that names its end.")
        return int(end)


def _adds_bos(tokenizer: Any) -> bool:
    """Whether the tokeniser itself puts a beginning-of-sequence token before a text."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and len(ids) > 0 and ids[0] == tokenizer.bos_token_id
