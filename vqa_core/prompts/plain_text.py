"""Tokenising text in which nothing is a control token, whatever it looks like.

A tokeniser takes `<image>`, `</s>` or `<|im_end|>` for its token wherever a text has it. A question, an instruction, an
option or an answer means the letters.
"""

from collections.abc import Collection, Sequence
from typing import Any

from vqa_core.files import InputError

_BRACKETS = {"<": ">", "[": "]", "|": "|", "{": "}"}


def added_tokens(tokenizer: Any) -> list[str]:
    """The tokens that are added to a tokeniser's vocabulary, special ones and others."""
    return [str(token) for token in tokenizer.added_tokens_decoder.values()]


def control_tokens(tokenizer: Any) -> dict[str, int]:
    """The added tokens that a text never means, with their ids: special ones, and others in brackets, as `<loc0000>`.

    Words and runs of blanks are added to vocabularies too, to be found in texts.
    """
    return {
        str(token): id
        for id, token in tokenizer.added_tokens_decoder.items()
        if len(str(token)) > 1 and (token.special or _is_bracketed(str(token)))
    }


def break_up(text: str, tokens: Collection[str]) -> str:
    """The text with a blank behind the first letter of each of `tokens`: none of it becomes a token."""
    for token in tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


class PlainText:
    """Ids of plain text with one tokeniser.

    `marks` are words of its vocabulary that are control tokens though nobody added them.
    """

    def __init__(self, tokenizer: Any, marks: Collection[str] = ()) -> None:
        self.tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab() if marks else {}
        self.controls = control_tokens(tokenizer) | {mark: vocabulary[mark] for mark in marks if mark in vocabulary}
        self._names = {id: token for token, id in self.controls.items() if id != tokenizer.unk_token_id}

    def count(self, ids: Sequence[int]) -> int:
        """How many of the ids are control tokens. The one for what is unknown is none: a text may have it."""
        return sum(id in self._names for id in ids)

    def checked(self, text: str, ids: list[int], expected: int = 0) -> list[int]:
        """`ids`, those of `text`, where so many are control tokens as expected; else the ids of its letters.

        Raises InputError where the tokeniser can't be kept from making a control token of letters.
        """
        if self.count(ids) == expected:
            return ids
        found = self._of_letters(text)
        if found is None or self.count(found) != expected:
            token = next(self._names[id] for id in found or ids if id in self._names)
            raise InputError(
                f"The text {token!r} in {text[:60]!r} becomes a token of this model, whatever it is to mean. Write it "
                "otherwise, such as with a blank behind its first letter."
            )
        return found

    def _of_letters(self, text: str) -> list[int] | None:
        """Ids from the tokeniser's own steps without its added tokens; None where it is none of `tokenizers`."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        words = [text]
        if backend.pre_tokenizer is not None:
            words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        return [id for word in words for id in self._of_word(backend.model, word)]

    def _of_word(self, model: Any, word: str) -> list[int]:
        """Ids of a word; a vocabulary that has a control token as a word gets that in two halves."""
        pieces = model.tokenize(word)
        inside = next((self._names[piece.id] for piece in pieces if piece.id in self._names), "")
        at = word.find(inside) if inside else -1
        if at < 0:
            return [piece.id for piece in pieces]
        return self._of_word(model, word[: at + 1]) + self._of_word(model, word[at + 1 :])


def _is_bracketed(token: str) -> bool:
    return len(token) > 2 and _BRACKETS.get(token[0]) == token[-1]
