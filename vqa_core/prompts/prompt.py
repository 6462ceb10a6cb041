"""Prompt: one prompt style as token ids with one tokeniser, and what all kinds of prompts share.

Ids are made chunk by chunk: what stands before the picture, the question's chunk, the answer, the end. Nothing is
decoded and encoded again, or split by searching a string, so ids do not depend on how a tokeniser treats `<image>`.
"""

from collections.abc import Collection, Sequence
from typing import Any

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.prompts.characters import decode_whole
from vqa_core.prompts.choice_style import ChoiceStyle
from vqa_core.prompts.plain_text import PlainText, added_tokens, break_up
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
        self._plain = PlainText(tokenizer)
        self._marks: Collection[str] = self._plain.controls  # texts that a processor would not take for text
        self._controls_around: int | None = None  # of the text around a question

    def text(self, question: str, choices: Sequence[str] = ()) -> str:
        """The whole prompt as text, `<image>` standing for the picture; for people to read."""
        return self._whole(IMAGE, self._asked(question, choices))

    def branch_ids(
        self, question: str, choices: Sequence[str] = (), *, budget: int | None = None
    ) -> tuple[list[int], int]:
        """Ids of one question's chunk, and how many of the question's tokens were cut to stay within `budget`.

        The options and the text around the question are never cut, even if they are longer than `budget`. Text in a
        question, an option or the instruction that looks like a special token stays text; an InputError where it can't.
        """
        budget = budget if self.cuts else None
        lines = self.choice_style.lines(choices)
        if not any(token in question + lines for token in self._added_tokens) and not self._is_marked(choices):
            asked = self._asked(question, choices)
            ids = self._chunk_ids(self._before_question + asked + self.style.after_question)
            if self._plain.count(ids) == self._count_around() and (budget is None or len(ids) <= budget):
                return ids, 0
        head, tail = self._chunk_ids(self._before_question), self._tail_ids(choices)
        body, options = self._plain_ids(question + lines), []
        room = len(body) if budget is None else max(0, budget - len(head) - len(tail))
        if lines and len(body) > room:
            body, options = self._plain_ids(question), self._plain_ids(lines)
            room = max(0, room - len(options))
        return head + body[:room] + options + tail, max(0, len(body) - room)

    def count_tokens(self, text: str) -> int:
        """The number of tokens of a text by itself."""
        return len(self._plain_ids(text)) if text else 0

    def first_tokens(self, text: str, count: int) -> str:
        """The beginning of a text that takes up to `count` tokens."""
        if count <= 0:
            return ""
        if not self.tokenizer.is_fast:
            return text[: len(text) * count // max(self.count_tokens(text), 1)]
        ends = self.tokenizer(text_target=text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return text[: ends[count - 1][1]] if count < len(ends) else text

    def count_controls(self, ids: Sequence[int]) -> int:
        """How many of the ids are tokens that a text never means, see `control_tokens`."""
        return self._plain.count(ids)

    def choice_ids(self, choices: Sequence[str]) -> list[list[int]]:
        """For each option the ids that its score is made of: its letter's, or those of its text and the end."""
        end = [] if self.choice_style.by_letter else [self.end_id]
        return [self.answer_ids(name) + end for name in self.choice_style.names(choices)]

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer with the blanks around it, without its end; none for an empty one.

        Text that looks like a special token stays text.
        """
        if not answer:
            return []
        text = f"{self.before_answer}{answer}{self.after_answer}"
        ids = self._tokenise(text, split_special_tokens=True)
        if not self._plain.count(ids):
            return ids
        before, after = (
            self._tokenise(text, split_special_tokens=True) if text else []
            for text in (self.before_answer, self.after_answer)
        )
        learnt = self._plain.count(before + after)  # a template may have control tokens before an answer
        if self._plain.count(ids) == learnt:
            return ids
        return before + self._plain_ids(answer) + after if learnt else self._plain.checked(text, ids)

    def decode(self, ids: list[int]) -> str:
        """The text of generated ids, without special tokens and surrounding blanks."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def decode_whole(self, ids: list[int]) -> str:
        """As `decode`, for ids that go on: without a part of a character at the end."""
        return decode_whole(self.tokenizer, ids)

    def is_broken_up(self, question: str, choices: Sequence[str] = ()) -> bool:
        """Whether a question, its options or the instruction have text in them that a processor might take for marks.

        `whole_text` puts blanks into it.
        """
        return self._broken_up(question, choices) != self._asked(question, choices)

    def _broken_up(self, question: str, choices: Sequence[str]) -> str:
        """The user's own text in a prompt; what looks like a mark is none."""
        return break_up(self._asked(question, choices), self._marks)

    def _asked(self, question: str, choices: Sequence[str]) -> str:
        """The user's own text in a prompt."""
        return question + self.choice_style.lines(choices) + self._instruction(choices)

    def _whole(self, image: str, user: str) -> str:
        """A prompt as text: what stands for the picture, and the user's own text."""
        style = self.style
        return f"{style.before_image}{image}{style.before_question}{user}{style.after_question}"

    def _instruction(self, choices: Sequence[str]) -> str:
        instruction = self.choice_style.instruction if choices else self.instruction
        return f"\n{instruction}" if instruction else ""

    def _tail_ids(self, choices: Sequence[str]) -> list[int]:
        """Ids of what stands behind a question and its options."""
        instruction, after = self._instruction(choices), self.style.after_question
        ids = self._chunk_ids(instruction + after)
        if self._is_marked(choices) or self._plain.count(ids) != self._plain.count(self._chunk_ids(after)):
            return self._plain_ids(instruction) + self._chunk_ids(after)
        return ids

    def _is_marked(self, choices: Sequence[str]) -> bool:
        """Whether the instruction has text in it that looks like a control token."""
        instruction = self._instruction(choices)
        return any(token in instruction for token in self._plain.controls)

    def _count_around(self) -> int:
        """The control tokens in the style's own text around a question."""
        if self._controls_around is None:
            self._controls_around = self._plain.count(
                self._chunk_ids(self._before_question + self.style.after_question)
            )
        return self._controls_around

    def _chunk_ids(self, text: str) -> list[int]:
        """Ids of text behind the picture."""
        return self._ids(text)

    def _ids(self, text: str) -> list[int]:
        return self._tokenise(text) if text else []

    def _plain_ids(self, text: str) -> list[int]:
        """Ids of text in which nothing is a special token; an InputError where the tokeniser can't be kept from it."""
        return self._plain.checked(text, self._tokenise(text, split_special_tokens=True))

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
