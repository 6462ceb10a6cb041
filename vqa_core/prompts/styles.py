"""PROMPT_STYLES: how a question and an answer become text round the image, and from there token ids.

Ids are built chunk by chunk: what stands before the image, the question's chunk, the answer, the end. Nothing is ever
decoded, or split by searching a string, so the ids do not depend on how a tokeniser treats `<image>` or special tokens.
"""

from dataclasses import dataclass
from typing import Any, Self

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.settings import shown

IMAGE, QUESTION, ANSWER = PLACES = ("<image>", "<question>", "<answer>")
REPLY = "<reply>"
"""Where the learnt text begins, in the text of a style whose blanks before the answer do not say so."""
OWN_TEMPLATE = "template"
"""The style that is the model's own chat template; chat_template.py and chat_prompt.py write it out."""


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """The fixed text of a prompt, in the order of its fields, with the picture, the question and the answer between.

    `before_answer` and `after_answer` are the blanks round the answer, which are learnt and generated with it. `end`
    closes it: the name of a token, or a text, whose first token is the one learnt and waited for; "" means the
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
        """The style that a text spells; an InputError where `<image>`, `<question>`, `<answer>` do not stand in it so.

        `<question>` may be left out, then nothing but blanks stands between the picture and the answer. What stands
        behind a `<reply>` is learnt with the answer; without one the blanks before the answer are.
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
        """The text that spells the style."""
        question = QUESTION if self.shows_question else ""
        asked = f"{self.before_image}{IMAGE}{self.before_question}{question}{self.after_question}"
        told = not asked.endswith(" ") and not self.before_answer.strip(" ")
        return f"{asked}{'' if told else REPLY}{self.before_answer}{ANSWER}{self.after_answer}{self.end}"


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
    """The style of a name, or of a text that spells one; anything else is an InputError that lists the names."""
    if name in PROMPT_STYLES:
        return PROMPT_STYLES[name]
    if any(place in name for place in PLACES):
        return PromptStyle.of(name)
    raise InputError(
        f"--prompt-style {name!r} is not known; choose from {', '.join(STYLE_NAMES)}, or spell one out, with <image>, "
        "<question> and <answer> in it."
    )


def changed_prompt(trained: ModelSettings, used: ModelSettings) -> str:
    """What to tell where a model is used with another prompt than it was trained with; "" where it is the same."""
    styles = trained.prompt_style, used.prompt_style
    if used.base_model and trained.prompt_style in STYLE_NAMES:  # its own template, which was not written out
        styles = used.prompt_style, used.prompt_style
    texts = [PROMPT_STYLES[style].text if style in PROMPT_STYLES else style for style in styles]
    other = [f"the prompt style {shown(styles[0])}, not {shown(styles[1])}"] if texts[0] != texts[1] else []
    if trained.instruction != used.instruction:
        other.append(f"the instruction {shown(trained.instruction)}, not {shown(used.instruction)}")
    return f"The model was trained with {', and '.join(other)}: its answers may be worse." if other else ""


class PromptEncoder:
    """Token ids of one style with one tokeniser.

    Prompt ids are `prefix_ids` + N image tokens + `branch_ids(question)`, then `answer_ids(answer)` and `end_id`.
    """

    cuts = True

    def __init__(self, tokenizer: Any, style: str | PromptStyle, instruction: str = "") -> None:
        self.tokenizer = tokenizer
        self.style = style if isinstance(style, PromptStyle) else prompt_style(style)
        self.instruction = instruction
        self._specials = [str(token) for token in tokenizer.added_tokens_decoder.values()]  # with a role or without
        self.end_id = self._end_id()
        bos = [tokenizer.bos_token_id] if adds_bos(tokenizer) else []
        self.prefix_ids: list[int] = bos + self._ids(self.style.before_image)
        self._before_answer = "" if _adds_blank(tokenizer) else self.style.before_answer

    def text(self, question: str) -> str:
        """The whole prompt as text, `<image>` standing for the picture; for people to read."""
        return f"{self.style.before_image}{IMAGE}{self._around(question) if self.style.shows_question else ''}"

    def branch_ids(self, question: str, budget: int | None = None) -> tuple[list[int], int]:
        """Ids of one question's chunk, and how many of the question's tokens were cut to stay within `budget`.

        The text round the question is never cut, though it be longer than `budget`. Text in a question that looks like
        a special token stays text.
        """
        if not self.style.shows_question:
            return [], 0
        whole = self._around(question)
        if not any(token in question for token in self._specials):
            ids = self._ids(whole)
            if budget is None or len(ids) <= budget:
                return ids, 0
        head, tail = self._ids(self.style.before_question), self._ids(self._tail())
        body = self.tokenizer(question, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        room = len(body) if budget is None else max(0, budget - len(head) - len(tail))
        return head + body[:room] + tail, max(0, len(body) - room)

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer with the blanks round it, without its end; none for an empty one.

        Text that looks like a special token stays text.
        """
        if not answer:
            return []
        text = f"{self._before_answer}{answer}{self.style.after_answer}"
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def decode(self, ids: list[int]) -> str:
        """The text of generated ids, without special tokens and surrounding blanks."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()

    def _tail(self) -> str:
        return (f"\n{self.instruction}" if self.instruction else "") + self.style.after_question

    def _around(self, question: str) -> str:
        return self.style.before_question + question + self._tail()

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _end_id(self) -> int:
        end = self.style.end
        if not end:
            if self.tokenizer.eos_token_id is None:
                raise InputError(
                    "The tokeniser has no end-of-sequence token; choose a --prompt-style that names its end."
                )
            return int(self.tokenizer.eos_token_id)
        if end not in self._specials and not (end.startswith("<") and end.endswith(">")):
            return self._ids("a" + end)[len(self._ids("a"))]  # behind a text: Llama's tokeniser puts a blank before one
        token = self.tokenizer.convert_tokens_to_ids(end)
        if token is None or token == self.tokenizer.unk_token_id:
            raise InputError(
                f"The tokeniser has no token {end!r}, which this prompt style ends answers with. "
                "Choose another --prompt-style, such as vicuna_v1 for Llama-family models."
            )
        return int(token)


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokeniser itself puts a beginning-of-sequence token before a text."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and len(ids) > 0 and ids[0] == tokenizer.bos_token_id


def _adds_blank(tokenizer: Any) -> bool:
    """Whether the tokeniser itself puts a blank before a text, as Llama's does."""
    first = tokenizer.convert_ids_to_tokens(tokenizer("a", add_special_tokens=False)["input_ids"])[:1]
    return any(token.startswith("\u2581") for token in first)
