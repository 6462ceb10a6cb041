"""find_prompt: the prompt of a whole model, by its chat template or else by trying what its processor takes."""

import contextlib
import copy
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers.utils.hub import LocalEntryNotFoundError

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.model.capabilities import Sharing
from vqa_core.model.hub.architecture import Architecture
from vqa_core.model.hub.inputs import process
from vqa_core.prompts.chat_prompt import ChatPrompt, opening_of
from vqa_core.prompts.chat_template import has_template, style_for_processor
from vqa_core.prompts.choice_style import ChoiceStyle
from vqa_core.prompts.styles import OWN_TEMPLATE, prompt_style
from vqa_core.prompts.text_prompt import TextPrompt

TRIED = ("is it red?", "how many are there?")
"""Questions to try a model with."""


def tried_picture() -> Image.Image:
    """The picture to try a model with."""
    return Image.new("RGB", (64, 64), "grey")


def find_prompt(processor: Any, settings: ModelSettings, architecture: Architecture) -> ChatPrompt | TextPrompt:
    """The prompt with the style and the instruction of `settings`.

    Raises InputError, with what went wrong, for a model that can't be asked about a picture.
    """
    if not has_template(processor):
        return _find_text_prompt(processor, settings, architecture)
    if architecture.is_known:
        try:
            return _find_chat_prompt(processor, settings, architecture)
        except InputError:
            raise
        except Exception:  # of a processor whose settings are not those of its model
            with own_errors(architecture.model_type):
                raise
    with own_errors(architecture.model_type):
        return _find_chat_prompt(processor, settings, architecture)


def no_image_token(model_type: str) -> InputError:
    """The InputError for a model that would not look at the picture."""
    return InputError(f"A model of type {model_type!r} can't be asked: its prompts have no token for the picture.")


@contextlib.contextmanager
def own_errors(model_type: str) -> Iterator[None]:
    """Turn what a foreign program raises into an InputError with its first line, or with what it lacks here."""
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"A model of type {model_type!r} can't be asked: its processor needs a package that is not on this "
            f"machine. {' '.join(str(error).split())}"
        ) from error
    except LocalEntryNotFoundError as error:  # Pix2Struct's, for its font
        raise InputError(
            f"A model of type {model_type!r} can't be asked: its processor draws the question on the picture with a "
            "font of the hub that is not on this machine. With a connection, fetch it once: `hf download "
            "ybelkada/fonts`."
        ) from error
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"A model of type {model_type!r} can't be asked with a picture and a question: {text}"
        ) from error


def _find_chat_prompt(processor: Any, settings: ModelSettings, architecture: Architecture) -> ChatPrompt:
    """The prompt of a chat template: what of it is the picture's is read from the ids that the processor makes."""
    own = settings.prompt_style == OWN_TEMPLATE
    style = style_for_processor(processor) if own else prompt_style(settings.prompt_style)
    opening = opening_of(style, processor.tokenizer, processor.image_token)
    opened = process(processor, opening.text, tried_picture(), adds_special_tokens=opening.adds_special_tokens)
    return ChatPrompt(
        _copied_tokenizer(processor),
        style,
        settings.instruction,
        ChoiceStyle.of(settings),
        image_token=processor.image_token,
        opening_ids=opened["input_ids"][0].tolist(),
        cuts=architecture.capability.sharing is not Sharing.NOTHING,
    )


def _find_text_prompt(processor: Any, settings: ModelSettings, architecture: Architecture) -> TextPrompt:
    """The prompt for a processor without a template: how it wants the picture in the text, and what ends that text."""
    kind = architecture.model_type
    logging.getLogger(type(processor).__module__).setLevel(logging.ERROR)  # PaliGemma's warns at each question
    if not getattr(processor.image_processor, "apply_ocr", True):
        raise InputError(
            f"A model of type {kind!r} can't be asked: it answers from the words in a picture, and its processor is "
            "set to read none. Set apply_ocr to true in its processor_config.json or preprocessor_config.json."
        )
    tokenizer = _copied_tokenizer(processor)
    picture = architecture.image_token_id
    image_token = [] if picture is None else [str(tokenizer.convert_ids_to_tokens(picture))]
    marks = tuple(mark for mark in (*architecture.capability.marks, *image_token) if len(mark) > 1)
    end_id = min(architecture.end_ids, default=None)
    prompt_with = partial(
        TextPrompt,
        tokenizer,
        settings.prompt_style,
        settings.instruction,
        ChoiceStyle.of(settings),
        end_id=end_id,
        marks=marks,
    )
    with own_errors(kind):
        image_text, inputs = _try_image_texts(processor, prompt_with, architecture.image_token_id)
    if image_text is None:
        raise no_image_token(kind)
    if not _differ(*inputs):
        raise InputError(
            f"A model of type {kind!r} can't be asked: its processor makes nothing of a question, only "
            f"{', '.join(sorted(inputs[0]))}. It reads pictures by itself."
        )
    with own_errors(kind):
        ids, in_decoder = _text_ids(inputs[0]), "decoder_input_ids" in inputs[0]
        last = "" if ids is None else str(tokenizer.decode(ids[0, -1:].tolist()))
        ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
        ended = ids is not None and int(ids[0, -1]) in ends
        encodes = architecture.decoder_start is not None
        # an end that the processor itself puts behind a text is asked with: Chameleon's says that an answer is due
        closed = not encodes and ended and tokenizer(TRIED[0])["input_ids"][-1] in ends
        due = (encodes and not in_decoder) or (not encodes and ended and not closed)
        return prompt_with(image_text=image_text, keeps_apart=due or last != last.rstrip(), closed=closed)


def _try_image_texts(
    processor: Any, prompt_with: "partial[TextPrompt]", image_token_id: int | None
) -> tuple[str | None, list[dict[str, Any]]]:
    """What stands for the picture in the text, and the inputs of two questions; None where no picture is seen.

    Most processors put the picture's tokens there themselves; some, as Chameleon's, count the pictures in the text.
    """
    own = str(getattr(processor, "image_token", ""))
    for image_text in ("", own):
        prompt = prompt_with(image_text=image_text)
        try:
            inputs = [process(processor, prompt.whole_text(question), tried_picture()) for question in TRIED]
        except InputError:
            if image_text == own:
                raise
            continue
        ids = _text_ids(inputs[0])
        if image_token_id is None or (ids is not None and image_token_id in ids):
            return image_text, inputs
    return None, []


def _text_ids(inputs: dict[str, Any]) -> Tensor | None:
    """The prompt's ids (1, T): the question may also begin what the decoder generates."""
    ids: Tensor | None = inputs.get("input_ids", inputs.get("decoder_input_ids"))
    return ids


def _differ(one: dict[str, Any], two: dict[str, Any]) -> bool:
    def same(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else bool(a == b)

    return one.keys() != two.keys() or not all(same(one[name], two[name]) for name in one)


def _copied_tokenizer(processor: Any) -> Any:
    """A prompt's own tokeniser: the processor's is called in other threads at the same time."""
    return copy.deepcopy(processor.tokenizer)
