"""TextPrompt: the prompt of a model without a chat template. Its processor gets a text and a picture and does the rest.

PaliGemma, BLIP-2, InstructBLIP, Florence-2 and their like are made so: only their processors know where the image
tokens stand and what closes a prompt. So each question goes through the processor whole, with its picture.
"""

from collections.abc import Sequence
from typing import Any

from vqa_core.files import InputError
from vqa_core.prompts.choice_style import ChoiceStyle
from vqa_core.prompts.plain_text import PlainText
from vqa_core.prompts.prompt import Prompt
from vqa_core.prompts.styles import PromptStyle

BARE = "<image><question><answer>"


class TextPrompt(Prompt):
    """The text for a processor, and the ids of answers.

    Args:
        style: a text with `<image>`, `<question>` and `<answer>`. The picture's tokens stand where the processor puts
            them; the text behind `<answer>` ends an answer.
        image_text: what stands for the picture in the text that the processor gets; mostly nothing.
        keeps_apart: whether the prompt's last token keeps an answer apart. Where it does not, an answer is a word that
            follows: with a blank, which some tokenisers put there themselves.
        closed: whether the processor closes a prompt with the token that ends an answer: nothing follows that.
        end_id: the token that ends an answer where neither the style nor the tokeniser names one.
        marks: texts that the processor reads as something else, beside the tokens that were added to its vocabulary.
    """

    cuts = False
    adds_special_tokens = True

    def __init__(
        self,
        tokenizer: Any,
        style: str | PromptStyle = BARE,
        instruction: str = "",
        choice_style: ChoiceStyle | None = None,
        *,
        image_text: str = "",
        keeps_apart: bool = False,
        closed: bool = False,
        end_id: int | None = None,
        marks: Sequence[str] = (),
    ) -> None:
        super().__init__(tokenizer, style, instruction, choice_style)
        self.prefix_ids = []
        self.closed = closed
        self._image_text = image_text
        self._plain = PlainText(tokenizer, marks)
        self._marks = tuple(dict.fromkeys((*self._plain.controls, *marks)))
        if keeps_apart or self._puts_blanks():
            self.before_answer = ""
        else:
            self.before_answer = self.style.before_answer or " "
        named = self._ids(self.style.end)[:1]
        ends = (*named, tokenizer.eos_token_id, tokenizer.sep_token_id, end_id)
        known = [end for end in ends if end is not None]
        if not known:
            raise InputError("The model's tokeniser has no token that ends an answer.")
        self.end_id = known[0]

    def whole_text(self, question: str, choices: Sequence[str] = ()) -> str:
        """The whole prompt as the processor takes it; what looks like a special token in a question is none."""
        return self._whole(self._image_text, self._broken_up(question, choices))

    def bare_text(self) -> str:
        """The whole prompt without a question and an instruction."""
        return self._whole(self._image_text, "")

    def branch_ids(
        self,
        question: str,
        choices: Sequence[str] = (),
        *,
        budget: int | None = None,  # noqa: ARG002
    ) -> tuple[list[int], int]:
        """Ids of the text around and in one question; they are counted, the model gets those of its processor.

        Nothing is ever cut: the processor takes whole questions.
        """
        asked = self._asked(question, choices)
        return self._ids(self._before_question + asked + self.style.after_question) or [self.end_id], 0

    def _puts_blanks(self) -> bool:
        """Whether the tokeniser itself puts a blank before a word that is tokenised alone."""
        both, word = self._ids("is it"), self._ids("it")
        return both[-len(word) :] == word and self._ids("is") == both[: -len(word)]

    def _tokenise(self, text: str, **options: Any) -> list[int]:
        # as a target: UDOP's tokeniser takes nothing else without the places of its words
        return list(self.tokenizer(text_target=text, add_special_tokens=False, **options)["input_ids"])
