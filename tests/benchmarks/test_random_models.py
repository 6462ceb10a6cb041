"""Models made in code: the same every time, whole in their format, with one token a word."""

import pytest
import torch

from tests.support.tiny import tiny_vlm
from vqa_core.benchmarks.random_models import random_vlm, word_tokenizer
from vqa_core.files import InputError
from vqa_core.model.vlm import Vlm, cast_weights

TEXTS = ["what is on the table ?", "a red car"]
CPU = torch.device("cpu")


def make(dtype: torch.dtype = torch.float32, seed: int = 0) -> Vlm:
    return random_vlm("tiny", TEXTS, device=CPU, dtype=dtype, seed=seed)


def test_a_seed_decides_every_weight_and_the_callers_random_numbers_stay() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (make(seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_bf16_holds_the_weights_and_not_the_rotary_frequencies() -> None:
    vlm = make(torch.bfloat16)
    assert {parameter.dtype for parameter in vlm.model.parameters()} == {torch.bfloat16}
    exact = make().language_model.rotary_emb.inv_freq
    assert torch.equal(vlm.language_model.rotary_emb.inv_freq, exact)


def test_casting_keeps_tied_weights_tied() -> None:
    vlm = tiny_vlm(tied=True)
    cast_weights(vlm.model, torch.bfloat16)
    assert vlm.model.lm_head.weight is vlm.model.get_input_embeddings().weight
    assert vlm.dtype == torch.bfloat16


def test_a_word_is_a_token_and_comes_back() -> None:
    tokenizer = word_tokenizer(TEXTS)
    ids = tokenizer("what is on a red table ?", add_special_tokens=False)["input_ids"]
    assert len(ids) == 7
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == "what is on a red table ?"


def test_the_prompt_is_as_long_as_the_real_one_about() -> None:
    prompt = make().prompt
    assert prompt.prefix_ids[0] == prompt.tokenizer.bos_token_id
    assert 30 <= len(prompt.prefix_ids) <= 40
    assert prompt.tokenizer.unk_token_id not in prompt.prefix_ids


def test_an_unknown_shape_is_named() -> None:
    with pytest.raises(InputError, match="'huge' is not known; choose from 7b, small, tiny"):
        random_vlm("huge", TEXTS, device=CPU, dtype=torch.float32)
