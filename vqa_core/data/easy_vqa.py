"""easy-VQA, the embedded dataset: the installed package's questions and images in the competition layout.

4,000 + 1,000 images of 64 x 64 pixels, 38,575 + 9,673 questions, 13 answers (https://github.com/vzhou842/easy-VQA).
"""

import csv
import io
import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from vqa_core.files import InputError, read_json
from vqa_core.folders import replaced_folder
from vqa_core.progress import metered
from vqa_core.runs.examples import Example

SPLITS = ("train", "test")


def write_easy_vqa(folder: Path) -> None:
    """Make `folder` the easy-VQA competition: three CSV files, `solution.csv` with the test answers, `image/SPLIT`.

    Does nothing where it is complete, builds it anew where something is missing or cut short, and raises InputError
    where the folder holds anything else or the `easy_vqa` package is not installed.
    """
    data = package_data()
    tables = _tables(data)
    images = {
        f"image/{split}/{_image_id(split, int(path.stem))}.png": path
        for split in SPLITS
        for path in _images(data, split)
    }
    expected = {name: len(text.encode()) for name, text in tables.items()}
    expected |= {name: path.stat().st_size for name, path in images.items()}
    found = _sizes(folder)
    if found == expected and all((folder / name).read_bytes() == text.encode() for name, text in tables.items()):
        return
    foreign = sorted(found.keys() - expected.keys())
    if foreign:
        raise InputError(
            f"{folder} holds files that are not easy-VQA's, such as {foreign[0]}, and is left as it is. "
            f"Name an empty or new folder with --data-dir."
        )
    with replaced_folder(folder) as building:
        for split in SPLITS:
            (building / "image" / split).mkdir(parents=True)
        for name, path in metered(images.items(), "Writing easy-VQA", len(images), "images"):
            shutil.copyfile(path, building / name)
        for name, text in tables.items():
            (building / name).write_text(text, encoding="utf-8", newline="")


def train_examples() -> list[Example]:
    """The training questions as the written folder has them; an InputError where the package is not installed."""
    rows = enumerate(read_json(package_data() / "train" / "questions.json"))
    named = ((number, _image_id("train", image), question, answer) for number, (question, answer, image) in rows)
    return [
        Example(f"TRAIN_{number:05d}", image, f"image/train/{image}.png", question, answer)
        for number, image, question, answer in named
    ]


def package_data() -> Path:
    """The folder of the installed package: SPLIT/questions.json and SPLIT/images."""
    spec = find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        raise InputError(
            "The easy_vqa package is not installed. Install it with `pip install --no-deps easy-vqa==1.0`."
        )
    return Path(spec.origin).parent / "data"


def _images(data: Path, split: str) -> list[Path]:
    paths = (data / split / "images").glob("*.png")
    return sorted((path for path in paths if path.stem.isdecimal()), key=lambda path: int(path.stem))


def _image_id(split: str, number: int) -> str:
    return f"{split}_{number:04d}"


def _tables(data: Path) -> dict[str, str]:
    """File name -> CSV text. Question ids count the rows of the package's questions.json, [question, answer, image]."""
    tables: dict[str, str] = {}
    for split in SPLITS:
        rows = [
            (f"{split.upper()}_{number:05d}", _image_id(split, image), question, answer)
            for number, (question, answer, image) in enumerate(read_json(data / split / "questions.json"))
        ]
        if split == "train":
            tables["train.csv"] = _csv(("ID", "image_id", "question", "answer"), rows)
            continue
        tables["test.csv"] = _csv(("ID", "image_id", "question"), [row[:3] for row in rows])
        tables["sample_submission.csv"] = _csv(("ID", "answer"), [(row[0], "") for row in rows])
        tables["solution.csv"] = _csv(("ID", "answer"), [(row[0], row[3]) for row in rows])
    return tables


def _csv(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _sizes(folder: Path) -> dict[str, int]:
    """Every file below `folder` by its relative path, with its size in bytes; empty where there is no folder."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; easy-VQA needs a folder. Name another with --data-dir.")
    return {
        (Path(parent) / name).relative_to(folder).as_posix(): (Path(parent) / name).stat().st_size
        for parent, _, names in os.walk(folder)
        for name in names
    }
