"""Architecture: what is known of a whole model before it is asked, from its config, its processor and its settings."""

from dataclasses import dataclass, replace
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

from vqa_core.model.capabilities import CAPABILITIES, Capability, Sharing, capability_of
from vqa_core.model.packing import FLASH, check_backend

_FORMAT = ("decoder_start_token_id", "forced_bos_token_id", "bos_token_id")
"""Generation settings that belong to a model's format. All others go: penalties and sampling would change answers."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """An image-text model's kind, and its special tokens.

    `end_ids` are the end tokens that its generation settings name. `image_token_id` is None where its text has no token
    for the picture. `decoder_start` are the tokens that the decoder of an encoder-decoder begins with; None for a model
    that is none.
    """

    model_type: str
    capability: Capability
    end_ids: frozenset[int]
    image_token_id: int | None
    decoder_start: tuple[int, ...] | None

    @property
    def is_known(self) -> bool:
        """Whether the table of capabilities has it."""
        return self.model_type in CAPABILITIES


def architecture_of(model: PreTrainedModel, processor: Any) -> Architecture:
    """The architecture of a loaded model, whose generation settings are reduced to those of its format.

    Raises InputError for an attention backend that is wrong for it.
    """
    capability = capability_of(model.config)
    attention = str(model.get_decoder().config._attn_implementation)
    if capability.sharing is Sharing.PREFIX and attention == FLASH:  # exact for plain rows alone
        capability = replace(capability, sharing=Sharing.VISION)
    if capability.sharing is Sharing.PREFIX:
        check_backend(attention)
    image_token_id = getattr(model.config, "image_token_id", getattr(processor, "image_token_id", None))
    return Architecture(
        model_type=str(model.config.model_type),
        capability=capability,
        decoder_start=_decoder_start(model),  # before the settings go
        end_ids=_keep_format(model),
        image_token_id=None if image_token_id is None else int(image_token_id),
    )


def set_ends(model: PreTrainedModel, end_ids: frozenset[int], pad_id: int) -> None:
    """Make `generate` stop at these tokens; not by its arguments, since some models have their own."""
    for part in _generating(model):
        part.generation_config.eos_token_id, part.generation_config.pad_token_id = sorted(end_ids), pad_id


def _decoder_start(model: PreTrainedModel) -> tuple[int, ...] | None:
    parts = [model, *model.children()]
    if not any(getattr(getattr(part, "config", None), "is_encoder_decoder", False) for part in parts):
        return None
    start, forced, bos = (_generation_setting(model, name) for name in _FORMAT)
    begin = start if start is not None else bos
    return (*([] if begin is None else [begin]), *([] if forced is None else [forced]))


def _generation_setting(model: PreTrainedModel, name: str) -> int | None:
    """A generation setting of the model, or of one within it that generates."""
    for holder in (*(part.generation_config for part in _generating(model)), model.config.get_text_config()):
        if getattr(holder, name, None) is not None:
            return int(getattr(holder, name))
    return None


def _keep_format(model: PreTrainedModel) -> frozenset[int]:
    """Drop all generation settings but those of the format. Returns the end tokens that they named."""
    ends: set[int] = set()
    for part in _generating(model):
        old = part.generation_config
        ends |= {*(old.eos_token_id if isinstance(old.eos_token_id, list) else [old.eos_token_id])} - {None}
        part.generation_config = GenerationConfig(**{name: getattr(old, name) for name in _FORMAT})
    return frozenset(ends)


def _generating(model: PreTrainedModel) -> list[Any]:
    """The model, and the models within it that generate."""
    return [part for part in model.modules() if isinstance(getattr(part, "generation_config", None), GenerationConfig)]
