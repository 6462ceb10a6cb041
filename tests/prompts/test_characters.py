"""What a model generates ends in a whole character, and U+FFFD that an answer holds stays."""

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from tests.support.tiny import tiny_tokenizer
from vqa_core.prompts.characters import decode_whole
from vqa_core.prompts.encoder import PromptEncoder

TEXTS = ("파란색과 흰색", "ok 👍🏽", "a\ufffd", "\ufffd\ufffd b\ufffd", "é", "plain", "세")


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """As SentencePiece's with byte fallback: a few pieces, and a token for each byte of what they do not spell."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁a", "a", "b", "o", "k", "흰"]
    backend = Tokenizer(
        models.BPE({piece: id for id, piece in enumerate(pieces)}, [("▁", "a")], unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("make", [tiny_tokenizer, byte_fallback_tokenizer])
@pytest.mark.parametrize("text", TEXTS)
def test_however_an_answer_is_cut_it_is_a_beginning_of_the_text(make: Any, text: str) -> None:
    tokenizer = make()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    for end in range(len(ids) + 1):
        found = decode_whole(tokenizer, ids[:end])
        assert text.startswith(found), (end, found)
    assert found == text


@pytest.mark.parametrize("make", [tiny_tokenizer, byte_fallback_tokenizer])
def test_what_is_whole_before_a_part_is_kept(make: Any) -> None:
    tokenizer = make()
    ids = tokenizer("세종", add_special_tokens=False)["input_ids"]
    assert decode_whole(tokenizer, ids[:-1]) == "세"
    assert decode_whole(tokenizer, [*ids[:-1], tokenizer.eos_token_id]) == "세"
    blank = tokenizer("a ", add_special_tokens=False)["input_ids"][-1:]
    assert decode_whole(tokenizer, [*ids[:-1], *blank]) == "세"


def test_bytes_that_are_no_character_at_the_end_are_left_out() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer("a세", add_special_tokens=False)["input_ids"]
    (last,) = tokenizer.convert_tokens_to_ids([tokenizer.convert_ids_to_tokens(ids)[-1][-1]])
    assert decode_whole(tokenizer, [*ids, last]) == "a세"


@pytest.mark.parametrize("make", [tiny_tokenizer, byte_fallback_tokenizer])
def test_parts_with_blanks_between_them_are_all_left_out(make: Any) -> None:
    tokenizer = make()
    part = tokenizer("세", add_special_tokens=False)["input_ids"][:-1]
    blank = tokenizer("a ", add_special_tokens=False)["input_ids"][-1:]
    word = tokenizer("ok", add_special_tokens=False)["input_ids"]
    assert decode_whole(tokenizer, [*word, *part, *blank, *part[:1], tokenizer.eos_token_id, *part]) == "ok"


def test_a_prompt_decodes_so() -> None:
    prompt = PromptEncoder(tiny_tokenizer(), "bare")
    ids = prompt.answer_ids("흰")
    assert len(ids) > 1
    assert prompt.decode_whole(ids[:-1]) == ""
    assert prompt.decode_whole(prompt.answer_ids("흰\ufffd")) == "흰\ufffd"
