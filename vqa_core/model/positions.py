"""Positions: for how many tokens a model has positions, by its config.

Learned positions end there with an error. Rotary ones don't: a model answers beyond what it was trained for, and
answers worse the further it gets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")
"""What configs call the number, whichever comes first."""
_STRETCHED = ("linear", "dynamic", "yarn", "llama3")  # rotary positions of `factor` times as many tokens
_PADDED = ("roberta", "xlm-roberta", "camembert", "data2vec-text", "xmod")
"""Their positions begin behind that of padding."""
_ENDLESS = 1_000_000  # tokenisers say `1000000000000000019884624838656` for no limit


@dataclass(frozen=True, slots=True)
class Positions:
    """How many tokens there are positions for; None where there is no limit, or none is known.

    row: prompt and answer together; of a model with an encoder its prompt alone.
    decoder: the answer, where an encoder reads the prompt.
    reader: the question as a Q-Former reads it beside the picture.
    """

    row: int | None = None
    decoder: int | None = None
    reader: int | None = None

    @property
    def is_endless(self) -> bool:
        return self.row is None and self.decoder is None and self.reader is None


NO_END = Positions()


def positions_of(config: Any, tokenizer: Any = None) -> Positions:
    """The positions of a model's config, a PreTrainedConfig, whose text is made by `tokenizer`.

    A sliding window is no limit, nor are relative positions and ALiBi, which have one number for any distance.
    """
    text = config.get_text_config()
    row = _positions(text)
    if row is None and not _is_relative(text) and tokenizer is not None:
        longest = getattr(tokenizer, "model_max_length", None)
        row = int(longest) if isinstance(longest, int | float) and 0 < longest < _ENDLESS else None
    encodes = getattr(text, "is_encoder_decoder", False) or getattr(config, "is_encoder_decoder", False)
    reader = getattr(config, "qformer_config", None)
    return Positions(row, row if encodes else None, None if reader is None else _positions(reader))


def _positions(text: Any) -> int | None:
    if _is_relative(text):
        return None
    known = (getattr(text, name, None) for name in _NAMES)
    count = next((number for number in known if isinstance(number, int) and number > 0), None)
    if count is None:
        return None
    if text.model_type in _PADDED:
        return count - int(text.pad_token_id or 0) - 1
    return max([count, *(int(stretched) for stretched in _stretched(getattr(text, "rope_parameters", None), count))])


def _stretched(rope: Any, count: int) -> Iterator[float]:
    """The tokens that stretched rotary positions reach; `rope` may have parameters for each kind of layer."""
    if not isinstance(rope, dict):
        return
    for value in rope.values():
        yield from _stretched(value, count)
    if (rope.get("rope_type") or rope.get("type")) in _STRETCHED and isinstance(rope.get("factor"), int | float):
        yield (rope.get("original_max_position_embeddings") or count) * rope["factor"]


def _is_relative(text: Any) -> bool:
    attention = getattr(text, "attn_config", None)
    return bool(
        getattr(text, "relative_attention_num_buckets", None)
        or getattr(text, "alibi", False)
        or (attention is not None and getattr(attention, "alibi", False))
    )
