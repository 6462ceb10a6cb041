"""Rows without padding: the tokens of all rows go through the language model in one line, and only attention sees rows.

    rows      a a a b b c . .          line   a a a b b c d d d d e
              d d d d e . . .

A layer's products with its weights treat every token alike, so a line of L tokens gives them what B padded rows of Q
tokens would, for L instead of B x Q. Attention puts queries, keys and values into rows and takes its result out again.

An architecture whose attention is not told of the rows, or that mixes neighbouring tokens elsewhere (a convolution),
reads padded rows: `reads_lines` tries it once for each model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from vqa_core.model.packing import PADDING_SEGMENT, shared_prefix_mask
from vqa_core.model.protocol import AnyVlm

NEGLIGIBLE = 0.03  # the share of padding that costs less than to take rows apart and put them together
_TRIED: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Places:
    """Where the L tokens of a line stand in (B, Q) rows, counted row by row.

    `tokens` (L,) are the places of the tokens in the rows, `places` (B * Q,) the numbers of the tokens at all places;
    padding stands for any token, which no other sees.
    """

    tokens: Tensor
    places: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, segments: Tensor) -> "Places":
        """The places of all tokens that are no padding, from the segments (B, Q) of rows."""
        kept = (segments != PADDING_SEGMENT).flatten()
        return cls(kept.nonzero()[:, 0], (kept.cumsum(0) - 1).clamp(min=0), (segments.shape[0], segments.shape[1]))

    def in_rows(self, states: Tensor) -> Tensor:
        """(1, H, L, d) -> (B, H, Q, d)."""
        by_token = states[0].transpose(0, 1)  # (L, H, d), as it lies in memory
        return by_token.index_select(0, self.places).view(*self.shape, *by_token.shape[1:]).transpose(1, 2)

    def in_line(self, states: Tensor) -> Tensor:
        """(B, Q, H, d) -> (1, L, H, d)."""
        return states.flatten(0, 1).index_select(0, self.tokens)[None]


class RowCache(DynamicCache):  # type: ignore[misc]
    """A KV cache of rows. What a line adds to it is put into rows by the places that it is given before."""

    places: Places | None = None

    def start_with(self, lead: "RowCache", rows: int) -> None:
        """Begin each of B rows with the tokens of another cache, which has one row."""
        for number, layer in enumerate(lead.layers):
            keys, values = (states.expand(rows, -1, -1, -1) for states in (layer.keys, layer.values))
            super().update(keys, values, number)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add the keys and values of a line, (1, H, L, d) each; return those of all rows so far, (B, H, K, d)."""
        if self.places is not None:
            key_states, value_states = self.places.in_rows(key_states), self.places.in_rows(value_states)
        return super().update(key_states, value_states, *args, **kwargs)  # type: ignore[no-any-return]


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *args: Any,
    places: Places | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' SDPA, also for a line of which `places` says the rows; the mask is that of the rows.

    Args:
        query: (1, H, L, d) of a line; key, value: the same, or (B, H, K, d) from a RowCache.
    """
    if places is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, *args, **kwargs)  # type: ignore[no-any-return]
    if key.shape[0] == 1 and key.shape[2] == query.shape[2]:  # of the line itself
        key, value = places.in_rows(key), places.in_rows(value)
    states, weights = sdpa_attention_forward(
        module, places.in_rows(query), key, value, attention_mask, *args, **kwargs
    )  # (B, Q, H, d)
    return places.in_line(states), weights


AttentionInterface.register("sdpa", attend)  # the name stays: masks and checks are those of `sdpa`


@dataclass(frozen=True, slots=True)
class Rows:
    """B rows of up to Q tokens, as a language model reads them: in a line, or padded where it can't."""

    segments: Tensor
    places: Places | None

    @classmethod
    def of(cls, vlm: AnyVlm, segments: Tensor) -> "Rows":
        """`segments` (B, Q), PADDING_SEGMENT where there is no token. Rows of nearly one length are read padded."""
        padded = cls(segments, None)
        if padded.padding <= NEGLIGIBLE * segments.numel() or not reads_lines(vlm):
            return padded
        return cls(segments, Places.of(segments))

    @property
    def tokens(self) -> int:
        return int((self.segments != PADDING_SEGMENT).sum())

    @property
    def padding(self) -> int:
        """How many positions are read that hold no token."""
        return 0 if self.places else self.segments.numel() - self.tokens

    def lay(self, values: Tensor) -> Tensor:
        """What stands at each place, (B, Q) or (3, B, Q) -> as it is read, (1, L) or (3, 1, L), or as it was."""
        return values.flatten(-2).index_select(-1, self.places.tokens)[..., None, :] if self.places else values

    def read(
        self, vlm: AnyVlm, embeds: Tensor, mask: Tensor, positions: Tensor, cache: RowCache | None = None
    ) -> Tensor:
        """Hidden states as `embeds`: (1, L, D), or (B, Q, D).

        Args:
            embeds: of the tokens as `lay` puts them; positions: likewise.
            mask: (B, 1, Q, K), of the rows.
        """
        line: dict[str, Any] = {"places": self.places} if self.places else {}
        if cache is not None:
            cache.places = self.places
        return vlm.language_model(  # type: ignore[no-any-return]
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
            **line,
        ).last_hidden_state

    def take(self, hidden: Tensor, rows: list[int], columns: list[int]) -> Tensor:
        """The hidden states (R, D) at R places of the rows."""
        at = torch.tensor(rows, device=hidden.device), torch.tensor(columns, device=hidden.device)
        if self.places is None:
            return hidden[at]
        return hidden[0, self.places.places[at[0] * self.places.shape[1] + at[1]]]


class Lead:
    """The text before the picture, the same in all rows: it is read once, as long as the weights stay.

    It is worth a cache of its own with a chat template's system prompt: 35 of LLaVA's 291 tokens before a question.
    """

    def __init__(self) -> None:
        self._read: tuple[list[int], RowCache] | None = None

    def forget(self) -> None:
        """Read the text again next time, because the weights may be others."""
        self._read = None

    def start(self, vlm: AnyVlm, cache: RowCache, batch: dict[str, Tensor]) -> tuple[int, int]:
        """Put the lead of a collated batch into the empty `cache`.

        Returns how many tokens a row begins with, and how many were read for it now.
        """
        ids = batch["input_ids"]
        before = [row.index(vlm.image_token_id) if vlm.image_token_id in row else 0 for row in ids.tolist()]
        length = min(before)
        first = ids[0, :length].tolist()
        if not length or max(before) != length or any(row[:length] != first for row in ids.tolist()):
            return 0, 0
        read = 0
        if self._read is None or self._read[0] != first:
            own, segments = RowCache(), batch["segment_ids"][:1, :length]
            embeds = vlm.model.get_input_embeddings()(ids[:1, :length])
            mask = shared_prefix_mask(segments, segments, vlm.attention, embeds.dtype)
            Rows(segments, None).read(vlm, embeds, mask, batch["position_ids"][..., :1, :length], own)
            self._read, read = (first, own), length
        cache.start_with(self._read[1], len(ids))
        return length, read


def reads_lines(vlm: AnyVlm) -> bool:
    """Whether a model reads a line as it reads rows: tried once, on two short rows."""
    if vlm.attention != "sdpa":
        return False
    model = vlm.language_model
    if model not in _TRIED:
        _TRIED[model] = _try(vlm)
    return _TRIED[model]


@torch.no_grad()
def _try(vlm: AnyVlm) -> bool:
    segments = torch.tensor([[0, 0, 1], [0, PADDING_SEGMENT, PADDING_SEGMENT]], device=vlm.device)
    positions = torch.tensor([[0, 1, 2], [0, 0, 0]], device=vlm.device)
    ids = torch.tensor([[1, 2, 3], [4, 1, 1]], device=vlm.device)
    padded, lined = Rows(segments, None), Rows(segments, Places.of(segments))
    found = []
    try:
        with in_mode(vlm.language_model, training=False), vlm.autocast():  # without dropout
            for rows in (padded, lined):
                embeds = vlm.model.get_input_embeddings()(rows.lay(ids))
                mask = shared_prefix_mask(segments, segments, vlm.attention, embeds.dtype)
                hidden = rows.read(vlm, embeds, mask, rows.lay(positions))
                found.append(rows.take(hidden, [0, 0, 0, 1], [0, 1, 2, 0]).float())
    except Exception:  # whatever an architecture says to what it does not know
        return False
    off = float((found[0] - found[1]).abs().max() / found[0].abs().max())
    return off < (1e-4 if vlm.dtype == torch.float32 else 0.05)


@contextmanager
def in_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """All parts of a module in training mode or not, for a while; then each as it was."""
    modes = {part: part.training for part in module.modules()}
    module.train(training)
    try:
        yield
    finally:
        for part, before in modes.items():
            part.training = before
