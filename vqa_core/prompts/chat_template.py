"""A model's chat template as a PromptStyle: rendered with marks where the picture, the question and the answer go.

A template is rendered here and nowhere else. What comes out is fixed text, which is stored with the weights: a template
may print the date or change on the hub.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any, NamedTuple

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.prompts.encoder import PromptEncoder, adds_bos
from vqa_core.prompts.plain_text import added_tokens
from vqa_core.prompts.styles import (
    ANSWER,
    IMAGE,
    OWN_TEMPLATE,
    PLACES,
    PROMPT_STYLES,
    QUESTION,
    STYLE_NAMES,
    PromptStyle,
)

logger = logging.getLogger("vqa")

_MARKS = (("qqvquestionvqq", "qqvanswervqq"), ("Zzwaskedzzw", "Zzwrepliedzzw"))
"""Two questions with their answers: words that no template cuts, or has in itself."""
_PICTURE = "qqvpicturevqq"
_PRINTED = re.compile(r"""['"]type['"]: ?['"](image|text)['"]""")
"""A list of parts that a template prints as it is."""


def has_template(processor: Any) -> bool:
    """Whether a processor or its tokeniser has a chat template."""
    return bool(getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None))


def style_for_processor(processor: Any) -> PromptStyle:
    """The prompt of a whole model, as its processor is given it: special tokens included.

    It ends where `add_generation_prompt` ends it; what the template writes from there to the answer is learnt with the
    answer. The end is the added token behind the answer, else the end of the sequence.

    Raises InputError where the template does not come down to a picture, a question and an answer.
    """
    texts = _render(processor, _Form(processor.image_token))
    opening, lead = texts.generation_prompt, texts.before_answer
    longest_first = sorted(added_tokens(processor.tokenizer), key=len, reverse=True)
    return PromptStyle(
        before_image=texts.before_image,
        before_question=texts.before_question,
        after_question=opening,
        before_answer=lead.removeprefix(opening) if lead.startswith(opening) else "",
        after_answer="",
        end=next((token for token in longest_first if texts.closing.lstrip().startswith(token)), ""),
        shows_question=True,
    )


def style_for_encoder(tokenizer: Any) -> PromptStyle:
    """The prompt of a LLaVA of parts, as PromptEncoder takes it: without the beginning that the tokeniser adds.

    The picture stands where the template puts an image part, in the place of the token that it writes there; where a
    template takes no image part, on a line of its own before the question. All that the template writes up to the
    answer belongs to the prompt. The end is the text behind the answer up to the first special token, else that token,
    else the end of the sequence.

    Raises InputError, with the styles that would do, where there is no template or it does not come down to that.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise _refusal(tokenizer, "there is none")
    texts = _render(tokenizer, _form_of(tokenizer))
    before = texts.before_image
    if tokenizer.bos_token and adds_bos(tokenizer):
        before = before.removeprefix(tokenizer.bos_token)
    asked = f"{before}{IMAGE}{texts.before_question}{QUESTION}{texts.before_answer}"
    try:
        return PromptStyle.of(f"{asked}{ANSWER}{_end_of(texts.closing, tokenizer)}")
    except InputError:
        raise _refusal(tokenizer, "its own text has <image>, <question> or <answer> in it") from None


def written_out(settings: ModelSettings, tokenizer: Any) -> ModelSettings:
    """A LLaVA's settings, the prompt style `template` replaced by the text that the tokeniser's template writes."""
    if settings.prompt_style != OWN_TEMPLATE:
        return settings
    return replace(settings, prompt_style=style_for_encoder(tokenizer).text)


def with_own_prompt(settings: ModelSettings, processor: Any) -> ModelSettings:
    """A whole model's settings, their prompt style the text of training, or else what the template writes now.

    Says in the log where the template has come to write something else.
    """
    if settings.prompt_style in STYLE_NAMES:
        style = style_for_processor(processor)
        storable = not any(place in part for place in PLACES for part in astuple(style)[:4])
        return replace(settings, prompt_style=style.text if storable else OWN_TEMPLATE)
    try:
        same = style_for_processor(processor).text == settings.prompt_style
    except InputError:
        same = False
    if not same:
        logger.warning(
            "The chat template of %s writes another prompt now than %r, which the model was given before. That one is "
            "kept; a new run takes the new one.", settings.base_model, settings.prompt_style,
        )  # fmt: skip
    return settings


class _Form(NamedTuple):
    """How a template takes a question with a picture.

    `picture` is what stands for the picture in the text that it writes. `in_parts` is whether it takes a list of parts
    and not a text; `shows_picture` whether the picture is a part, and not a line of the question.
    """

    picture: str
    in_parts: bool = True
    shows_picture: bool = True

    def conversation(self, question: str, answer: str | None = None) -> list[dict[str, Any]]:
        """The messages of a question, and of its answer where there is one."""
        line = question if self.shows_picture else f"{self.picture}\n{question}"
        asked: Any = line
        if self.in_parts:
            asked = [{"type": "image"}] * self.shows_picture + [{"type": "text", "text": line}]
        user = {"role": "user", "content": asked}
        if answer is None:
            return [user]
        content = [{"type": "text", "text": answer}] if self.in_parts else answer
        return [user, {"role": "assistant", "content": content}]


class _Texts(NamedTuple):
    """The texts that a template writes around a picture, a question and an answer.

    `generation_prompt` stands behind a question that waits for its answer, `before_answer` behind one that has it.
    """

    before_image: str
    before_question: str
    generation_prompt: str
    before_answer: str
    closing: str


def _render(speaker: Any, form: _Form) -> _Texts:
    """The texts of a processor's or tokeniser's template; an InputError where they depend on the question."""
    texts, again = (_render_marks(speaker, form, question, answer) for question, answer in _MARKS)
    if texts != again:
        raise _refusal(speaker, "it writes other text round another question")
    return texts


def _render_marks(speaker: Any, form: _Form, question: str, answer: str) -> _Texts:
    asked = _write(speaker, form.conversation(question), [question], ask=True)
    try:
        answered = _write(speaker, form.conversation(question, answer), [question, answer])
    except InputError:  # a template may be made for asking only
        answered = asked + answer
    before, _, generation_prompt = asked.partition(question)
    before_answer, found, closing = answered.partition(question)[2].partition(answer)
    if not found or before.count(form.picture) != 1:
        raise _refusal(speaker, "it does not put one picture before the question and the answer behind it")
    before_image, _, before_question = before.partition(form.picture)
    return _Texts(before_image, before_question, generation_prompt, before_answer, closing)


def _write(speaker: Any, messages: list[dict[str, Any]], marks: Sequence[str], *, ask: bool = False) -> str:
    """The template's text, in which each mark stands once; `ask` ends it where the assistant is to answer."""
    writer = speaker if getattr(speaker, "chat_template", None) else speaker.tokenizer
    try:
        text = str(writer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
    except Exception as error:  # whatever a foreign program may raise
        raise _refusal(speaker, f"it says {(str(error) or type(error).__name__).splitlines()[0]!r}") from error
    if any(text.count(mark) != 1 for mark in marks) or _PRINTED.search(text):
        raise _refusal(speaker, "it does not write the question once, as it is")
    return text


def _form_of(tokenizer: Any) -> _Form:
    """How a tokeniser's template takes a picture: found by what it writes of an image part."""
    question = _MARKS[0][0]
    text_only = _Form(_PICTURE, shows_picture=False)
    part = [{"type": "text", "text": question}]
    try:
        without = _write(tokenizer, [{"role": "user", "content": part}], [question])
    except InputError:
        return text_only._replace(in_parts=False)
    try:
        whole = _write(tokenizer, _Form("").conversation(question), [question])
    except InputError:
        whole = without
    bare, head = (text.partition(question)[0] for text in (without, whole))
    if whole == without:
        picture = _image_token(tokenizer)
        # a template that is made for a single picture puts it there in any case
        return _Form(picture) if picture and picture in head else text_only
    same = [one == other for one, other in zip(bare, head, strict=False)]
    return _Form(_picture_in(head[[*same, False].index(False) :], tokenizer))


def _picture_in(added: str, tokenizer: Any) -> str:
    """The one token that stands for the picture in the text that an image part adds."""
    named = _image_token(tokenizer)
    if named and named in added:
        return named
    tokens = _special_tokens(tokenizer).findall(added) or added.split()
    if len(tokens) % 2 == 0:
        raise _refusal(tokenizer, "which of its tokens stands for the picture can't be told")
    return str(tokens[len(tokens) // 2])  # in the midst of a start and an end


def _image_token(tokenizer: Any) -> str:
    """The token that a tokeniser says stands for the picture; "" where it says none."""
    named = getattr(tokenizer, "image_token", None)
    return named if isinstance(named, str) else ""


def _end_of(closing: str, tokenizer: Any) -> str:
    """What closes an answer: all up to the first special token, or a text; nothing where only blanks follow."""
    special = _special_tokens(tokenizer).search(closing)
    text = closing[: special.start()] if special else closing
    if text.strip():
        return text
    return text + special.group() if special else ""


def _special_tokens(tokenizer: Any) -> re.Pattern[str]:
    tokens = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    tokens |= {tokenizer.eos_token} - {None}
    longest_first = sorted(tokens, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _refusal(speaker: Any, why: str) -> InputError:
    tokenizer = getattr(speaker, "tokenizer", speaker)
    return InputError(f"The chat template of {tokenizer.name_or_path!r} can't be the prompt: {why}. {_advice(speaker)}")


def _advice(speaker: Any) -> str:
    """The next step: a whole model is named by its processor, a language model by its tokeniser."""
    if hasattr(speaker, "tokenizer"):
        return (
            "Choose another model, or spell the prompt out with --prompt-style, such as "
            "'<image>Question: <question> Answer: <answer>'."
        )
    return f"Choose another --prompt-style: {', '.join(_fitting(speaker))}."


def _fitting(tokenizer: Any) -> list[str]:
    """The styles that show the question and whose end the tokeniser has."""
    fitting = []
    for name, style in PROMPT_STYLES.items():
        try:
            PromptEncoder(tokenizer, style)
        except InputError:
            continue
        fitting += [name] * style.shows_question
    return fitting
