"""The questions of a benchmark, with a given number per image, and the work that they take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from vqa_core.benchmarks.floors import ModelShape, Workload, transformer_encode_flops
from vqa_core.data.images import image_hash
from vqa_core.files import InputError
from vqa_core.model.vlm import Vlm
from vqa_core.runs.examples import Example, group_by_image


@dataclass(frozen=True, slots=True)
class Questions:
    """Examples about pictures below `root`. A model may give only one of `answers`."""

    root: Path
    examples: list[Example]
    answers: list[str]

    @classmethod
    def of_competition(cls, source: str) -> "Questions":
        """The training questions with answers of any source that `--data` takes."""
        from vqa_core.data.competition import read_competition  # pandas, which the GPU benchmark does not need
        from vqa_core.data.sources import data_folder

        competition = read_competition(data_folder(source), splits=("train",))
        examples = [example for example in competition.train if example.answer]
        return cls(competition.root, examples, sorted({example.answer or "" for example in examples}))

    @property
    def texts(self) -> list[str]:
        return [example.question for example in self.examples] + self.answers

    @property
    def images(self) -> int:
        return len(group_by_image(self.examples))

    def choose(self, images: int, mean: float) -> "Questions":
        """The first images with enough questions, cut to `mean` questions each: 3.4 becomes 3, 4, 3, 4, 3, ...

        Skips copies of a picture under another name, since they would be answered together. Raises InputError if too
        few images have enough questions.
        """
        counts = [int(mean * (number + 1) + 0.5) - int(mean * number + 0.5) for number in range(images)]
        groups: dict[str, list[Example]] = {}
        for group in group_by_image(self.examples):
            if len(groups) < images and group[0].image and len(group) >= max(counts):
                groups.setdefault(image_hash(self.root / group[0].image), group)
        if len(groups) < images:
            raise InputError(
                f"The data has {len(groups)} images with {max(counts)} questions or more; --images {images} at "
                f"--questions-per-image {mean:g} needs more. Lower either."
            )
        chosen = [example for group, count in zip(groups.values(), counts) for example in group[:count]]
        return replace(self, examples=chosen)


def workload_of(vlm: Vlm, examples: Sequence[Example], answers: Mapping[str, str] | None = None) -> Workload:
    """The work of generating `answers`, by question id; or of learning the examples' own answers."""
    prompt = vlm.prompt

    def lengths(example: Example) -> tuple[int, int]:
        answer = answers[example.question_id] if answers is not None else example.answer or ""
        return len(prompt.branch_ids(example.question)[0]), len(prompt.answer_ids(answer))

    groups = [[lengths(example) for example in group] for group in group_by_image(examples)]
    before = len(prompt.prefix_ids)
    return Workload.of(before + vlm.image_tokens, groups, 0 if answers is None else before)


def shape_of(vlm: Vlm) -> ModelShape:
    """The sizes that determine a model's work."""
    config: Any = vlm.language_model.config
    return ModelShape(
        linear=linear_weights(vlm.language_model),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        encode_flops=encode_flops(vlm.vision_tower, vlm.transform.side, vlm.settings.vision_feature_layer),
    )


def encode_flops(tower: Any, side: int, feature_layer: int) -> float:
    """FLOPs of encoding one picture of `side` pixels up to the layer that is projected."""
    config = tower.config
    used = feature_layer if feature_layer >= 0 else config.num_hidden_layers + 1 + feature_layer
    linear = linear_weights(tower) * used // config.num_hidden_layers
    tokens = (side // config.patch_size) ** 2 + 1
    return transformer_encode_flops(linear, used, config.hidden_size, tokens)


def linear_weights(module: nn.Module) -> int:
    """The number of weights in a module's linear layers; also works on the meta device."""
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Linear))
