"""The sizes of a model's parts, from their config.json alone: no weights are loaded, no hub is asked.

D_v is the hidden size of the tower, D that of the language model, r the rank of LoRA. The size of a part is None if its
config.json is not on this machine.
"""

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa_core.config import ModelSettings

EMBEDDED_TOWER = {"model_type": "dinov2", "hidden_size": 384, "num_hidden_layers": 12, "mlp_ratio": 4,
                  "image_size": 518, "patch_size": 14}  # fmt: skip
EMBEDDED_LANGUAGE = {"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536,
                     "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49_152,
                     "tie_word_embeddings": True}  # fmt: skip
"""The config.json of the embedded parts, known before they are built; a test compares."""


@dataclass(frozen=True, slots=True)
class TowerSizes:
    """A vision tower of the ViT family (CLIP, DINOv2, SigLIP and similar). `image` and `patch` are sides in pixels."""

    kind: str
    hidden: int
    layers: int
    inner: int
    image: int
    patch: int

    @property
    def parameters(self) -> int:
        """Exact for CLIP and DINOv2, within a few percent for others."""
        d, m = self.hidden, self.inner
        scales = 2 * d if self.kind == "dinov2" else 0  # one after attention, one after the MLP
        layer = 4 * (d * d + d) + (2 * d * m + m + d) + 4 * d + scales  # attention, MLP, two norms
        positions = (self.image // self.patch) ** 2 + 1
        # class token and two norms (CLIP), or class token, mask token, bias of the patches and one norm (DINOv2)
        return self.layers * layer + 5 * d + positions * d + 3 * self.patch**2 * d


@dataclass(frozen=True, slots=True)
class LanguageSizes:
    """A language model like Llama. `queries` and `keys` are the widths of these projections, all heads together."""

    hidden: int
    layers: int
    inner: int
    vocabulary: int
    queries: int
    keys: int
    tied: bool

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """The linear modules of a layer by name: (inputs, outputs)."""
        d, m = self.hidden, self.inner
        return {"q_proj": (d, self.queries), "k_proj": (d, self.keys), "v_proj": (d, self.keys),
                "o_proj": (self.queries, d), "gate_proj": (d, m), "up_proj": (d, m), "down_proj": (m, d)}  # fmt: skip

    @property
    def in_layers(self) -> int:
        """Parameters of the linear modules of all layers: those that 4 and 8 bits quantise."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linear.values())

    @property
    def parameters(self) -> int:
        head = self.vocabulary * self.hidden
        return self.in_layers + 2 * self.layers * self.hidden + self.hidden + head * (1 if self.tied else 2)

    def lora(self, rank: int, targets: Collection[str] = ()) -> int:
        """Parameters of LoRA's two matrices on the linear modules `targets`, or on all of them if it is empty."""
        chosen = [shape for name, shape in self.linear.items() if not targets or name in targets]
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in chosen)


@dataclass(frozen=True, slots=True)
class ProjectorSizes:
    """A projector: its parameters, and the number of image tokens N per picture."""

    parameters: int
    image_tokens: int


def _mlp(inputs: int, d: int, layers: int = 2) -> int:
    return inputs * d + d + (layers - 1) * (d * d + d)


def _shuffled(inputs: int, d: int) -> int:
    return 2 * inputs + _mlp(inputs, d)


def _pooled(inputs: int, d: int) -> int:
    return 2 * (2 * inputs + _mlp(inputs, d))


PROJECTOR_KINDS = ("linear", "mlp2x_gelu", "pixel_shuffle_mlp", "pooled_mlp", "pooled_and_patches_mlp")
"""The names in vqa_core.model.projectors.PROJECTORS, whose import would load torch; a test compares."""


def projector_sizes(settings: ModelSettings, tower: TowerSizes, hidden: int) -> ProjectorSizes | None:
    """The projector between a tower and a language model of width `hidden`; None if the settings name none."""
    d_v, side, factor = tower.hidden, settings.image_side_px // tower.patch, settings.pixel_shuffle
    merged = (side // factor) ** 2
    parameters, tokens = {
        "linear": (d_v * hidden + hidden, side * side),
        "pixel_shuffle_mlp": (_shuffled(d_v * factor**2, hidden), merged),
        "pooled_mlp": (_pooled(d_v, hidden), 2),
        "pooled_and_patches_mlp": (_pooled(d_v, hidden) + _shuffled(d_v * factor**2, hidden), 2 + merged),
    }.get(settings.projector, (0, 0))
    if deep := re.fullmatch(r"mlp([1-9]\d?)x_gelu", settings.projector):
        parameters, tokens = _mlp(d_v, hidden, int(deep[1])), side * side
    if tokens and settings.image_boundaries:
        parameters, tokens = parameters + 2 * hidden, tokens + 2
    return ProjectorSizes(parameters, tokens) if tokens else None


def tower_sizes(name: str) -> TowerSizes | None:
    """The sizes of the tower that `--vision-tower` names; of a two-tower model such as CLIP, of its vision tower."""
    config = _config(name, EMBEDDED_TOWER)
    config = config.get("vision_config") or config
    try:
        hidden = int(config["hidden_size"])
        inner = int(config.get("intermediate_size") or hidden * config["mlp_ratio"])
        kind = str(config.get("model_type", ""))
        return TowerSizes(kind, hidden, int(config["num_hidden_layers"]), inner, int(config["image_size"]),
                          max(1, int(config["patch_size"])))  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None


def language_sizes(name: str) -> LanguageSizes | None:
    """The sizes of the model that `--language-model` names."""
    config = _config(name, EMBEDDED_LANGUAGE)
    config = config.get("text_config") or config
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        head = int(config.get("head_dim") or hidden // heads)
        return LanguageSizes(
            hidden=hidden,
            layers=int(config["num_hidden_layers"]),
            inner=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            queries=heads * head,
            keys=int(config.get("num_key_value_heads") or heads) * head,
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _config(name: str, embedded: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of an embedded part, of a folder, or of a hub id that was downloaded before; else {}."""
    if name == "embedded":
        return dict(embedded)
    for path in (Path(name), *_fetched(name)):
        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict):
            return config
    return {}


def _fetched(hub_id: str) -> list[Path]:
    """The folders where huggingface_hub keeps downloads of `org/name`, newest first."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    try:
        found = (cache / f"models--{hub_id.replace('/', '--')}" / "snapshots").iterdir()
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    except (OSError, ValueError):
        return []
