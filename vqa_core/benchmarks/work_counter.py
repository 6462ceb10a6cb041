"""Counting what a model really does, by watching its parts, whoever calls them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vqa_core.model.vlm import Vlm


@dataclass(slots=True)
class Passed:
    """Images that went through the tower, positions (padding included) through the layers, rows through the head."""

    encodes: int = 0
    positions: int = 0
    head_rows: int = 0


@contextmanager
def counting(vlm: Vlm) -> Iterator[Passed]:
    """Count what passes while the block runs."""
    passed = Passed()

    def encode(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        passed.encodes += _first(args, kwargs, "pixel_values").shape[0]

    def read(_: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        passed.positions += kwargs["inputs_embeds"].shape[:2].numel()

    def predict(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        passed.head_rows += _first(args, kwargs, "input").shape[:-1].numel()

    watched = ((vlm.vision_tower, encode), (vlm.language_model, read), (vlm.model.lm_head, predict))
    handles = [part.register_forward_pre_hook(watch, with_kwargs=True) for part, watch in watched]
    try:
        yield passed
    finally:
        for handle in handles:
            handle.remove()


def _first(args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Tensor:
    return args[0] if args else kwargs[name]  # type: ignore[no-any-return]
