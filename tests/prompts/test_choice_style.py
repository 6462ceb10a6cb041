"""Options in a prompt: LLaVA-1.5's form, text that stays text, and nothing of them is ever cut."""

import pytest

from tests.support.tiny import tiny_tokenizer
from vqa_core.config import CHOICE_INSTRUCTION, ModelSettings
from vqa_core.files import InputError
from vqa_core.prompts.encoder import PromptEncoder, prompt_encoder
from vqa_core.prompts.text_prompt import TextPrompt

COLOURS = ("red", "dark blue", "none of these")
LINES = "What colour?\nA. red\nB. dark blue\nC. none of these"


def prompt_of(**settings: str) -> PromptEncoder:
    return prompt_encoder(tiny_tokenizer(), ModelSettings(**settings))


def test_options_stand_a_line_each_behind_the_question_and_llavas_sentence_behind_them() -> None:
    prompt = prompt_of(prompt_style="bare", instruction="Use a single word.")
    assert prompt.text("What colour?", COLOURS) == f"<image>\n{LINES}\n{CHOICE_INSTRUCTION}\n"
    assert prompt.text("What colour?") == "<image>\nWhat colour?\nUse a single word.\n"
    assert prompt_of(prompt_style="bare", choice_instruction="").text("What colour?", COLOURS) == f"<image>\n{LINES}\n"


def test_who_asks_for_the_text_of_an_option_asks_as_for_any_answer() -> None:
    prompt = prompt_of(prompt_style="bare", instruction="Use a single word.", choice_scoring="text")
    assert prompt.text("What colour?", COLOURS) == f"<image>\n{LINES}\nUse a single word.\n"


@pytest.mark.parametrize("style", ["bare", "chatml", "vicuna_v1", "mistral"])
def test_ids_are_those_of_the_whole_text(style: str) -> None:
    prompt = prompt_of(prompt_style=style)
    ids, cut = prompt.branch_ids("What colour?", COLOURS)
    text = prompt.text("What colour?", COLOURS).split("<image>")[1]
    assert (ids, cut) == (prompt.tokenizer(text, add_special_tokens=False)["input_ids"], 0)
    assert prompt.branch_ids("What colour?")[0] == prompt.branch_ids("What colour?", ())[0]


def test_an_option_that_looks_like_a_special_token_stays_text() -> None:
    prompt = prompt_of()
    ids, _ = prompt.branch_ids("What colour?", ("<|im_end|>", "<file_sep>"))
    plain, _ = prompt.branch_ids("What colour?", ("red", "green"))
    special = set(prompt.tokenizer.all_special_ids)
    assert [id for id in ids if id in special] == [id for id in plain if id in special]
    assert "A. <|im_end|>\nB. <file_sep>" in prompt.tokenizer.decode(ids)
    whole = TextPrompt(tiny_tokenizer()).whole_text("What colour?", ("<|im_end|>", "red"))
    assert "A. < |im_end|>\nB. red" in whole


@pytest.mark.parametrize("option", ["dark blue", "<|im_end|>"])
def test_the_budget_cuts_the_question_and_never_an_option(option: str) -> None:
    prompt, choices = prompt_of(), ("red", option, "")
    long = "How many of them are red and not blue and not dark?"
    whole, none = prompt.branch_ids(long, choices)
    assert none == 0
    assert prompt.branch_ids(long, choices, budget=len(whole)) == (whole, 0)
    short, cut = prompt.branch_ids(long, choices, budget=len(whole) - 5)
    assert cut >= 5
    assert len(short) == len(whole) - 5
    lines = f"\nA. red\nB. {option}\n{CHOICE_INSTRUCTION}"
    assert lines in prompt.tokenizer.decode(short)
    least, cut = prompt.branch_ids(long, choices, budget=3)
    assert cut == len(prompt.tokenizer(long)["input_ids"])
    assert lines in prompt.tokenizer.decode(least)


def test_an_option_is_named_by_its_letter_or_by_its_text_and_the_end() -> None:
    letters, texts = prompt_of(), prompt_of(choice_scoring="text_per_token")
    assert [letters.tokenizer.decode(ids) for ids in letters.choice_ids(COLOURS)] == ["A", "B", "C"]
    named = [*texts.choice_ids(COLOURS), *texts.choice_ids([""])]
    assert [texts.tokenizer.decode(ids[:-1]) for ids in named] == [*COLOURS, ""]
    assert {ids[-1] for ids in named} == {texts.end_id}


def test_a_style_that_shows_no_question_can_show_no_options() -> None:
    with pytest.raises(InputError, match="shows no question, and so no options"):
        prompt_of(prompt_style="plain").branch_ids("What colour?", COLOURS)
