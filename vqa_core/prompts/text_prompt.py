"""TextPrompt: how a model without a chat template is asked. Its processor gets a text and a picture and does the rest.

PaliGemma, BLIP-2, InstructBLIP, Florence-2 and their like are made so: where the image tokens stand and what closes a
prompt their processors know alone. So each question goes through the processor whole, with its picture.
"""

import copy
from typing import Any

from vqa_core.files import InputError
from vqa_core.prompts.styles import prompt_style

BARE = "<image><question><answer>"


class TextPrompt:
    """The text for a processor, and the ids of answers. Has what the engine asks of a PromptEncoder.

    Args:
        processor: the model's; `image_token` stands in the text where it wants that, see `ask_with`.
        style: a text with `<image>`, `<question>` and `<answer>`. The picture's tokens stand where the processor puts
            them; what stands behind the answer ends it.
        end_id: what ends an answer where neither the style nor the tokeniser has an end.

    `closing` is whether the processor closes a prompt with what ends an answer: nothing follows that.
    """

    cuts = False

    def __init__(self, processor: Any, instruction: str = "", style: str = BARE, *, end_id: int | None = None) -> None:
        self.style = prompt_style(style)
        self.instruction = instruction
        self.tokenizer = copy.deepcopy(processor.tokenizer)  # the processor's own is called in other threads meanwhile
        self.prefix_ids: list[int] = []
        self.image, self.closing = "", False
        self.blank = self.style.before_answer
        named = self._ids(self.style.end)[:1] if self.style.end else []
        own = (self.tokenizer.eos_token_id, self.tokenizer.sep_token_id)
        ends = [end for end in (*named, *own, end_id) if end is not None]
        if not ends:
            raise InputError("The model's tokeniser has no token that ends an answer.")
        self.end_id: int = ends[0]
        self._special = [str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special]

    def ask_with(self, image: str, *, closed: bool) -> None:
        """Say what stands for the picture in the text, and whether the prompt's last token keeps an answer apart.

        Where it does not, an answer is a word that follows: with a blank, which some tokenisers put there themselves.
        """
        self.image = image
        one, two = self._ids("is it"), self._ids("it")
        itself = one[-len(two) :] == two and self._ids("is") == one[: -len(two)]
        self.blank = "" if closed or itself else self.style.before_answer or " "

    def text(self, question: str) -> str:
        """The whole prompt as text, `<image>` standing for the picture; for people to read."""
        return f"{self.style.before_image}<image>{self._asked(question)}"

    def whole_text(self, question: str) -> str:
        """The whole prompt as the processor takes it; a blank keeps what looks like a special token from being one."""
        for token in self._special:
            question = question.replace(token, f"{token[0]} {token[1:]}")
        return f"{self.style.before_image}{self.image}{self._asked(question)}"

    def branch_ids(self, question: str, budget: int | None = None) -> tuple[list[int], int]:  # noqa: ARG002
        """Ids of the text round and in one question; they are counted, the model gets those that its processor makes.

        Nothing is ever cut: the processor takes whole questions.
        """
        return self._ids(self._asked(question)) or [self.end_id], 0

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer without its end; text that looks like a special token stays text."""
        if not answer:
            return []
        text = f"{self.blank}{answer}{self.style.after_answer}"
        made = self.tokenizer(text_target=text, add_special_tokens=False, split_special_tokens=True)
        return list(made["input_ids"])

    def decode(self, ids: list[int]) -> str:
        """The text of generated ids, without special tokens and surrounding blanks."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def _asked(self, question: str) -> str:
        instruction = f"\n{self.instruction}" if self.instruction else ""
        return f"{self.style.before_question}{question}{instruction}{self.style.after_question}"

    def _ids(self, text: str) -> list[int]:
        # as a target: UDOP's tokeniser takes nothing else without the places of its words
        return list(self.tokenizer(text_target=text, add_special_tokens=False)["input_ids"])
