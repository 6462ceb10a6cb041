"""Examples: pictures of easy-VQA's test set, which no shipped model has seen, each with something to ask."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AskExample:
    key: str
    path: Path
    questions: str  # one per line


_QUESTIONS = {
    12: "what shape is in the image?",
    24: "what color is the circle?",
    23: "is there a blue rectangle?",
    28: "what is the color of the triangle?\nwhat shape is present?\nis there a red shape?",
    33: "is there not a gray shape?",
    39: "what is the yellow shape?",
}


def list_examples() -> dict[str, AskExample]:
    """The examples by key; none if the `easy_vqa` package is not installed."""
    spec = find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent / "data" / "test" / "images"
    found = [AskExample(str(number), folder / f"{number}.png", text) for number, text in _QUESTIONS.items()]
    return {example.key: example for example in found if example.path.is_file()}
