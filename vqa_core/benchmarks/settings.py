"""The settings of the benchmarks, one class per subcommand of `python -m eval.benchmark`."""

from dataclasses import dataclass

from vqa_core.files import InputError
from vqa_core.settings import Settings, setting

_MODEL = "`embedded` with a random projector, `small` or `tiny` with random weights, or the model folder of a run"
_MEANS = "mean number of questions per image; several are measured one after the other"


@dataclass(frozen=True)
class InferBench(Settings):
    """Answering: the questions of an image together, one by one, and batched by transformers."""

    model: str = setting("embedded", _MODEL)
    data: str = setting("easy-vqa", "competition folder or zip to take training images and questions from")
    questions_per_image: tuple[str, ...] = setting(("3.4", "9.7"), _MEANS)
    images: int = setting(10, "images to ask about", unit="images", minimum=1)
    rounds: int = setting(5, "rounds that count; one more warms up", minimum=1)
    batch_questions: int = setting(128, "questions answered at once", unit="questions", minimum=1)
    exact_images: int = setting(2, "images to compare answers on in fp32, if bf16 is timed", minimum=1)
    precision: str = setting("auto", "number format to time", choices=("auto", "fp32", "bf16"))


@dataclass(frozen=True)
class PeerBench(Settings):
    """Answering: the questions of an image together, against LLaVA itself, one question at a time."""

    data: str = setting("easy-vqa", "competition folder or zip to take training images and questions from")
    questions_per_image: float = setting(3.4, "mean number of questions per image", minimum=1.0)
    images: int = setting(5, "images to ask about", unit="images", minimum=1)
    rounds: int = setting(5, "rounds that count; one more warms up", minimum=1)
    max_new_tokens: int = setting(8, "longest answer", unit="tokens", minimum=1)
    python: str = setting(".venv-peer/bin/python", "Python of LLaVA's environment, which `make parity` creates")


@dataclass(frozen=True)
class TrainBench(Settings):
    """Training the projector: rows packed by image against one row per question."""

    model: str = setting("embedded", _MODEL)
    data: str = setting("easy-vqa", "competition folder or zip to take training images, questions and answers from")
    questions_per_image: tuple[str, ...] = setting(("3.4",), _MEANS)
    images: int = setting(5, "images to train on", unit="images", minimum=1)
    rounds: int = setting(5, "rounds that count; one more warms up", minimum=1)
    batch_tokens: int = setting(2048, "most tokens per batch, including padding", unit="tokens", minimum=1)
    exact_images: int = setting(2, "images to compare loss and gradient on in fp32, if bf16 is timed", minimum=1)
    precision: str = setting("auto", "number format to time", choices=("auto", "fp32", "bf16"))


@dataclass(frozen=True)
class PrepareBench(Settings):
    """Preparing a folder of the size of Dacon's competition: 359,521 + 40,479 questions, 119,146 images."""

    share: float = setting(1.0, "share of that size", minimum=0.001, maximum=1.0)


@dataclass(frozen=True)
class GpuBench(Settings):
    """The 7B shape (CLIP ViT-L/14 at 224 px, Vicuna-7B) on a CUDA device, with random weights."""

    model: str = setting("7b", "shape of the model; `tiny` runs anywhere, as a test", choices=("7b", "small", "tiny"))
    minutes: float = setting(7.5, "time limit, without loading", unit="minutes", minimum=0.1, maximum=60.0)
    batch_questions: int = setting(128, "questions answered at once", unit="questions", minimum=1)


@dataclass(frozen=True)
class PageBench(Settings):
    """The page in Chromium, on a made-up competition of 120,000 images and 400,500 questions."""

    share: float = setting(1.0, "share of that size", minimum=0.001, maximum=1.0)
    pages: int = setting(60, "pages to turn", minimum=1)
    searches: int = setting(60, "texts to search for", minimum=1)
    starts: int = setting(3, "starts of the page, until its first tab is drawn", minimum=1)
    answers: int = setting(10, "questions to ask after the first", minimum=1)
    tabs: int = setting(10, "tabs that watch a training", minimum=1)
    minutes: float = setting(10.0, "how long they watch it, at least 5 s", unit="minutes", minimum=0.0, maximum=600.0)


@dataclass(frozen=True)
class RecipeBench(Settings):
    """Accuracy of the Dacon team's recipe, and of each change of LLaVA-1.5, after the same number of steps."""

    vision_tower: str = setting("embedded", "vision tower: `embedded`, a Hugging Face folder or a hub id")
    language_model: str = setting("embedded", "language model: `embedded`, a Hugging Face folder or a hub id")
    data: str = setting("easy-vqa", "competition folder or zip; its training rows are split by image")
    steps: int = setting(100, "optimiser steps per variant", unit="steps", minimum=1)
    seeds: int = setting(1, "trainings per variant, with seeds from 0", minimum=1)
    questions: int = setting(500, "validation questions to ask; 0 asks all", unit="questions", minimum=0)
    batch_questions: int = setting(64, "questions per step", unit="questions", minimum=1)
    image_side_px: int = setting(56, "side of the square image the tower sees", unit="pixels", minimum=14, maximum=2048)
    precision: str = setting("auto", "number format", choices=("auto", "fp32", "bf16"))


def means(settings: InferBench | TrainBench) -> list[float]:
    """The numbers in `questions_per_image`. Raises InputError for other texts."""
    try:
        values = [float(text) for text in settings.questions_per_image]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise InputError(
            f"--questions-per-image {' '.join(settings.questions_per_image)} is not a list of numbers of at least 1, "
            "such as 3.4 9.7."
        )
    return values
