"""A model's own chat template as a PromptStyle: rendered with marks where the picture, the question and the answer go.

What comes out is fixed text, which is stored with the weights: a template may print the date or change on the hub.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.prompts.encoder import PromptEncoder, adds_bos
from vqa_core.prompts.styles import ANSWER, IMAGE, OWN_TEMPLATE, PROMPT_STYLES, QUESTION, PromptStyle

_MARKS = (("qqvquestionvqq", "qqvanswervqq"), ("Zzwaskedzzw", "Zzwrepliedzzw"))
"""Two questions with their answers: words that no template cuts, or has in itself."""
_PICTURE = "qqvpicturevqq"
_PRINTED = re.compile(r"""['"]type['"]: ?['"](image|text)['"]""")
"""A list of parts that a template prints as it is."""

Content = str | list[dict[str, str]]


def style_of(speaker: Any) -> PromptStyle:
    """The prompt that a tokeniser's or a processor's chat template writes.

    The picture stands where the template puts an image part, in the place of the token that it writes there; where a
    template takes no image part, on a line of its own before the question. Text between the assistant's header and the
    answer belongs to the prompt. The end is the first special token behind the answer, else the end of the sequence.

    Raises InputError, with the styles that would do, where there is no template or it does not come down to that.
    """
    tokenizer = getattr(speaker, "tokenizer", speaker)
    if not getattr(speaker, "chat_template", None):
        speaker = tokenizer
    if not getattr(speaker, "chat_template", None):
        raise _refusal(tokenizer, "there is none")
    text, again = (_rendered(speaker, tokenizer, question, answer) for question, answer in _MARKS)
    if text != again:
        raise _refusal(tokenizer, "it writes other text round another question")
    try:
        return PromptStyle.of(text)
    except InputError:
        raise _refusal(tokenizer, "its own text has <image>, <question> or <answer> in it") from None


def written_out(settings: ModelSettings, speaker: Any) -> ModelSettings:
    """The settings, the prompt style `template` replaced by the text that `speaker`'s chat template writes."""
    if settings.prompt_style != OWN_TEMPLATE:
        return settings
    return replace(settings, prompt_style=style_of(speaker).text)


def _refusal(tokenizer: Any, why: str) -> InputError:
    return InputError(
        f"The chat template of {tokenizer.name_or_path!r} can't be the prompt: {why}. "
        f"Choose another --prompt-style: {', '.join(_fitting(tokenizer))}."
    )


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


def _rendered(speaker: Any, tokenizer: Any, question: str, answer: str) -> str:
    """The template's text with places for the picture, the question and the answer, up to the end of the answer."""
    picture, content, reply = _ways_of(speaker, tokenizer, question, answer)
    asked = [{"role": "user", "content": content}]
    try:
        whole = _render(speaker, tokenizer, [*asked, {"role": "assistant", "content": reply}], (question, answer))
    except InputError:  # a template may be made for asking only
        whole = _render(speaker, tokenizer, asked, (question,), ask=True) + answer
    before, _, rest = whole.partition(question)
    after, found, closing = rest.partition(answer)
    if not found or before.count(picture) != 1:
        raise _refusal(tokenizer, "it does not put one picture before the question and the answer behind it")
    if tokenizer.bos_token and adds_bos(tokenizer):
        before = before.removeprefix(tokenizer.bos_token)
    return f"{before.replace(picture, IMAGE)}{QUESTION}{after}{ANSWER}{_end_of(closing, tokenizer)}"


def _ways_of(speaker: Any, tokenizer: Any, question: str, answer: str) -> tuple[str, Content, Content]:
    """What stands for the picture, and the question and the answer as the template takes them: in parts, or as text."""
    parts: Content = [{"type": "text", "text": question}]
    shown: Content = [{"type": "image"}, {"type": "text", "text": question}]
    reply: Content = [{"type": "text", "text": answer}]
    line = f"{_PICTURE}\n{question}"
    try:
        without = _render(speaker, tokenizer, [{"role": "user", "content": parts}], (question,))
    except InputError:
        return _PICTURE, line, answer
    try:
        whole = _render(speaker, tokenizer, [{"role": "user", "content": shown}], (question,))
    except InputError:
        whole = without
    bare, head = (text.partition(question)[0] for text in (without, whole))
    if whole == without:
        picture = _image_token(speaker, tokenizer)
        if picture and picture in head:  # one that is made for a single picture and puts it there in any case
            return picture, shown, reply
        return _PICTURE, [{"type": "text", "text": line}], reply
    same = [one == other for one, other in zip(bare, head, strict=False)]
    return _picture_in(head[[*same, False].index(False) :], speaker, tokenizer), shown, reply


def _picture_in(added: str, speaker: Any, tokenizer: Any) -> str:
    """The one token that stands for the picture in the text that an image part adds."""
    named = _image_token(speaker, tokenizer)
    if named and named in added:
        return named
    tokens = _special_tokens(tokenizer).findall(added) or added.split()
    if len(tokens) % 2 == 0:
        raise _refusal(tokenizer, "which of its tokens stands for the picture can't be told")
    return str(tokens[len(tokens) // 2])  # in the midst of a start and an end


def _image_token(speaker: Any, tokenizer: Any) -> str:
    """The token that a processor or a tokeniser says stands for the picture; "" where neither does."""
    named = getattr(speaker, "image_token", None) or getattr(tokenizer, "image_token", None)
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


def _render(
    speaker: Any, tokenizer: Any, messages: list[dict[str, Any]], marks: Sequence[str], *, ask: bool = False
) -> str:
    """The template's text, in which each mark stands once; `ask` ends it where the assistant is to answer."""
    try:
        text = str(speaker.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
    except Exception as error:  # whatever a foreign program may raise
        raise _refusal(tokenizer, f"it says {(str(error) or type(error).__name__).splitlines()[0]!r}") from error
    if any(text.count(mark) != 1 for mark in marks) or _PRINTED.search(text):
        raise _refusal(tokenizer, "it does not write the question once, as it is")
    return text
