"""Making a HubModel: a loaded model, its processor, and the way to ask it, which is tried where no template says it."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel
from transformers.utils.hub import LocalEntryNotFoundError

from vqa_core.config import ModelSettings
from vqa_core.files import InputError
from vqa_core.model.capabilities import CAPABILITIES, Capability, Sharing, capability_of
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.loading import load_image_text_model
from vqa_core.model.loading import LoadOptions, load_in_of
from vqa_core.model.packing import FLASH, check_backend
from vqa_core.model.vlm import best_device
from vqa_core.prompts.chat_prompt import OWN, ChatPrompt, check_own_ways, has_template, with_own_prompt
from vqa_core.prompts.text_prompt import BARE, TextPrompt

logger = logging.getLogger("vqa")

_TRIED = ("is it red?", "how many are there?")
_FORMAT = ("decoder_start_token_id", "forced_bos_token_id", "bos_token_id")
"""Generation settings that belong to a model's format. All others go: penalties and sampling would change answers."""


def build_hub_model(
    settings: ModelSettings,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    options: LoadOptions | None = None,
) -> HubModel:
    """The model that `settings.base_model` names, frozen and in `eval` mode.

    Its prompt is that of `settings` where they have the text of one, else what its template writes now; the settings of
    what comes back have the text. Raises InputError when it can't be loaded, is no image-text model, has no processor
    or can't be asked, and for settings that are those of parts.
    """
    check_own_ways(settings)
    options = options or LoadOptions.of(settings)
    model, processor = load_image_text_model(settings.base_model, dtype=dtype, attention=attention, options=options)
    if load_in_of(model) == "full":  # in few bits it is on its device already
        model = model.to(best_device())
    return assemble_hub_model(model, processor, settings)


def assemble_hub_model(model: PreTrainedModel, processor: Any, settings: ModelSettings) -> HubModel:
    """Put a loaded model and its processor together."""
    capability = capability_of(model.config)
    templated = has_template(processor)
    if capability.chats and not templated:
        raise InputError(
            "The model has no chat template, which says how a picture and a question become its prompt. Copy "
            "chat_template.jinja from the model that it was made from into its folder."
        )
    attention = str(model.get_decoder().config._attn_implementation)
    if capability.sharing is Sharing.PREFIX and attention == FLASH:  # exact for plain rows alone
        capability = replace(capability, sharing=Sharing.VISION)
    if capability.sharing is Sharing.PREFIX:
        check_backend(attention)
    image_token_id = getattr(model.config, "image_token_id", getattr(processor, "image_token_id", None))
    if templated and (image_token_id is None or not getattr(processor, "image_token", None)):
        raise _no_token(model)
    if templated:
        settings = with_own_prompt(settings, processor)
    elif settings.prompt_style in OWN:
        settings = replace(settings, prompt_style=BARE)
    lead, ends = _lead(model), _only_format(model)
    hub = _settled(
        HubModel(
            model=model,
            processor=processor,
            prompt=_prompt_of(processor, settings, ends, capability),
            capability=capability,
            settings=settings,
            stop_ids=ends,
            image_token_id=-1 if image_token_id is None else int(image_token_id),
            lead=lead,
        )
    )
    if not templated:
        logger.warning(
            "%s has no chat template: it is asked %r. Where its makers ask otherwise, spell that out with "
            "--prompt-style.", settings.base_model, settings.prompt_style,
        )  # fmt: skip
    return hub


def with_prompt(hub: HubModel, settings: ModelSettings) -> HubModel:
    """The model with the prompt of `settings`; an InputError where it can't be asked so."""
    prompt = _prompt_of(hub.processor, settings, hub.stop_ids, hub.capability)
    return _settled(replace(hub, prompt=prompt, settings=settings))


def _settled(hub: HubModel) -> HubModel:
    """The model with its prompt found out: where that ends, and what of it is the picture's."""
    hub = replace(hub, stop_ids=hub.stop_ids | {hub.prompt.end_id})
    for part in _generating(hub.model):  # not by arguments: some have their own
        part.generation_config.eos_token_id, part.generation_config.pad_token_id = sorted(hub.stop_ids), hub.pad_id
    if isinstance(hub.prompt, TextPrompt):
        _try(hub, hub.prompt)
    else:
        _follow(hub, hub.prompt)
    return hub


def _follow(hub: HubModel, prompt: ChatPrompt) -> None:
    """Find what of the prompt is the picture's; an architecture that nobody looked at is asked for one token.

    Raises InputError, with what went wrong, for one that can't be asked.
    """
    grey = Image.new("RGB", (64, 64), "grey")
    if hub.model.config.model_type in CAPABILITIES:
        prompt.follow(hub.preprocess(grey).prefix.ids)
        return
    with _own_errors(hub.model.config.model_type):
        prompt.follow(hub.preprocess(grey).prefix.ids)
        _ask_once(hub, grey)


def _no_token(model: PreTrainedModel) -> InputError:
    return InputError(
        f"A model of type {model.config.model_type!r} can't be asked: its prompts have no token for the picture."
    )


def _prompt_of(
    processor: Any, settings: ModelSettings, ends: frozenset[int], capability: Capability
) -> ChatPrompt | TextPrompt:
    if has_template(processor):
        cuts = capability.sharing is not Sharing.NOTHING
        return ChatPrompt(processor, settings.instruction, settings.prompt_style, cuts=cuts)
    return TextPrompt(processor, settings.instruction, settings.prompt_style, end_id=min(ends, default=None))


def _try(hub: HubModel, prompt: TextPrompt) -> None:
    """Find how the processor wants the picture in the text, and ask two questions of one token.

    Raises InputError, with what went wrong, for a model that takes no text with a picture.
    """
    kind = hub.model.config.model_type
    logging.getLogger(type(hub.processor).__module__).setLevel(logging.ERROR)  # PaliGemma's warns at each question
    grey = Image.new("RGB", (64, 64), "grey")
    if not getattr(hub.processor.image_processor, "apply_ocr", True):
        raise InputError(
            f"A model of type {kind!r} can't be asked: it answers from the words in a picture, and its processor is "
            "set to read none. Set apply_ocr to true in its processor_config.json or preprocessor_config.json."
        )
    with _own_errors(kind):
        own = str(getattr(hub.processor, "image_token", ""))
        for image in ("", own):
            prompt.ask_with(image, closed=False)
            try:
                made = [hub.processed(prompt.whole_text(question), grey) for question in _TRIED]
            except InputError:
                if image == own:
                    raise
                continue  # some count the pictures in the text, as Chameleon's
            begun = made[0].get("decoder_input_ids")  # (1, T), the question as the beginning of what is generated
            ids = made[0].get("input_ids", begun)  # (1, T)
            shown = hub.image_token_id < 0 or (ids is not None and hub.image_token_id in ids)
            if shown:
                break
    if not shown:  # asked so it would not look at the picture
        raise _no_token(hub.model)
    if not _differ(*made):
        raise InputError(
            f"A model of type {kind!r} can't be asked: its processor makes nothing of a question, only "
            f"{', '.join(sorted(made[0]))}. It reads pictures by itself."
        )
    with _own_errors(kind):
        last = "" if ids is None else str(prompt.tokenizer.decode(ids[0, -1:].tolist()))
        ends = {prompt.tokenizer.eos_token_id, prompt.tokenizer.sep_token_id} - {None}
        ended = ids is not None and int(ids[0, -1]) in ends
        # one that the processor itself puts behind a text is asked with: Chameleon's says that an answer is due
        prompt.closing = hub.lead is None and ended and prompt.tokenizer(_TRIED[0])["input_ids"][-1] in ends
        apart = hub.lead is not None and begun is None
        due = apart or (hub.lead is None and ended and not prompt.closing)
        prompt.ask_with(prompt.image, closed=due or last != last.rstrip())
        _ask_once(hub, grey)


def _ask_once(hub: HubModel, image: Image.Image) -> None:
    """One token of an answer."""
    with torch.inference_mode(), hub.autocast():
        hub.model.generate(**hub.question_inputs(hub.preprocess(image), _TRIED[0]), do_sample=False, max_new_tokens=1)


@contextlib.contextmanager
def _own_errors(kind: str) -> Iterator[None]:
    """What a foreign program raises as an InputError with the first line of it, or with what it lacks here."""
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"A model of type {kind!r} can't be asked: its processor needs a package that is not on this machine. "
            f"{' '.join(str(error).split())}"
        ) from error
    except LocalEntryNotFoundError as error:  # Pix2Struct's, for its font
        raise InputError(
            f"A model of type {kind!r} can't be asked: its processor draws the question on the picture with a font of "
            "the hub that is not on this machine. With a connection, fetch it once: `hf download ybelkada/fonts`."
        ) from error
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"A model of type {kind!r} can't be asked with a picture and a question: {text}") from error


def _differ(one: dict[str, Any], two: dict[str, Any]) -> bool:
    def same(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else bool(a == b)

    return one.keys() != two.keys() or not all(same(one[name], two[name]) for name in one)


def _lead(model: PreTrainedModel) -> tuple[int, ...] | None:
    """What the decoder of an encoder-decoder begins with; None for a model that is none."""
    parts = [model, *model.children()]
    if not any(getattr(getattr(part, "config", None), "is_encoder_decoder", False) for part in parts):
        return None
    start, forced, bos = (_named(model, name) for name in _FORMAT)
    begin = start if start is not None else bos
    return (*([] if begin is None else [begin]), *([] if forced is None else [forced]))


def _named(model: PreTrainedModel, name: str) -> int | None:
    """A generation setting of the model, or of one within it that does its generating."""
    for held in (*(part.generation_config for part in _generating(model)), model.config.get_text_config()):
        if getattr(held, name, None) is not None:
            return int(getattr(held, name))
    return None


def _only_format(model: PreTrainedModel) -> frozenset[int]:
    """Leave of all generation settings those of the format. Returns the end tokens that they named."""
    ends: set[int] = set()
    for part in _generating(model):
        held = part.generation_config
        ends |= {*(held.eos_token_id if isinstance(held.eos_token_id, list) else [held.eos_token_id])} - {None}
        part.generation_config = GenerationConfig(**{name: getattr(held, name) for name in _FORMAT})
    return frozenset(ends)


def _generating(model: PreTrainedModel) -> list[Any]:
    """The model, and what generates within it."""
    return [part for part in model.modules() if isinstance(getattr(part, "generation_config", None), GenerationConfig)]
