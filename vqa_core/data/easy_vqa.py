"""easy-VQA, the embedded dataset: the installed package's questions and images in the competition layout.

4,000 + 1,000 images of 64 x 64 pixels, 38,575 + 9,673 questions, 13 answers (https://github.com/vzhou842/easy-VQA).
"""

import csv
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from vqa_core.files import InputError, read_json
from vqa_core.folders import replaced_folder
from vqa_core.progress import metered
from vqa_core.runs.examples import Example

SPLITS = ("train", "test")


def write_easy_vqa(folder: Path) -> None:
    """Write the easy-VQA competition to `folder`: three CSV files, `solution.csv` with the test answers, `image/SPLIT`.

    Does nothing if it is complete; rebuilds it if something is missing or truncated. Raises InputError if the folder
    contains anything else, or if the `easy_vqa` package is not installed.
    """
    data = package_data()
    images = {
        f"image/{split}/{image_id(split, int(path.stem))}.png": path
        for split in SPLITS
        for path in list_images(data, split)
    }
    write_folder(folder, _format_tables(data), images)


def write_folder(folder: Path, tables: Mapping[str, str], images: Mapping[str, Path]) -> None:
    """Write easy-VQA in some form: the texts of its tables and copies of its images, by file name.

    Does nothing if it is complete; rebuilds it if something is missing or truncated. Raises InputError if the folder
    contains anything else.
    """
    expected = {file: len(text.encode()) for file, text in tables.items()}
    expected |= {file: path.stat().st_size for file, path in images.items()}
    sizes = _list_sizes(folder)
    if sizes == expected and all((folder / file).read_bytes() == text.encode() for file, text in tables.items()):
        return
    foreign = sorted(sizes.keys() - expected.keys())
    if foreign:
        raise InputError(
            f"{folder} contains files that do not belong to easy-VQA, such as {foreign[0]}, and was not changed. "
            f"Name an empty or new folder with --data-dir."
        )
    with replaced_folder(folder) as building:
        for place in dict.fromkeys((building / file).parent for file in images):
            place.mkdir(parents=True)
        for file, path in metered(images.items(), "Writing easy-VQA", len(images), "images"):
            shutil.copyfile(path, building / file)
        for file, text in tables.items():
            (building / file).write_text(text, encoding="utf-8", newline="")


def train_examples() -> list[Example]:
    """The training questions as in the written folder. Raises InputError if the package is not installed."""
    records = enumerate(read_json(package_data() / "train" / "questions.json"))
    rows = ((number, image_id("train", image), question, answer) for number, (question, answer, image) in records)
    return [
        Example(f"TRAIN_{number:05d}", image, f"image/train/{image}.png", question, answer)
        for number, image, question, answer in rows
    ]


def package_data() -> Path:
    """The folder of the installed package: SPLIT/questions.json and SPLIT/images."""
    spec = find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        raise InputError(
            "The easy_vqa package is not installed. Install it with `pip install --no-deps easy-vqa==1.0`."
        )
    return Path(spec.origin).parent / "data"


def list_images(data: Path, split: str) -> list[Path]:
    """The images of a split in the package, by number."""
    paths = (data / split / "images").glob("*.png")
    return sorted((path for path in paths if path.stem.isdecimal()), key=lambda path: int(path.stem))


def image_id(split: str, number: int) -> str:
    """The id of the package's image of that number."""
    return f"{split}_{number:04d}"


def _format_tables(data: Path) -> dict[str, str]:
    """File name -> CSV text. Ids number the rows of the package's questions.json, [question, answer, image]."""
    tables: dict[str, str] = {}
    for split in SPLITS:
        rows = [
            (f"{split.upper()}_{number:05d}", image_id(split, image), question, answer)
            for number, (question, answer, image) in enumerate(read_json(data / split / "questions.json"))
        ]
        if split == "train":
            tables["train.csv"] = format_csv(("ID", "image_id", "question", "answer"), rows)
            continue
        tables["test.csv"] = format_csv(("ID", "image_id", "question"), [row[:3] for row in rows])
        tables["sample_submission.csv"] = format_csv(("ID", "answer"), [(row[0], "") for row in rows])
        tables["solution.csv"] = format_csv(("ID", "answer"), [(row[0], row[3]) for row in rows])
    return tables


def format_csv(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """The text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _list_sizes(folder: Path) -> dict[str, int]:
    """The size in bytes of every file below `folder`, by relative path; empty if the folder does not exist."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; easy-VQA needs a folder. Name another path with --data-dir.")
    return {
        (Path(parent) / name).relative_to(folder).as_posix(): (Path(parent) / name).stat().st_size
        for parent, _, names in os.walk(folder)
        for name in names
    }
