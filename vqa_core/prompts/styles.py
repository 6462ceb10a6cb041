"""PROMPT_STYLES: the text around a picture, a question and an answer."""

from dataclasses import dataclass
from typing import Self

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.settings import shown

IMAGE, QUESTION, ANSWER = PLACES = ("<image>", "<question>", "<answer>")
REPLY = "<reply>"
"""Where the learnt text begins, in the text of a style in which that is not the blanks before the answer."""
OWN_TEMPLATE = "template"
"""The style that is the model's own chat template; chat_template.py writes it out."""
OWN_STYLES = (OWN_TEMPLATE, ModelSettings.prompt_style)
"""Styles that stand for a whole model's own prompt: `template`, or the default that nobody changed."""


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """The fixed text of a prompt, in the order of its fields, with the picture, the question and the answer between.

    `before_answer` and `after_answer` are the blanks around the answer, which are learnt and generated with it. `end`
    closes the answer: the name of a token; or a text, whose first token is learnt and ends an answer; or "", the
    end-of-sequence token.
    """

    before_image: str
    before_question: str
    after_question: str
    before_answer: str
    after_answer: str
    end: str
    shows_question: bool

    @classmethod
    def of(cls, text: str) -> Self:
        """The style that a text spells out, with `<image>`, `<question>` and `<answer>` once each, in this order.

        `<question>` may be left out; then only blanks stand between the picture and the answer. The text behind a
        `<reply>` is learnt with the answer; without one the blanks before the answer are. Raises InputError for a text
        of another form.
        """
        before_image, _, rest = text.partition(IMAGE)
        asked, _, closing = rest.partition(ANSWER)
        before_question, shows_question, after_question = asked.partition(QUESTION)
        opening = after_question if shows_question else before_question
        chunks = (before_image, before_question, after_question, closing)
        wanted = (1, 1, 1) if shows_question else (1, 0, 1)
        if tuple(map(text.count, PLACES)) != wanted or any(place in chunk for chunk in chunks for place in PLACES):
            raise InputError(
                f"--prompt-style {text!r} does not have <image>, <question> and <answer> once each, in this order."
            )
        if not shows_question and before_question.strip(" "):
            raise InputError(f"--prompt-style {text!r} shows no question: put <question> where it goes.")
        kept, marked, lead = opening.partition(REPLY)
        if not marked:
            kept = opening.rstrip(" ")
            lead = opening[len(kept) :]
        end = closing.lstrip(" ")
        return cls(
            before_image=before_image,
            before_question=before_question if shows_question else kept,
            after_question=kept if shows_question else "",
            before_answer=lead,
            after_answer=closing[: len(closing) - len(end)],
            end=end,
            shows_question=bool(shows_question),
        )

    @property
    def text(self) -> str:
        """The text that spells the style out."""
        question = QUESTION if self.shows_question else ""
        asked = f"{self.before_image}{IMAGE}{self.before_question}{question}{self.after_question}"
        clear = not asked.endswith(" ") and not self.before_answer.strip(" ")
        return f"{asked}{'' if clear else REPLY}{self.before_answer}{ANSWER}{self.after_answer}{self.end}"


_HUMAN, _USER = (
    f"A chat between a curious {who} and an artificial intelligence assistant. "
    f"The assistant gives helpful, detailed, and polite answers to the {who}'s questions."
    for who in ("human", "user")
)
_LLAMA_2 = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe.  "
    "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
    "Please ensure that your responses are socially unbiased and positive in nature.\n\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering something "
    "not correct. If you don't know the answer to a question, please don't share false information."
)
_LLAVA_LLAMA_2 = (
    "You are a helpful language and vision assistant. "
    "You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)
# Letter by letter those of conversation.py and train.py in llava-torch 1.2.2, but for `chatml`, which is SmolLM2's and
# Qwen's, and `bare`; docs/formats.md says which of its names is which.
_TEXTS = {
    "vicuna_v1": f"{_USER} USER: <image>\n<question> ASSISTANT: <answer>",
    # transformers before 4.34 took the blanks round <im_start> and <im_end> away
    "vicuna_v1_start_end": f"{_USER} USER:<image><question> ASSISTANT: <answer>",
    "llava_v1": f"{_HUMAN} USER: <image>\n<question> ASSISTANT: <answer>",
    "v0": f"{_HUMAN}\n\n### Human: <image>\n<question>\n### Assistant: <answer>\n### ",
    "llava_v0": f"{_HUMAN}###Human: <image>\n<question>###Assistant: <answer>###",
    "llama_2": f"[INST] <<SYS>>\n{_LLAMA_2}\n<</SYS>>\n\n<image>\n<question> [/INST] <answer> ",
    "llava_llama_2": f"[INST] <<SYS>>\n{_LLAVA_LLAMA_2}\n<</SYS>>\n\n<image>\n<question> [/INST] <answer> ",
    "mistral": "[INST] <image>\n<question> [/INST] <answer> ",
    "chatml": "<|im_start|>user\n<image>\n<question><|im_end|>\n<|im_start|>assistant\n<answer><|im_end|>",
    "bare": "<image>\n<question>\n<answer>",  # the fewest tokens: for a model that is trained on short answers anyway
    "plain": "<image><answer>\n",
}
PROMPT_STYLES: dict[str, PromptStyle] = {name: PromptStyle.of(text) for name, text in _TEXTS.items()}
STYLE_NAMES = (*PROMPT_STYLES, OWN_TEMPLATE)


def prompt_style(name: str) -> PromptStyle:
    """The style of a name, or of a text that spells one out; an InputError for anything else lists the names."""
    if name in PROMPT_STYLES:
        return PROMPT_STYLES[name]
    if any(place in name for place in PLACES):
        return PromptStyle.of(name)
    raise InputError(
        f"--prompt-style {name!r} is not known; choose from {', '.join(STYLE_NAMES)}, or spell one out, with <image>, "
        "<question> and <answer> in it."
    )


def refuse_named_style(model: str, style: str) -> None:
    """An InputError where a whole model is to be asked with one of our styles."""
    if style in STYLE_NAMES:
        raise InputError(
            f"--prompt-style {style!r} is not for {model!r}: a whole model is asked with its own chat template, or "
            "with a prompt that is spelled out, such as '<image>Question: <question> Answer: <answer>'. Leave it out."
        )


def changed_prompt(trained: ModelSettings, used: ModelSettings) -> str:
    """The warning for a model that is used with another prompt than it was trained with; "" for the same prompt."""
    styles = trained.prompt_style, used.prompt_style
    if used.base_model and trained.prompt_style in STYLE_NAMES:  # the model's own template, which is not stored as text
        styles = used.prompt_style, used.prompt_style
    texts = [PROMPT_STYLES[style].text if style in PROMPT_STYLES else style for style in styles]
    other = [f"the prompt style {shown(styles[0])}, not {shown(styles[1])}"] if texts[0] != texts[1] else []
    if trained.instruction != used.instruction:
        other.append(f"the instruction {shown(trained.instruction)}, not {shown(used.instruction)}")
    return f"The model was trained with {', and '.join(other)}: its answers may be worse." if other else ""


def changed_choices(trained: ModelSettings, used: ModelSettings) -> str:
    """The warning for a model whose multiple-choice questions are asked otherwise than in training; "" for the same."""
    if trained.choice_scoring != used.choice_scoring and "letter" in (trained.choice_scoring, used.choice_scoring):
        other = f"--choice-scoring {trained.choice_scoring}, not {used.choice_scoring}"
    elif used.choice_scoring == "letter" and trained.choice_instruction != used.choice_instruction:
        other = f"the sentence {shown(trained.choice_instruction)} after options, not {shown(used.choice_instruction)}"
    else:
        return ""
    return f"The model was trained with {other}: its answers to multiple-choice questions may be worse."
