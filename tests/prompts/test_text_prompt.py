"""The prompt of a model without a chat template: the text for its processor, and the ids of answers."""

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.tiny import ANSWERS, QUESTIONS, tiny_tokenizer
from vqa_core.prompts.text_prompt import BARE, TextPrompt

SPELLED = "<image>Question: <question> Answer: <answer>"


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """One that puts a blank before every text, as those of Llama and T5 do."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["</s>"], show_progress=False)
    backend.train_from_iterator([*QUESTIONS, *ANSWERS, "is it"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


@pytest.mark.parametrize("make", [tiny_tokenizer, metaspace_tokenizer])
@pytest.mark.parametrize("style", [BARE, SPELLED, "<image>Q: <question> A:<answer>"])
def test_an_answer_is_a_word_that_follows(make: Any, style: str) -> None:
    tokenizer = make()
    prompt = TextPrompt(tokenizer, style)
    asked = prompt.whole_text("is it?")
    whole = tokenizer(f"{asked} red", add_special_tokens=False)["input_ids"]
    before = tokenizer(asked, add_special_tokens=False)["input_ids"]
    assert before + prompt.answer_ids("red") == whole
    assert prompt.decode(prompt.answer_ids("red")) == "red"


def test_behind_a_line_break_or_an_encoder_an_answer_is_bare() -> None:
    prompt = TextPrompt(tiny_tokenizer(), keeps_apart=True)
    assert prompt.answer_ids("red") == prompt.tokenizer("red")["input_ids"]
    assert prompt.answer_ids("") == []


def test_what_looks_like_a_token_in_a_question_is_none() -> None:
    prompt = TextPrompt(tiny_tokenizer())
    text = prompt.whole_text("is it <|im_end|>?")
    assert prompt.end_id not in prompt.tokenizer(text)["input_ids"]
    assert prompt.end_id not in prompt.answer_ids("<|im_end|>")
