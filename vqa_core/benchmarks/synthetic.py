"""Write a synthetic competition folder like Dacon's 2023 multimodal VQA, of the same size or a share of it.

The picture files are hard links to a few hundred real PNG and JPEG files, so 119,146 of them take only some MB.
"""

import csv
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from vqa_core.drives import link_or_copy
from vqa_core.runs.examples import Example

SIZES = {"train": (359_521, 107_231), "test": (40_479, 11_915)}  # rows, images
PAGE_SIZES = {"train": (360_000, 108_000), "test": (40_500, 12_000)}  # the size that the page must handle
THINGS = ["bus", "cat", "man on the left", "t-shirt", "clock", "버스", "고양이", "왼쪽 사람", "티셔츠", "시계"]
QUESTIONS = [
    "What color is the {}?",
    "Is there a {} in the picture?",
    "How many {}s are there, if any?",
    "What time does the {} show?",
    'What does "{}" say?',
    "{}는 무슨 색인가요?",
    "사진에 {}가 있나요?",
    "이 {}에서 사람들은 무엇을 하고 있으며, 그 뒤에는 무엇이 보이나요?",
]
WORDS = [f"word{number}" for number in range(40)]
LABELS = [" ".join([f"label{number}", "or", "so"][: 1 + number % 3]) for number in range(60)]
COMMON = ["yes", "no", "1", "2", "white", "3", "red", "blue", "4", "green", "black", "0", "none", "brown", "5"]
ODD = ["NA", "001", "t-shirt", "10:20", "1/4", "red, white and blue", "don't know", "빨간색", "예", "아니요", "None"]


def make_dacon(folder: Path, share: float = 1.0, seed: int = 0, sizes: Mapping[str, tuple[int, int]] = SIZES) -> None:
    """Write train.csv, test.csv, sample_submission.csv and image/train, image/test below `folder`."""
    draw = random.Random(seed)
    originals = _write_originals(folder / "originals", round(max(8, 300 * share)), seed)
    answers = [*COMMON, *ODD, *(f"answer {n}" for n in range(round(3000 * share)))]
    weights = [1 / (rank + 1) for rank in range(len(answers))]
    for split, (rows, images) in sizes.items():
        rows, images = round(rows * share), round(images * share)
        ids = [f"{split}_{number:06d}" for number in range(images)]
        _link(folder / "image" / split, ids, originals)
        image_ids = sorted([*ids, *draw.choices(ids, k=rows - images)])  # every image once, then any
        texts = [draw.choice(QUESTIONS).format(draw.choice(THINGS)) for _ in image_ids]
        labels = draw.choices(answers, weights, k=rows)
        header = ["ID", "image_id", "question", "answer"]
        table = [[f"{split.upper()}_{n:06d}", *row] for n, row in enumerate(zip(image_ids, texts, labels))]
        columns = 4 if split == "train" else 3
        _write(folder / f"{split}.csv", [header, *table], columns)
        if split == "test":
            _write(folder / "sample_submission.csv", [["ID", "answer"], *([row[0], "0"] for row in table)], 2)


def _write(path: Path, rows: list[list[str]], columns: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(row[:columns] for row in rows)


def _write_originals(folder: Path, count: int, seed: int) -> list[Path]:
    """Write smoothed noise as PNG and JPEG, with the dimensions and file sizes of real photographs."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        noise = Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        path = folder / (f"{number}.png" if number % 8 == 0 else f"{number}.jpg")
        noise.resize((320, 240) if path.suffix == ".png" else (640, 480), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def _link(folder: Path, ids: list[str], originals: list[Path]) -> None:
    folder.mkdir(parents=True)
    for number, image_id in enumerate(ids):
        original = originals[number % len(originals)]
        link_or_copy(original, folder / f"{image_id}{original.suffix}")


def make_questions(folder: Path, images: int, mean: float, seed: int = 0) -> list[Example]:
    """Write `images` different pictures to `folder`, and return `mean` questions about each on average.

    Questions have 12 to 24 words; answers have 1 to 3, and differ in the first. Nothing else affects speed.
    """
    draw = random.Random(seed)
    examples: list[Example] = []
    for number, path in enumerate(_write_originals(folder, images, seed)):
        for _ in range(int(mean * (number + 1) + 0.5) - int(mean * number + 0.5)):
            question = " ".join(draw.choices(WORDS, k=draw.randint(12, 24)))
            answer = LABELS[len(examples) % len(LABELS)]
            examples.append(Example(f"Q{len(examples):06d}", path.stem, path.name, question, answer))
    return examples
