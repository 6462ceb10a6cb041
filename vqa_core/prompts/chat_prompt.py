"""ChatPrompt: the prompt of a whole model's chat template, cut into what a picture and what a question needs.

A processor gets the opening of a prompt with a picture, and makes its ids. A question's ids are those that the
processor gives to it in the whole prompt: its text is tokenised behind the token that it follows there.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from vqa_core.files import InputError
from vqa_core.prompts.choice_style import ChoiceStyle
from vqa_core.prompts.plain_text import added_tokens
from vqa_core.prompts.prompt import Prompt
from vqa_core.prompts.styles import PromptStyle


class Opening(NamedTuple):
    """What a processor gets with a picture: `text`, the prompt up to the last added token before the question.

    `rest` is the text from there to the question. `adds_special_tokens` is whether the tokeniser is to put its own
    beginning before the text, as in `apply_chat_template`.
    """

    text: str
    rest: str
    adds_special_tokens: bool


def opening_of(style: PromptStyle, tokenizer: Any, image_token: str) -> Opening:
    """The opening of a style's prompts; `image_token` stands for the picture in a processor's text."""
    before = style.before_question
    cut = max((before.rfind(token) + len(token) for token in added_tokens(tokenizer) if token in before), default=0)
    text = style.before_image + image_token + before[:cut]
    begins = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    return Opening(text, before[cut:], adds_special_tokens=not begins)


class ChatPrompt(Prompt):
    """Token ids of one chat template.

    Args:
        image_token: what stands for the picture in the text that the processor gets.
        opening_ids: what the processor makes of the opening with some picture. Only an added token keeps text apart:
            the last `trailing` ids, those behind it, are made anew with each question.
        cuts: whether questions may be cut; not where the processor gets whole prompts.

    Raises InputError where none of `opening_ids` is an added token, or no token ends an answer.
    """

    closed = False

    def __init__(
        self,
        tokenizer: Any,
        style: str | PromptStyle,
        instruction: str = "",
        choice_style: ChoiceStyle | None = None,
        *,
        image_token: str,
        opening_ids: Sequence[int],
        cuts: bool = True,
    ) -> None:
        super().__init__(tokenizer, style, instruction, choice_style)
        self.cuts = cuts
        self.after_answer = ""  # a whole model ends its answers without a blank
        self.end_id = self._end_id()
        self.prefix_ids = self._ids(self.style.before_image)  # for the text budget: those of a picture differ
        self.opening = opening_of(self.style, tokenizer, image_token)
        self._image_token = image_token
        last = max((at for at, id in enumerate(opening_ids) if id in tokenizer.added_tokens_decoder), default=-1)
        if last < 0:
            raise InputError("The model's prompts have no token for the picture.")
        self.trailing = len(opening_ids) - 1 - last
        self._anchor = str(tokenizer.convert_ids_to_tokens(opening_ids[last]))
        self._before_question = str(tokenizer.decode(opening_ids[last + 1 :])) + self.opening.rest

    @property
    def adds_special_tokens(self) -> bool:
        """Whether the tokeniser is to put its own beginning before a whole prompt."""
        return self.opening.adds_special_tokens

    def whole_text(self, question: str, choices: Sequence[str] = ()) -> str:
        """The whole prompt as the processor takes it; what looks like a special token in a question is none."""
        return self._whole(self._image_token, self._broken_up(question, choices))

    def bare_text(self) -> str:
        """The whole prompt without a question and an instruction."""
        return self._whole(self._image_token, "")

    def _chunk_ids(self, text: str) -> list[int]:
        ids = self._ids(self._anchor + text)
        return ids[ids.index(self.tokenizer.convert_tokens_to_ids(self._anchor)) + 1 :]
