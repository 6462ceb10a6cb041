"""Count the work that a model really does, with hooks on its parts, whoever calls them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vqa_core.model.vlm import Vlm


@dataclass(slots=True)
class WorkCount:
    """Numbers of images through the tower, positions (with padding) through the layers, and rows through the head."""

    encodes: int = 0
    positions: int = 0
    head_rows: int = 0


@contextmanager
def count_work(vlm: Vlm) -> Iterator[WorkCount]:
    """Count a model's work while the block runs."""
    counted = WorkCount()

    def encode(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counted.encodes += _first(args, kwargs, "pixel_values").shape[0]

    def read(_: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counted.positions += kwargs["inputs_embeds"].shape[:2].numel()

    def predict(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        counted.head_rows += _first(args, kwargs, "input").shape[:-1].numel()

    hooks = ((vlm.vision_tower, encode), (vlm.language_model, read), (vlm.model.lm_head, predict))
    handles = [part.register_forward_pre_hook(hook, with_kwargs=True) for part, hook in hooks]
    try:
        yield counted
    finally:
        for handle in handles:
            handle.remove()


def _first(args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Tensor:
    return args[0] if args else kwargs[name]  # type: ignore[no-any-return]
