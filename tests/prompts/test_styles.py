import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from tests.support.tiny import QUESTIONS, tiny_tokenizer
from vqa_core import ROOT
from vqa_core.config import ModelSettings
from vqa_core.data.formats.llava import read_conversation_records
from vqa_core.files import InputError
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.prompts.styles import PROMPT_STYLES, STYLE_NAMES, PromptStyle, changed_prompt, prompt_style

HUMAN = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the human's questions."
)
LLAMA_2 = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  "
    "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
    "Please ensure that your responses are socially unbiased and positive in nature.\n\nIf a question does not make "
    "any sense, or is not factually coherent, explain why instead of answering something not correct. If you don't "
    "know the answer to a question, please don't share false information."
)
LLAVA_LLAMA_2 = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
LITERALS = {
    "chatml": ("<|im_start|>user\n<file_sep>\nHow many?<|im_end|>\n<|im_start|>assistant\n", "dark blue<|im_end|>"),
    "bare": ("<file_sep>\nHow many?\n", "dark blue<|im_end|>"),
    "plain": ("<file_sep>", "dark blue\n"),
    "vicuna_v1": (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: <file_sep>\nHow many? ASSISTANT:",
        " dark blue<|im_end|>",
    ),
    "vicuna_v1_start_end": (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER:<file_sep>How many? ASSISTANT:",
        " dark blue<|im_end|>",
    ),
    "llava_v1": (f"{HUMAN} USER: <file_sep>\nHow many? ASSISTANT:", " dark blue<|im_end|>"),
    "v0": (f"{HUMAN}\n\n### Human: <file_sep>\nHow many?\n### Assistant:", " dark blue\n"),
    "llava_v0": (f"{HUMAN}###Human: <file_sep>\nHow many?###Assistant:", " dark blue#"),
    "llama_2": (f"[INST] <<SYS>>\n{LLAMA_2}\n<</SYS>>\n\n<file_sep>\nHow many? [/INST]", " dark blue <|im_end|>"),
    "llava_llama_2": (
        f"[INST] <<SYS>>\n{LLAVA_LLAMA_2}\n<</SYS>>\n\n<file_sep>\nHow many? [/INST]",
        " dark blue <|im_end|>",
    ),
    "mistral": ("[INST] <file_sep>\nHow many? [/INST]", " dark blue <|im_end|>"),
}
"""The prompt, and what is learnt: the answer up to the first token of its end. <|im_end|> is the end of sequence."""


def prompt_ids(encoder: PromptEncoder, question: str, images: int = 1) -> list[int]:
    image = encoder.tokenizer.convert_tokens_to_ids("<file_sep>")
    return encoder.prefix_ids + [image] * images + encoder.branch_ids(question)[0]


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """A character a token; as Llama's, it puts a blank before every text that it is given."""
    letters = ["▁", "\n", *map(chr, range(33, 127))]
    specials = ["<unk>", "<s>", "</s>"]
    vocabulary = {token: number for number, token in enumerate([*specials, *letters])}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        clean_up_tokenization_spaces=False,
    )


@pytest.mark.parametrize("style", PROMPT_STYLES)
@pytest.mark.parametrize("adds_bos", [False, True])
def test_ids_built_by_chunk_are_those_of_the_whole_text(style: str, adds_bos: bool) -> None:
    tokenizer = tiny_tokenizer(adds_bos=adds_bos)
    encoder = PromptEncoder(tokenizer, style)
    asked, learnt = LITERALS[style]
    learnt = learnt.replace("<|im_end|>", tokenizer.eos_token) if PROMPT_STYLES[style].end == "" else learnt
    assert encoder.text("How many?") == asked.replace("<file_sep>", "<image>")
    ids = prompt_ids(encoder, "How many?")
    assert ids == tokenizer(asked)["input_ids"]
    assert [*ids, *encoder.answer_ids("dark blue"), encoder.end_id] == tokenizer(asked + learnt)["input_ids"]
    assert encoder.decode(encoder.answer_ids("dark blue")) == "dark blue"
    assert encoder.answer_ids("") == []


@pytest.mark.parametrize(
    ("style", "learnt"),
    [
        ("vicuna_v1", "▁red</s>"),
        ("mistral", "▁red▁</s>"),
        ("llama_2", "▁red▁</s>"),
        ("v0", "▁red\n"),
        ("llava_v0", "▁red#"),
        ("plain", "▁red\n"),
    ],
)
def test_a_tokeniser_that_puts_a_blank_before_a_text_gets_no_second_one(style: str, learnt: str) -> None:
    encoder = PromptEncoder(llama_tokenizer(), style)
    ids = [*encoder.answer_ids("red"), encoder.end_id]
    assert "".join(encoder.tokenizer.convert_ids_to_tokens(ids)) == learnt


# LLaMA's pieces, by its ids, as far as the prompt below needs them
LLAMA = {
    0: "<unk>", 1: "<s>", 2: "</s>", 13: "\n", 263: "▁a", 278: "▁the", 304: "▁to", 322: "▁and", 338: "▁is", 385: "▁an",
    319: "▁A", 450: "▁The", 568: "ite", 1001: "ER", 1248: "▁pol", 1404: "▁user", 1546: "▁between", 1724: "▁What",
    1799: "SS", 2654: "▁red", 2927: "▁color", 3148: "▁US", 3593: "▁bus", 4076: "▁gives", 5155: "▁questions",
    5618: "What", 6089: "▁answers", 8444: "▁helpful", 9047: "IST", 12758: "▁curious", 13173: "▁detailed",
    13563: "▁chat", 13566: "ANT", 20255: "▁assistant", 21082: "▁intelligence", 23116: "▁artificial", 29871: "▁",
    29879: "s", 29889: ".", 29892: ",", 29901: ":", 29915: "'", 29973: "?",
}  # fmt: skip
SYSTEM = [
    1, 319, 13563, 1546, 263, 12758, 1404, 322, 385, 23116, 21082, 20255, 29889, 450, 20255, 4076, 8444, 29892, 13173,
    29892, 322, 1248, 568, 6089, 304, 278, 1404, 29915, 29879, 5155, 29889, 3148, 1001, 29901,
]  # fmt: skip
ASKED = [2927, 338, 278, 3593, 29973, 319, 1799, 9047, 13566, 29901]  # color is the bus? ASSISTANT:


def llama_pieces() -> PreTrainedTokenizerFast:
    """LLaMA's tokeniser with the pieces of one prompt; as the real one, it puts a blank before every text."""
    vocabulary = [(LLAMA.get(number, f"<{number}>"), -1.0 if number in LLAMA else -99.0) for number in range(32_000)]
    backend = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize(
    ("style", "before", "behind", "boundaries", "count"),
    [
        ("vicuna_v1_start_end", SYSTEM, [1724, *ASKED], 2, 50),  # what transformers 4.31 made of the team's prompts
        ("vicuna_v1", [*SYSTEM, 29871], [29871, 13, 5618, *ASKED], 0, 51),
        ("vicuna_v1", [*SYSTEM, 29871], [29871, 13, 5618, *ASKED], 2, 53),  # 4.37 leaves the blanks
    ],
)
def test_llama_s_ids_are_those_of_llava(
    style: str, before: list[int], behind: list[int], boundaries: int, count: int
) -> None:
    """Counted by LLaVA itself: the picture is one id, so is each of im_start and im_end, here vectors and no ids."""
    encoder = PromptEncoder(llama_pieces(), style)
    answer = [*encoder.answer_ids("red"), encoder.end_id]
    assert encoder.prefix_ids == before
    assert encoder.branch_ids("What color is the bus?") == (behind, 0)
    assert answer == [2654, 2]
    assert len(before) + 1 + boundaries + len(behind) + len(answer) == count


@pytest.mark.parametrize("style", [name for name, style in PROMPT_STYLES.items() if style.shows_question])
def test_each_turn_of_a_conversation_is_a_question_of_its_own(style: str, tmp_path: Path) -> None:
    turns = [("human", "How big?\n<image>"), ("gpt", "dark"), ("human", "How many?"), ("gpt", "dark blue")]
    record = {"id": "7", "image": "a.png", "conversations": [{"from": who, "value": said} for who, said in turns]}
    first, second = read_conversation_records([record], "x.json", tmp_path).examples
    encoder = PromptEncoder(tiny_tokenizer(), style)
    literal = LITERALS[style][0].replace("<file_sep>", "<image>")
    assert encoder.text(second.question) == literal
    assert encoder.text(first.question) == literal.replace("How many?", "How big?")


def test_the_table_of_the_docs_has_every_style_and_its_text() -> None:
    text = (ROOT / "docs/formats.md").read_text(encoding="utf-8").split("## Prompt styles")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*?\| `(.*)` \|$", text, re.MULTILINE)
    assert [name for name, _ in rows] == list(PROMPT_STYLES)
    for name, shown in rows:
        before, cut, after = shown.replace("\\|", "|").replace("\\n", "\n").partition("…")
        whole = PROMPT_STYLES[name].text
        assert whole.startswith(before) and whole.endswith(after) if cut else whole == before, name


@pytest.mark.parametrize("style", PROMPT_STYLES)
def test_a_style_is_the_text_that_spells_it(style: str) -> None:
    assert prompt_style(PROMPT_STYLES[style].text) == PROMPT_STYLES[style]


def test_a_style_of_ones_own_is_spelt_out() -> None:
    style = prompt_style("Q: <image> <question>? A: <answer> <|im_end|>")
    assert style == PromptStyle("Q: ", " ", "? A:", " ", " ", "<|im_end|>", True)
    encoder = PromptEncoder(tiny_tokenizer(), style.text, "Be short.")
    assert encoder.text("How many") == "Q: <image> How many\nBe short.? A:"


@pytest.mark.parametrize(
    "text",
    [
        "<image>",
        "<image><question>",
        "<question><image><answer>",
        "<answer><image><question>",
        "<image><question><question><answer>",
        "<image> <image><question><answer>",
    ],
)
def test_a_text_without_its_places_in_order_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"once each, in this order"):
        prompt_style(text)


def test_a_text_that_puts_something_in_the_questions_stead_is_refused() -> None:
    with pytest.raises(InputError, match="put <question> where it goes"):
        prompt_style("<image>\nDescribe it. <answer>")
    assert not prompt_style("<image> <answer>").shows_question


def test_the_instruction_follows_the_question_on_a_line_of_its_own() -> None:
    encoder = PromptEncoder(tiny_tokenizer(), "vicuna_v1", "Use a single word.")
    assert encoder.text("How many?").endswith("<image>\nHow many?\nUse a single word. ASSISTANT:")
    literal = LITERALS["vicuna_v1"][0].replace("many?", "many?\nUse a single word.")
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


@pytest.mark.parametrize("style", ["chatml", "bare", "vicuna_v1", "mistral"])
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


def test_a_budget_too_small_for_the_prompt_itself_cuts_the_question_away_and_no_more() -> None:
    encoder = PromptEncoder(tiny_tokenizer(), "chatml")
    whole = encoder.branch_ids("How many?")[0]
    asked = len(encoder.tokenizer("How many?", add_special_tokens=False)["input_ids"])
    ids, cut = encoder.branch_ids("How many?", budget=3)
    assert (len(ids), cut) == (len(whole) - asked, asked)


def test_an_unknown_style_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=f"chatmll.*{', '.join(STYLE_NAMES)}"):
        PromptEncoder(tiny_tokenizer(), "chatmll")


def test_a_style_whose_end_the_tokeniser_lacks_is_refused() -> None:
    with pytest.raises(InputError, match=r"no token '<\|im_end\|>'"):
        PromptEncoder(llama_tokenizer(), "chatml")


def test_answers_end_with_the_token_of_the_style_or_of_the_tokeniser() -> None:
    tokenizer = tiny_tokenizer(adds_bos=True)
    assert PromptEncoder(tokenizer, "chatml").end_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert PromptEncoder(tokenizer, "vicuna_v1").end_id == tokenizer.eos_token_id


def test_another_prompt_than_that_of_training_is_told_by_both_names() -> None:
    trained = ModelSettings(prompt_style="vicuna_v1", instruction="Be short.")
    assert changed_prompt(trained, trained) == ""
    told = changed_prompt(trained, ModelSettings(prompt_style="llava_v1", instruction="Be short."))
    assert told.startswith("The model was trained with the prompt style 'vicuna_v1', not 'llava_v1':")
    told = changed_prompt(trained, ModelSettings(prompt_style=PROMPT_STYLES["llama_2"].text))
    assert "'[INST]" in told
    assert "the instruction 'Be short.', not ''" in told
    assert len(told) < 200
