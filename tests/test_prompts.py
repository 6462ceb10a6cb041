import pytest

from tests.tiny import QUESTIONS, tiny_tokenizer
from vqa_core.files import InputError
from vqa_core.prompts import PROMPT_STYLES, PromptEncoder

LITERALS = {
    "chatml": "<|im_start|>user\n<file_sep>\nHow many?<|im_end|>\n<|im_start|>assistant\n",
    "bare": "<file_sep>\nHow many?\n",
    "plain": "<file_sep>",
    "vicuna_v1": (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: <file_sep>\nHow many? ASSISTANT:"
    ),
    "llava_v1": (
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions. USER: <file_sep>\nHow many? ASSISTANT:"
    ),
}


def prompt_ids(encoder: PromptEncoder, question: str, images: int = 1) -> list[int]:
    image = encoder.tokenizer.convert_tokens_to_ids("<file_sep>")
    return encoder.prefix_ids + [image] * images + encoder.branch_ids(question)[0]


@pytest.mark.parametrize("style", sorted(PROMPT_STYLES))
@pytest.mark.parametrize("adds_bos", [False, True])
def test_ids_built_by_chunk_are_those_of_the_whole_text(style: str, adds_bos: bool) -> None:
    tokenizer = tiny_tokenizer(adds_bos=adds_bos)
    encoder = PromptEncoder(tokenizer, style)
    assert prompt_ids(encoder, "How many?") == tokenizer(LITERALS[style])["input_ids"]
    assert encoder.text("How many?") == LITERALS[style].replace("<file_sep>", "<image>")


def test_the_instruction_follows_the_question_on_a_line_of_its_own() -> None:
    encoder = PromptEncoder(tiny_tokenizer(), "vicuna_v1", "Use a single word.")
    assert encoder.text("How many?").endswith("<image>\nHow many?\nUse a single word. ASSISTANT:")
    literal = LITERALS["vicuna_v1"].replace("many?", "many?\nUse a single word.")
    assert prompt_ids(encoder, "How many?") == encoder.tokenizer(literal)["input_ids"]


@pytest.mark.parametrize("token", ["<file_sep>", "<|im_end|>", "<|im_start|>", "<|endoftext|>"])
def test_text_that_looks_like_a_special_token_stays_text(token: str) -> None:
    tokenizer = tiny_tokenizer()
    encoder = PromptEncoder(tokenizer, "bare")
    special = tokenizer.convert_tokens_to_ids(token)
    question = f"Is {token} in it?"
    ids, _ = encoder.branch_ids(question)
    assert special not in ids
    assert tokenizer.decode(ids) == f"\n{question}\n"
    assert special not in encoder.answer_ids(f"a {token}")
    assert encoder.decode(encoder.answer_ids(f"a {token}")) == f"a {token}"


@pytest.mark.parametrize("style", ["chatml", "bare", "vicuna_v1"])
def test_a_budget_cuts_the_question_and_leaves_the_prompt_round_it(style: str) -> None:
    encoder = PromptEncoder(tiny_tokenizer(), style)
    question = " ".join(QUESTIONS)
    whole, none = encoder.branch_ids(question)
    assert none == 0
    ids, cut = encoder.branch_ids(question, budget=len(whole) - 7)
    assert len(ids) == len(whole) - 7
    assert cut == 7
    tail = encoder.tokenizer(PROMPT_STYLES[style].after_question, add_special_tokens=False)["input_ids"]
    assert ids[-len(tail) :] == tail
    assert encoder.branch_ids(question, budget=len(whole)) == (whole, 0)


def test_a_budget_too_small_for_the_prompt_itself_is_refused() -> None:
    with pytest.raises(InputError, match="Raise --text-token-budget"):
        PromptEncoder(tiny_tokenizer(), "chatml").branch_ids("How many?", budget=3)


def test_an_unknown_style_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"chatmll.*vicuna_v1"):
        PromptEncoder(tiny_tokenizer(), "chatmll")


def test_a_style_whose_end_the_tokeniser_lacks_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.convert_tokens_to_ids = lambda token: None
    with pytest.raises(InputError, match=r"no token '<\|im_end\|>'"):
        PromptEncoder(tokenizer, "chatml")


def test_answers_end_with_the_token_of_the_style_or_of_the_tokeniser() -> None:
    tokenizer = tiny_tokenizer(adds_bos=True)
    assert PromptEncoder(tokenizer, "chatml").end_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert PromptEncoder(tokenizer, "vicuna_v1").end_id == tokenizer.eos_token_id


def test_plain_ends_an_answer_with_a_line_break_as_llava_does() -> None:
    encoder = PromptEncoder(tiny_tokenizer(), "plain")
    assert encoder.tokenizer.decode([encoder.end_id]) == "\n"
