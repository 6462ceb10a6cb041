"""A model's own template becomes the prompt that it writes: same text, same ids, whatever its way of writing."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor, AutoTokenizer, PreTrainedTokenizerFast

from tests.support.tiny import tiny_parts, tiny_tokenizer, tiny_vlm
from vqa_core.config import ModelSettings
from vqa_core.convert.hf_export import export_hf
from vqa_core.files import InputError
from vqa_core.model.embedded import embedded_language_model
from vqa_core.model.folder import save_model_folder
from vqa_core.model.stages import prepare_stage
from vqa_core.prompts.chat_template import style_for_encoder, style_for_processor, written_out
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.prompts.styles import PROMPT_STYLES, prompt_style
from vqa_core.runs.model_folder import Stage

LLAVA_1_5 = (  # llava-hf/llava-1.5-7b-hf
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
LLAMA_2_CHAT = (  # meta-llama/Llama-2-7b-chat-hf
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL_INSTRUCT = (  # mistralai/Mistral-7B-Instruct-v0.2
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
QWEN2_VL = (  # Qwen/Qwen2-VL-2B-Instruct
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}"
    "<|im_end|>\n{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in "
    "content or 'image_url' in content %}{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}"
    "Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>{% elif content['type'] == "
    "'video' or 'video' in content %}{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}Video "
    "{{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "<|im_start|>assistant\n{% endif %}"
)
SMOLVLM = (  # HuggingFaceTB/SmolVLM-Instruct
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
CHATML = (  # as SmolLM2's, with Qwen3's empty thoughts before an answer
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "Be kind.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n'}}"
    "{% if message['role'] == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PRINTS_PARTS = (
    "{% for message in messages %}{{ message['role'] ~ ': ' ~ message['content'] | trim ~ '\n' }}{% endfor %}"
)
DROPS_PICTURES = (
    "{% for message in messages %}[{{ message['role'] }}]{% for part in message['content'] if part['type'] == 'text' %}"
    "{{ part['text'] }}{% endfor %}<|im_end|>{% endfor %}"
)
CLOSED_BY_TEXT = (
    "### {% for message in messages %}{{ 'Human' if message['role'] == 'user' else 'Assistant' }}: "
    "{{ message['content'] }}\n### {% endfor %}"
)
ASKS_ONLY = (
    "{% if messages | length != 1 %}{{ raise_exception('One question at a time.') }}{% endif %}"
    "{{ 'Q: ' + messages[0]['content'] + '\nA:' }}"
)


@dataclass(frozen=True)
class Case:
    """A template, the text it should come to, and what it writes for the picture."""

    template: str
    text: str
    picture: str = "<image>"
    adds_bos: bool = False
    parts: bool = False


SYSTEM = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n"
CASES = {
    "llava-1.5": Case(LLAVA_1_5, "USER: <image>\n<question> ASSISTANT: <answer>", adds_bos=True, parts=True),
    "llama-2-chat": Case(LLAMA_2_CHAT, "[INST] <image>\n<question> [/INST] <answer> <|endoftext|>", adds_bos=True),
    "mistral-instruct": Case(
        MISTRAL_INSTRUCT, "[INST] <image>\n<question> [/INST]<answer><|endoftext|>", adds_bos=True
    ),
    "qwen2-vl": Case(
        QWEN2_VL,
        SYSTEM.format("You are a helpful assistant.") + "<|vision_start|><image><|vision_end|><question><|im_end|>\n"
        "<|im_start|>assistant\n<answer><|im_end|>",
        picture="<|image_pad|>",
        parts=True,
    ),
    "smolvlm": Case(
        SMOLVLM,
        "<|im_start|>User:<image><question><end_of_utterance>\nAssistant: <answer><end_of_utterance>",
        parts=True,
    ),
    "thinking": Case(
        CHATML,
        SYSTEM.format("Be kind.") + "<image>\n<question><|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        "<answer><|im_end|>",
    ),
    "prints-parts": Case(PRINTS_PARTS, "user: <image>\n<question>\nassistant: <answer>"),
    "drops-pictures": Case(DROPS_PICTURES, "[user]<image>\n<question><|im_end|>[assistant]<answer><|im_end|>"),
    "closed-by-text": Case(CLOSED_BY_TEXT, "### Human: <image>\n<question>\n### Assistant: <answer>\n### "),
    "asks-only": Case(ASKS_ONLY, "Q: <image>\n<question>\nA:<answer>"),
}
"""By kind of template. The tiny tokeniser ends with <|im_end|>, and with <|endoftext|> where it adds a beginning."""
ADDED = ["<image>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>", "<end_of_utterance>"]


def tokenizer_of(case: Case) -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer(adds_bos=case.adds_bos)
    tokenizer.add_tokens(ADDED, special_tokens=True)
    tokenizer.chat_template = case.template
    return tokenizer


class Processor:
    """A processor whose tokeniser knows no template, as the hub's multimodal ones."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, image_token: str) -> None:
        self.tokenizer, self.chat_template, self.image_token = tokenizer, tokenizer.chat_template, image_token
        tokenizer.chat_template = None

    def apply_chat_template(self, messages: Any, **how: Any) -> str:
        return str(self.tokenizer.apply_chat_template(messages, chat_template=self.chat_template, **how))


@pytest.mark.parametrize("name", CASES)
def test_a_template_comes_to_its_text(name: str) -> None:
    style = style_for_encoder(tokenizer_of(CASES[name]))
    assert style.text == CASES[name].text
    assert style == prompt_style(CASES[name].text)  # which is what is stored


@pytest.mark.parametrize("name", CASES)
def test_the_ids_are_those_of_the_text_that_the_template_writes(name: str) -> None:
    case = CASES[name]
    tokenizer = tokenizer_of(case)
    encoder = PromptEncoder(tokenizer, style_for_encoder(tokenizer))
    question = "What is {{ it }} <b>'so'</b>?"
    content: Any = f"{case.picture}\n{question}"
    if case.parts:
        content = [{"type": "image"}, {"type": "text", "text": question}]
    asked = [{"role": "user", "content": content}]
    reply: Any = [{"type": "text", "text": "dark blue"}] if case.parts or name == "drops-pictures" else "dark blue"
    if name == "drops-pictures":
        asked[0]["content"] = [{"type": "text", "text": content}]
    if name == "asks-only":
        whole = tokenizer.apply_chat_template(asked, tokenize=False) + reply
    else:
        whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": reply}], tokenize=False)
    image = tokenizer.convert_tokens_to_ids(case.picture)
    ours = [*encoder.prefix_ids, image, *encoder.branch_ids(question)[0], *encoder.answer_ids("dark blue")]
    bos = not whole.startswith(tokenizer.bos_token)
    theirs = tokenizer(whole, add_special_tokens=bos)["input_ids"]
    assert theirs[: len(ours)] == ours
    ended = case.text.partition("<answer>")[2].strip()
    assert encoder.end_id == (theirs[len(ours)] if ended else tokenizer.eos_token_id)


@pytest.mark.parametrize("name", ["qwen2-vl", "smolvlm", "llava-1.5"])
def test_a_processor_speaks_by_its_own_template(name: str) -> None:
    case = CASES[name]
    assert style_for_processor(Processor(tokenizer_of(case), case.picture)).text == case.text


def test_a_beginning_of_sequence_is_the_processor_s_text_and_the_encoder_s_token() -> None:
    case = replace(CASES["llava-1.5"], template="{{ bos_token }}" + LLAVA_1_5)
    beginning = tokenizer_of(case).bos_token
    assert style_for_encoder(tokenizer_of(case)).text == case.text
    assert style_for_processor(Processor(tokenizer_of(case), case.picture)).text == beginning + case.text


def test_a_whole_model_learns_what_follows_its_generation_prompt_and_parts_are_asked_with_it() -> None:
    written = (
        "{% for part in message['content'] %}{{ part['text'] if part['type'] == 'text' else '<image>' }}{% endfor %}"
    )
    case = replace(
        CASES["thinking"],
        template=CHATML.replace("{{ message['content'] + '<|im_end|>'", f"{written}{{{{ '<|im_end|>'"),
    )
    asked = SYSTEM.format("Be kind.") + "<image><question><|im_end|>\n<|im_start|>assistant\n"
    thought = "<think>\n\n</think>\n\n"
    whole, parts = (
        style_for_processor(Processor(tokenizer_of(case), case.picture)),
        style_for_encoder(tokenizer_of(case)),
    )
    assert whole.text == f"{asked}<reply>{thought}<answer><|im_end|>"
    assert parts.text == f"{asked}{thought}<answer><|im_end|>"


def test_a_whole_model_s_template_may_be_made_for_asking_only() -> None:
    template = ASKS_ONLY.replace("messages[0]['content']", "'<image>' + messages[0]['content'][1]['text']")
    processor = Processor(tokenizer_of(Case(template, "")), "<image>")
    assert style_for_processor(processor).text == "Q: <image><question>\nA:<answer>"


def test_a_folder_of_ours_for_hugging_face_speaks_as_the_model_was_trained(tmp_path: Path) -> None:
    vlm = tiny_vlm(prompt_style="vicuna_v1", adds_bos=True, tower="clip")
    prepare_stage(vlm, Stage("align"))
    parts = {"vision_tower": str(tmp_path / "tower"), "language_model": str(tmp_path / "language-model")}
    tiny_parts(tmp_path, tower="clip")
    save_model_folder(
        tmp_path / "model", replace(vlm, settings=replace(vlm.settings, **parts)), Stage("align"), about={}
    )
    export_hf(tmp_path / "model", tmp_path / "hf")
    style = style_for_processor(AutoProcessor.from_pretrained(tmp_path / "hf"))
    trained = PROMPT_STYLES["vicuna_v1"]
    assert style == replace(trained, before_answer="")  # the template is made for asking only, and has no answer


def test_a_processor_without_a_template_speaks_by_its_tokeniser_s() -> None:
    processor = Processor(tokenizer_of(CASES["smolvlm"]), "<image>")
    processor.tokenizer.chat_template, processor.chat_template = processor.chat_template, None
    assert style_for_processor(processor).text == CASES["smolvlm"].text


@pytest.mark.slow
def test_the_embedded_model_s_template_is_chatml_with_its_system_prompt() -> None:
    tokenizer = AutoTokenizer.from_pretrained(embedded_language_model())
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert (
        style_for_encoder(tokenizer).text == f"<|im_start|>system\n{system}<|im_end|>\n{PROMPT_STYLES['chatml'].text}"
    )


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (None, "there is none"),
        ("{{ raise_exception('No people.') }}", "it says 'No people.'"),
        ("{{ messages[0]['content'] | upper }}", "it does not write the question once, as it is"),
        ("{{ messages[0]['content'] * 2 }}", "it does not write the question once, as it is"),
        ("Say <answer>! {{ messages[0]['content'] }}", "its own text has <image>, <question> or <answer> in it"),
        ("{{ messages[0]['content'] | length }}{{ messages[0]['content'] }}", "it writes other text round another"),
        (
            "{% for part in messages[0]['content'] | reverse %}"
            "{{ part['text'] if part['type'] == 'text' else '<image>' }}{% endfor %}",
            "which of its tokens stands for the picture can't be told",
        ),
        (
            "{% for part in messages[0]['content'] %}{{ part['text'] if part['type'] == 'text' else '<image><image>' }}"
            "{% endfor %}",
            "which of its tokens stands for the picture can't be told",
        ),
        (
            "<image>{% for part in messages[0]['content'] %}"
            "{{ part['text'] if part['type'] == 'text' else '<image>' }}{% endfor %}",
            "it does not put one picture before the question and the answer behind it",
        ),
    ],
)
def test_a_template_of_another_shape_is_refused_with_the_styles_that_would_do(template: str | None, why: str) -> None:
    tokenizer = tokenizer_of(CASES["smolvlm"])
    tokenizer.chat_template, tokenizer.name_or_path = template, "some/model"
    with pytest.raises(InputError) as error:
        style_for_encoder(tokenizer)
    told = str(error.value)
    assert told.startswith(f"The chat template of 'some/model' can't be the prompt: {why}")
    assert "Choose another --prompt-style: vicuna_v1, vicuna_v1_start_end, llava_v1, v0" in told
    assert "chatml" in told
    assert "plain" not in told


def test_a_style_is_offered_only_where_the_tokeniser_has_its_end() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.convert_tokens_to_ids = lambda _token: None
    with pytest.raises(InputError) as error:
        style_for_encoder(tokenizer)
    assert "chatml" not in str(error.value)


def test_a_template_that_prints_the_date_asks_as_on_the_day_of_training() -> None:
    tokenizer = tokenizer_of(CASES["smolvlm"])
    tokenizer.chat_template = "Today: {{ strftime_now('%d %b %Y') }}\n{{ messages[0]['content'] }}\nA:"
    first = written_out(ModelSettings(prompt_style="template"), tokenizer)
    assert first.prompt_style.startswith("Today: ")
    assert first.prompt_style.endswith("\n<image>\n<question>\nA:<answer>")
    assert written_out(first, tiny_tokenizer()) is first  # no template is asked again
    assert written_out(ModelSettings(), tiny_tokenizer()) == ModelSettings()
