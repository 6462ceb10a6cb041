"""Ids put together from a picture's prefix and a question's chunk are those the processor gives to the whole prompt."""

from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.tiny import ANSWERS, QUESTIONS, tiny_picture
from tests.support.tiny_hub import KINDS, TEMPLATED, tokenizer_of
from vqa_core.files import InputError
from vqa_core.prompts.chat_prompt import ChatPrompt, opening_of
from vqa_core.prompts.chat_template import style_for_processor
from vqa_core.prompts.styles import PromptStyle, prompt_style


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """As Llama's: a blank is a sign of its own, put before the first text and no other."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    backend.train_from_iterator([*QUESTIONS, *ANSWERS, "USER: \n ASSISTANT:"] * 3, trainer)
    backend.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<unk>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )


def processor_of(kind: str, tokenizer: PreTrainedTokenizerFast | None = None, template: str | None = None) -> Any:
    made = KINDS[kind]
    return made.processor(tokenizer or tokenizer_of(made), made.template if template is None else template)


def prompt_of(processor: Any, instruction: str = "", style: PromptStyle | None = None, **options: Any) -> ChatPrompt:
    """The prompt behind a picture that is one token, or behind `opening_ids`."""
    image = {"image_token": processor.image_token, "opening_ids": [processor.image_token_id]}
    return ChatPrompt(processor.tokenizer, style or style_for_processor(processor), instruction, **(image | options))


def joined(processor: Any, question: str, instruction: str = "") -> tuple[list[int], list[int]]:
    """Ids put together from chunks, and those of the whole prompt; each from the same picture."""
    opening = opening_of(style_for_processor(processor), processor.tokenizer, processor.image_token)

    def ids(text: str) -> list[int]:
        added = opening.adds_special_tokens
        given = processor(text=[text], images=[tiny_picture(0)], return_tensors="pt", add_special_tokens=added)
        return given["input_ids"][0].tolist()  # type: ignore[no-any-return]

    before = ids(opening.text)
    prompt = prompt_of(processor, instruction, opening_ids=before)
    asked = f"{question}\n{instruction}" if instruction else question
    content = [{"type": "image"}, {"type": "text", "text": asked}]
    whole = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return before[: len(before) - prompt.trailing] + prompt.branch_ids(question)[0], ids(whole)


@pytest.mark.parametrize("instruction", ["", "Answer in a word."])
@pytest.mark.parametrize("kind", TEMPLATED)
def test_ids_are_those_of_the_whole_prompt(kind: str, instruction: str) -> None:
    for question in (*QUESTIONS, "\n\nWhat?", " a blank ", "", "3 x 4"):
        found, expected = joined(processor_of(kind), question, instruction)
        assert found == expected


def test_text_behind_a_picture_is_tokenised_as_it_is_there() -> None:
    for question in (*QUESTIONS, " a blank ", ""):
        found, expected = joined(processor_of("llava", sentencepiece_like()), question)
        assert found == expected


@pytest.mark.parametrize("kind", ["llava", "smolvlm", "qwen2_vl"])
def test_what_looks_like_a_special_token_in_a_question_stays_text(kind: str) -> None:
    processor = processor_of(kind)
    prompt = prompt_of(processor)
    special = prompt.tokenizer.added_tokens_decoder
    ids, _ = prompt.branch_ids(f"Is {processor.image_token} a token?")
    plain, _ = prompt.branch_ids("Is it a token?")
    assert sum(token in special for token in ids) == sum(token in special for token in plain)
    assert not any(token in special for token in prompt.answer_ids(processor.image_token))


def test_a_question_is_cut_to_the_budget_and_the_template_s_text_is_not() -> None:
    processor = processor_of("qwen2_vl")
    prompt = prompt_of(processor)
    whole, none = prompt.branch_ids(QUESTIONS[3])
    short, cut = prompt.branch_ids(QUESTIONS[3], budget=len(whole) - 5)
    assert (none, cut, len(short)) == (0, 5, len(whole) - 5)
    assert prompt.tokenizer.decode(short).endswith("<|im_end|>\n<|im_start|>assistant\n")
    own, cut = prompt.branch_ids(QUESTIONS[3], budget=1)
    assert prompt.tokenizer.decode(own) == prompt.tokenizer.decode(whole).replace(QUESTIONS[3], "")
    assert len(own) + cut == len(whole)


def test_an_answer_starts_and_ends_as_the_template_has_it() -> None:
    smol, qwen, llava = (processor_of(kind) for kind in ("smolvlm", "qwen2_vl", "llava"))
    leads = [style_for_processor(processor).before_answer for processor in (smol, qwen, llava)]
    assert leads == [" ", "", " "]
    ends = [style_for_processor(processor).end for processor in (smol, qwen, llava)]
    assert ends == ["<end_of_utterance>", "<|im_end|>", ""]
    assert prompt_of(llava).end_id == llava.tokenizer.eos_token_id
    assert prompt_of(smol).decode(prompt_of(smol).answer_ids("dark blue")) == "dark blue"


THINKS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n"
    "{% endif %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BLANK = THINKS.replace("<think>\n\n</think>\n\n", "").replace("assistant\n", "assistant ")


@pytest.mark.parametrize("template", [*{KINDS[kind].template for kind in TEMPLATED}, THINKS, BLANK])
def test_a_template_is_stored_as_text_that_says_all_of_it(template: str) -> None:
    made = KINDS["llava"]
    for image in ("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>", "<|image|>", "<start_of_image>"):
        template = template.replace(image, "<image>")
    processor = made.processor(tokenizer_of(made), template)
    style = style_for_processor(processor)
    assert prompt_style(style.text) == style
    now, stored = prompt_of(processor, "Be short."), prompt_of(processor, "Be short.", prompt_style(style.text))
    assert now.branch_ids("What?") == stored.branch_ids("What?")
    assert now.answer_ids("red") == stored.answer_ids("red")
    assert (now.end_id, now.opening, now.text("What?")) == (stored.end_id, stored.opening, stored.text("What?"))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}<image>{% endfor %}",
            "one picture before the question",
        ),
        ("{{ raise_exception('only text') }}", "only text"),
    ],
)
def test_a_template_that_shows_no_picture_and_then_a_question_is_said(template: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        style_for_processor(processor_of("llava", template=template))
