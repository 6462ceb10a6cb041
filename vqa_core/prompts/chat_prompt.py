"""ChatPrompt: the prompt that a model's own chat template makes, cut into what a picture and what a question needs.

The template is rendered once with words that stand for question and answer; what lies between them is fixed text. Ids
of a question are those that the processor gives to the whole prompt: its text is tokenised behind the token that it
follows there.
"""

import copy
import logging
from dataclasses import astuple, fields, replace
from typing import Any

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.prompts.styles import OWN_TEMPLATE, PLACES, STYLE_NAMES, PromptStyle, prompt_style
from vqa_core.settings import flag_of

logger = logging.getLogger("vqa")

_QUESTION, _ANSWER = "Q7W3QUESTION", "A5T2ANSWER"  # no template has them
OWN = (OWN_TEMPLATE, ModelSettings.prompt_style)
"""Prompt styles that stand for a whole model's own: what is asked for, or nothing is."""


def has_template(processor: Any) -> bool:
    """Whether a processor or its tokeniser has a chat template."""
    return bool(getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None))


def fixed_text(processor: Any) -> PromptStyle:
    """The fixed text of a processor's chat template with a picture and a question, its image token left out.

    Raises InputError for a template that shows the question before the picture, or can't be rendered.
    """
    asked, answered = _rendered(processor)
    before, found, after = asked.partition(_QUESTION)
    head, image, lead = before.rpartition(processor.image_token)
    if not (found and image):
        raise InputError(
            "The chat template does not show a picture and after it the question. Choose another model, or one whose "
            "template does."
        )
    _, _, closing = answered.partition(_ANSWER)
    tail = answered.partition(_QUESTION)[2].partition(_ANSWER)[0]
    added = _added_tokens(processor.tokenizer)
    end = next((token for token in sorted(added, key=len, reverse=True) if closing.lstrip().startswith(token)), "")
    return PromptStyle(
        before_image=head, before_question=lead, after_question=after, after_answer="", end=end,
        # between the prompt and an answer stands a blank with some, nothing with most
        before_answer=tail.removeprefix(after) if tail.startswith(after) else "", shows_question=True,
    )  # fmt: skip


def check_own_ways(settings: ModelSettings) -> None:
    """An InputError for a prompt style, or what else only a LLaVA of parts has, beside a whole model."""
    model = settings.base_model
    if settings.prompt_style not in OWN:
        refuse_named_style(model, settings.prompt_style)
    of_both = ("base_model", "revision", "prompt_style", "instruction")
    for item in fields(settings):
        if item.name not in of_both and getattr(settings, item.name) != item.default:
            raise InputError(
                f"{flag_of(item.name)} is not for --base-model {model}, a whole model, which has parts of its own and "
                "sees pictures as its own processor makes them. Leave it out."
            )


def refuse_named_style(model: str, style: str) -> None:
    """An InputError where a whole model is to be asked with one of our styles."""
    if style in STYLE_NAMES:
        raise InputError(
            f"--prompt-style {style!r} is not for {model!r}: a whole model is asked with its own chat template, or "
            "with a prompt that is spelled out, such as '<image>Question: <question> Answer: <answer>'. Leave it out."
        )


def with_own_prompt(settings: ModelSettings, processor: Any) -> ModelSettings:
    """The settings, their prompt style the text of training where they have one, else what the template writes now.

    Says in the log where the template has come to write something else.
    """
    if settings.prompt_style in STYLE_NAMES:
        style = fixed_text(processor)
        told = not any(place in part for place in PLACES for part in astuple(style)[:4])  # else its text says it not
        return replace(settings, prompt_style=style.text if told else OWN_TEMPLATE)
    try:
        same = fixed_text(processor).text == settings.prompt_style
    except InputError:
        same = False
    if not same:
        logger.warning(
            "The chat template of %s writes another prompt now than %r, which the model was given before. That one is "
            "kept; a new run takes the new one.", settings.base_model, settings.prompt_style,
        )  # fmt: skip
    return settings


class ChatPrompt:
    """Token ids of one chat template. Has what the engine asks of a PromptEncoder.

    `before_text` is what the processor is given with a picture; `branch_ids(question)` follow what it makes of that.
    """

    def __init__(
        self, processor: Any, instruction: str = "", style: str | PromptStyle = OWN_TEMPLATE, *, cuts: bool = True
    ) -> None:
        """`style`: the text of a template that was written out before; else it is rendered now.

        `cuts` is whether questions may be shortened: not where the processor is given them whole.
        """
        self.cuts = cuts
        written = style if isinstance(style, PromptStyle) or style == OWN_TEMPLATE else prompt_style(style)
        self.style = written if isinstance(written, PromptStyle) else fixed_text(processor)
        self.instruction = instruction
        # a copy: the processor's own is called in other threads at the same time
        self.tokenizer = copy.deepcopy(processor.tokenizer)
        self._added = _added_tokens(self.tokenizer)
        self._image = processor.image_token
        lead = self.style.before_question
        cut = max((lead.rfind(token) + len(token) for token in self._added if token in lead), default=0)
        self.before_text = self.style.before_image + self._image + lead[:cut]
        self._lead = lead[cut:]
        self._anchor, self.trailing = "", 0
        self.end_id = self._end_id()
        self.prefix_ids: list[int] = self._ids(self.style.before_image)  # for the text budget: the picture's differ

    def follow(self, ids: list[int]) -> None:
        """Say what the processor made of `before_text` with a picture: a question's ids are those it has behind that.

        Only a token of its own kind keeps text apart; text behind the last one is the question's, `trailing` tokens.
        """
        own = [at for at, token in enumerate(ids) if token in self.tokenizer.added_tokens_decoder]
        if not own:
            raise InputError("The model's prompts have no token for the picture.")
        self._anchor = str(self.tokenizer.convert_ids_to_tokens(ids[own[-1]]))
        self.trailing = len(ids) - 1 - own[-1]
        self._lead = str(self.tokenizer.decode(ids[own[-1] + 1 :])) + self._lead

    @property
    def adds_special_tokens(self) -> bool:
        """Whether the tokeniser is to put its own beginning before the text: as in `apply_chat_template`."""
        bos = self.tokenizer.bos_token
        return not (bos and self.before_text.startswith(bos))

    def text(self, question: str) -> str:
        """The whole prompt as text, `<image>` standing for the picture; for people to read."""
        return self._text(question, "<image>")

    def _text(self, question: str, image: str) -> str:
        return f"{self.style.before_image}{image}{self.style.before_question}{question}{self._tail()}"

    def whole_text(self, question: str) -> str:
        """The whole prompt as the processor takes it; a blank keeps what looks like a special token from being one."""
        for token in self._added:
            question = question.replace(token, f"{token[0]} {token[1:]}")
        return self._text(question, self._image)

    def branch_ids(self, question: str, budget: int | None = None) -> tuple[list[int], int]:
        """Ids of one question's chunk, and how many of the question's tokens were cut to stay within `budget`.

        The text round the question is never cut, though it be longer than `budget`. Text in a question that looks like
        a special token stays text.
        """
        if not any(token in question for token in self._added):
            ids = self._behind(self._lead + question + self._tail())
            if budget is None or not self.cuts or len(ids) <= budget:
                return ids, 0
        head, tail = self._behind(self._lead), self._behind(self._tail())
        body = self._plain_ids(question)
        room = len(body) if budget is None or not self.cuts else max(0, budget - len(head) - len(tail))
        return head + body[:room] + tail, max(0, len(body) - room)

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer without its end; text that looks like a special token stays text."""
        return self._plain_ids(self.style.before_answer + answer) if answer else []

    def decode(self, ids: list[int]) -> str:
        """The text of generated ids, without special tokens and surrounding blanks."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def _plain_ids(self, text: str) -> list[int]:
        """Ids of text in which nothing is a special token."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _tail(self) -> str:
        return (f"\n{self.instruction}" if self.instruction else "") + self.style.after_question

    def _behind(self, text: str) -> list[int]:
        ids = self._ids(self._anchor + text)
        return ids[ids.index(self.tokenizer.convert_tokens_to_ids(self._anchor)) + 1 :] if self._anchor else ids

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _end_id(self) -> int:
        end = self.tokenizer.convert_tokens_to_ids(self.style.end) if self.style.end else self.tokenizer.eos_token_id
        if end is None:
            raise InputError("Neither the chat template nor the tokeniser has a token that ends an answer.")
        return int(end)


def _rendered(processor: Any) -> tuple[str, str]:
    """The template with a question to answer, and with the answer."""
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _QUESTION}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": _ANSWER}]}
    own = {} if getattr(processor, "chat_template", None) else {"chat_template": processor.tokenizer.chat_template}
    try:
        return (
            str(processor.apply_chat_template([user], add_generation_prompt=True, tokenize=False, **own)),
            str(processor.apply_chat_template([user, answer], tokenize=False, **own)),
        )
    except Exception as error:  # a template raises what it likes
        raise InputError(f"The chat template can't be rendered with a picture and a question: {error}") from error


def _added_tokens(tokenizer: Any) -> list[str]:
    return [str(token) for token in tokenizer.added_tokens_decoder.values()]
