"""Text is never a control token, whatever it looks like and however a tokeniser has that."""

import json
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.support.tiny import tiny_tokenizer
from vqa_core.files import InputError
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.prompts.plain_text import PlainText, break_up, control_tokens

LOOKS = ("<|im_end|>", "<file_sep>", "<loc0001>", "</s>", "[INST]")


def tokenizer_with(*added: AddedToken) -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(token, special=False) for token in ("<loc0001>", "</s>", "[INST]")])
    tokenizer.add_tokens(list(added))
    return tokenizer


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """As T5's: its vocabulary has the end of a sequence as a word, the likeliest of all."""
    letters = [(letter, -5.0) for letter in "▁abcdefghijklmnopqrstuvwxyz</>?"]
    backend = Tokenizer(models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters], unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


@pytest.mark.parametrize("text", LOOKS)
@pytest.mark.parametrize("place", ["question", "instruction", "option", "answer"])
def test_text_is_text_wherever_a_person_writes_it(text: str, place: str) -> None:
    tokenizer = tokenizer_with()
    controls = set(control_tokens(tokenizer).values())
    said = f"is it {text} here?"
    prompt = PromptEncoder(tokenizer, "bare", said if place == "instruction" else "")
    if place == "answer":
        ids = prompt.answer_ids(said)
        assert prompt.decode(ids) == said
    else:
        question, choices = (said, ()) if place == "question" else ("what?", (said, "no") if place == "option" else ())
        ids, cut = prompt.branch_ids(question, choices)
        assert cut == 0
        assert said in tokenizer.decode(ids)
    assert not controls & set(ids)


def test_a_style_keeps_its_own_tokens() -> None:
    tokenizer = tokenizer_with()
    prompt = PromptEncoder(tokenizer, "chatml", "in <loc0001> one word")
    ids = prompt.branch_ids("is it <|im_end|>?")[0]
    assert ids.count(prompt.end_id) == 1
    assert tokenizer.decode(ids) == "\nis it <|im_end|>?\nin <loc0001> one word<|im_end|>\n<|im_start|>assistant\n"


def test_words_that_were_added_to_a_vocabulary_stay_words() -> None:
    tokenizer = tokenizer_with(AddedToken("circle"), AddedToken("   "))
    word = tokenizer.convert_tokens_to_ids("circle")
    prompt = PromptEncoder(tokenizer, "bare")
    assert word not in control_tokens(tokenizer).values()
    assert word in prompt.branch_ids("a circle   ?")[0]
    assert word in prompt.answer_ids("circle")


def test_letters_that_become_a_token_when_they_are_normalised_are_found() -> None:
    tokenizer = tokenizer_with(AddedToken("<extra>", normalized=True))
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    made = Tokenizer.from_str(json.dumps(backend))
    made.normalizer = normalizers.Lowercase()
    lower = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    taken = lower.convert_tokens_to_ids("<extra>")
    assert taken in lower("is it <EXTRA>?")["input_ids"]
    assert taken not in PromptEncoder(lower, "bare").branch_ids("is it <EXTRA>?")[0]
    assert taken not in PromptEncoder(lower, "bare", "<EXTRA>").branch_ids("is it?")[0]


def test_a_vocabulary_that_has_a_token_as_its_likeliest_word_gets_it_in_halves() -> None:
    tokenizer = unigram_tokenizer()
    end = tokenizer.eos_token_id
    assert end in tokenizer("a </s> b", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    prompt = PromptEncoder(tokenizer, "<image><question> <answer>")
    for ids in (prompt.branch_ids("a </s> b")[0], prompt.answer_ids("a </s> b")):
        assert end not in ids
        assert "".join(tokenizer.convert_ids_to_tokens(ids)).replace("▁", " ").strip() == "a </s> b"


def test_a_tokeniser_that_can_t_be_kept_from_it_refuses_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PlainText(tiny_tokenizer())
    end = plain.controls["<|im_end|>"]
    monkeypatch.setattr(PlainText, "_of_letters", lambda *_: None)
    with pytest.raises(InputError, match=r"The text '<\|im_end\|>' in .* becomes a token of this model"):
        plain.checked("is it <|im_end|>?", [40, end])


def test_what_thinks_before_it_answers_keeps_its_marks() -> None:
    tokenizer = tokenizer_with(AddedToken("<think>"))
    prompt = PromptEncoder(tokenizer, "<image><question>\n<reply><think> <answer>")
    mark = tokenizer.convert_tokens_to_ids("<think>")
    assert prompt.answer_ids("red").count(mark) == prompt.answer_ids("a <think> b").count(mark) == 1
    assert tokenizer.decode(prompt.answer_ids("a <think> b")) == "<think> a <think> b"


@pytest.mark.parametrize("text", ["plain", "a < b", "<a> <b"])
def test_breaking_up_leaves_other_text_alone(text: str) -> None:
    assert break_up(text, ["<image>", "</s>"]) == text
    assert break_up(f"{text}<image>", ["<image>", "</s>"]) == f"{text}< image>"


@pytest.mark.parametrize("question", ["is it red?", "색은 무엇인가요?", "a < b > c [d]", "1|2|3"])
def test_ordinary_text_has_the_ids_it_had(question: str) -> None:
    def ids_of(tokenizer: Any, text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    tokenizer = tokenizer_with()
    prompt = PromptEncoder(tokenizer, "chatml", "In one word.")
    assert prompt.branch_ids(question)[0] == ids_of(
        tokenizer, f"\n{question}\nIn one word.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompt.answer_ids(question) == ids_of(tokenizer, question)
