"""PROJECTORS: from the vision tower's patch features to image tokens. A new kind is one class and one entry."""

import re
from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from vqa_core.files import InputError


class Projector(Protocol):
    """A projector's methods. B images, S = side * side patches, D_v tower size, N image tokens, D language size."""

    def num_tokens(self, side: int) -> int:
        """Image tokens N made from a `side` x `side` grid of patches."""
        ...

    def __call__(self, features: Tensor) -> Tensor:
        """(B, S, D_v) -> (B, N, D)."""
        ...


class LinearProjector(nn.Linear):
    """One linear layer, LLaVA 1.0's and the original team's. Keys `weight`, `bias` as in `mm_projector.bin`."""

    def __init__(self, vision_size: int, hidden_size: int, factor: int) -> None:  # noqa: ARG002
        super().__init__(vision_size, hidden_size)

    def num_tokens(self, side: int) -> int:
        return side * side


class MlpProjector(nn.Module):
    """Linear layers with GELU between them: LLaVA-1.5's `mlp2x_gelu` and its deeper kin.

    Keys `linear_1.weight` ... `linear_N.bias`; of two layers, those of transformers' LlavaMultiModalProjector.
    """

    def __init__(self, vision_size: int, hidden_size: int, factor: int, layers: int = 2) -> None:  # noqa: ARG002
        super().__init__()
        self.layers = layers
        for number in range(1, layers + 1):
            self.add_module(f"linear_{number}", nn.Linear(vision_size if number == 1 else hidden_size, hidden_size))

    def num_tokens(self, side: int) -> int:
        return side * side

    def forward(self, features: Tensor) -> Tensor:
        tokens: Tensor = self.get_submodule("linear_1")(features)
        for number in range(2, self.layers + 1):
            tokens = self.get_submodule(f"linear_{number}")(nn.functional.gelu(tokens))
        return tokens


class PixelShuffleProjector(nn.Module):
    """Merge `factor` x `factor` patches into one token (as SmolVLM and InternVL do), then LayerNorm and an MLP."""

    def __init__(self, vision_size: int, hidden_size: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.norm = nn.LayerNorm(vision_size * factor * factor)
        self.mlp = MlpProjector(vision_size * factor * factor, hidden_size, factor)

    def num_tokens(self, side: int) -> int:
        if side % self.factor:
            raise InputError(
                f"--pixel-shuffle {self.factor} does not divide the {side} x {side} grid of patches. "
                f"Use {' or '.join(str(n) for n in range(1, side + 1) if side % n == 0)}, or change --image-side-px."
            )
        return (side // self.factor) ** 2

    def forward(self, features: Tensor) -> Tensor:
        return self.mlp(self.norm(shuffle_pixels(features, self.factor)))  # type: ignore[no-any-return]


class PooledProjector(nn.Module):
    """Two tokens an image: mean and maximum over the patches, each with its own LayerNorm and input layer."""

    def __init__(self, vision_size: int, hidden_size: int, factor: int) -> None:
        super().__init__()
        self.norm = nn.ModuleList(nn.LayerNorm(vision_size) for _ in range(2))
        self.mlp = nn.ModuleList(MlpProjector(vision_size, hidden_size, factor) for _ in range(2))

    def num_tokens(self, side: int) -> int:  # noqa: ARG002
        return 2

    def forward(self, features: Tensor) -> Tensor:
        pooled = [features.mean(1), features.amax(1)]  # 2 x (B, D_v)
        tokens = [mlp(norm(x)) for mlp, norm, x in zip(self.mlp, self.norm, pooled, strict=True)]
        return torch.stack(tokens, dim=1)  # (B, 2, D)


class PooledAndShuffledProjector(nn.Module):
    """The two pooled tokens, then the pixel-shuffled patches: a quick start and the detail that harder images need."""

    def __init__(self, vision_size: int, hidden_size: int, factor: int) -> None:
        super().__init__()
        self.pooled = PooledProjector(vision_size, hidden_size, factor)
        self.patches = PixelShuffleProjector(vision_size, hidden_size, factor)

    def num_tokens(self, side: int) -> int:
        return self.pooled.num_tokens(side) + self.patches.num_tokens(side)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.pooled(features), self.patches(features)], dim=1)  # (B, 2 + N, D)


class BoundedProjector(nn.Module):
    """Another projector's tokens between two learned vectors, LLaVA's `<im_start>` and `<im_end>`: no vocabulary grows.

    Keys `start` and `end`, each (D,), and the other projector's below `patches`.
    """

    def __init__(self, patches: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.patches = patches
        self.start = nn.Parameter(torch.zeros(hidden_size))
        self.end = nn.Parameter(torch.zeros(hidden_size))

    def num_tokens(self, side: int) -> int:
        return 2 + self.patches.num_tokens(side)  # type: ignore[operator,no-any-return]

    def forward(self, features: Tensor) -> Tensor:
        tokens: Tensor = self.patches(features)  # (B, N, D)
        start, end = (vector.expand(len(tokens), 1, -1) for vector in (self.start, self.end))
        return torch.cat([start, tokens, end], dim=1)  # (B, 2 + N, D)


def shuffle_pixels(features: Tensor, factor: int) -> Tensor:
    """(B, S, D) -> (B, S / factor^2, D * factor^2), where S is a square grid in row order."""
    batch, patches, size = features.shape
    side = round(patches**0.5)
    x = features.view(batch, side // factor, factor, side // factor, factor, size)
    x = x.permute(0, 1, 3, 2, 4, 5)  # (B, rows, columns, factor, factor, D)
    return x.reshape(batch, (side // factor) ** 2, factor * factor * size)


PROJECTORS: dict[str, type[nn.Module]] = {
    "linear": LinearProjector,
    "mlp2x_gelu": MlpProjector,
    "pixel_shuffle_mlp": PixelShuffleProjector,
    "pooled_mlp": PooledProjector,
    "pooled_and_patches_mlp": PooledAndShuffledProjector,
}


_MLP = re.compile(r"mlp([1-9]\d?)x_gelu")


def is_mlp(kind: str) -> bool:
    """Whether it is `mlpNx_gelu`, LLaVA's kind of N layers."""
    return bool(_MLP.fullmatch(kind))


def projector_class(kind: str) -> Callable[[int, int, int], nn.Module]:
    """The constructor of a kind of projector, also of `mlpNx_gelu` for any N; an InputError lists the known kinds."""
    if kind in PROJECTORS:
        return PROJECTORS[kind]
    if match := _MLP.fullmatch(kind):
        return partial(MlpProjector, layers=int(match[1]))
    raise InputError(
        f"--projector {kind!r} is not known; choose from {', '.join(PROJECTORS)}, or mlp3x_gelu and deeper."
    )


def build_projector(
    kind: str, vision_size: int, hidden_size: int, pixel_shuffle: int, *, boundaries: bool = False
) -> nn.Module:
    """A freshly initialised projector; with `boundaries` a BoundedProjector, its two vectors 0."""
    projector = projector_class(kind)(vision_size, hidden_size, pixel_shuffle)
    return BoundedProjector(projector, hidden_size) if boundaries else projector
