"""easy-VQA as multiple choice: the embedded dataset's questions and pictures, with choices drawn by a fixed seed.

A question about a colour or a shape has four choices, one about yes or no has two. The wrong ones are other answers of
the same kind; since easy-VQA has three shapes only, a fourth one that is in no picture is among them.

The training split is biased on purpose: in SHARE_OF_A of its questions the right choice is A. In the validation and
test splits every letter is right equally often. So a model that has learnt the letters instead of the pictures is worse
there, and what removes that bias (`--shuffle-choices` in training, `--option-orders` in answering) can be measured.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from vqa_core.data.easy_vqa import format_csv, image_id, list_images, package_data, write_folder
from vqa_core.files import read_json
from vqa_core.runs.choices import letter
from vqa_core.runs.examples import choose_val_images

NAME = "easy-vqa-choices"
SHARE_OF_A = 0.7
SEED = 0
VAL_FRACTION = 0.05
MOST = 4
COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES, NO_SHAPES = ("circle", "rectangle", "triangle"), ("hexagon", "oval", "star")
YES_NO = ("no", "yes")


def write_easy_vqa_choices(folder: Path) -> None:
    """Write the competition to `folder`: a table for train, val and test, the sample submission, solution, pictures.

    Columns are `ID`, `image_id`, `question`, `A` to `D` (`C` and `D` may be blank) and `answer`, a letter. Ids are
    those of easy-VQA. val.csv has the questions about VAL_FRACTION of the training pictures. Does nothing if the folder
    is complete, and raises InputError as `write_easy_vqa` does.
    """
    data = package_data()
    numbers = {split: [int(path.stem) for path in list_images(data, split)] for split in ("train", "test")}
    held_out = choose_val_images([image_id("train", number) for number in numbers["train"]], VAL_FRACTION, SEED)
    rows: dict[str, list[tuple[str, ...]]] = {"train": [], "val": [], "test": []}
    draw = {split: random.Random(f"{SEED} {split}") for split in rows}
    for source in numbers:
        for number, (question, answer, image) in enumerate(read_json(data / source / "questions.json")):
            picture = image_id(source, image)
            split = "val" if picture in held_out else source
            choices, right = draw_choices(answer, draw[split], SHARE_OF_A if split == "train" else None)
            fields = (*choices, *[""] * (MOST - len(choices)))
            rows[split].append((f"{source.upper()}_{number:05d}", picture, question, *fields, letter(right)))
    images = {
        f"image/{'val' if (picture := image_id(source, int(path.stem))) in held_out else source}/{picture}.png": path
        for source in numbers
        for path in list_images(data, source)
    }
    write_folder(folder, _format_tables(rows), images)


def draw_choices(answer: str, draw: random.Random, share_of_a: float | None = None) -> tuple[list[str], int]:
    """Choices for a question of easy-VQA with that answer, in random order, and the index of the right one.

    The right one is the first with probability `share_of_a`, if given, else as often as any other.
    """
    if answer in YES_NO:
        wrong = [other for other in YES_NO if other != answer]
    elif answer in SHAPES:
        wrong = [*(other for other in SHAPES if other != answer), draw.choice(NO_SHAPES)]
    else:
        wrong = draw.sample([colour for colour in COLOURS if colour != answer], MOST - 1)
    draw.shuffle(wrong)
    if share_of_a is None:
        right = draw.randrange(len(wrong) + 1)
    else:
        right = 0 if draw.random() < share_of_a else 1 + draw.randrange(len(wrong))
    return [*wrong[:right], answer, *wrong[right:]], right


def _format_tables(rows: Mapping[str, Sequence[tuple[str, ...]]]) -> dict[str, str]:
    """File name -> CSV text."""
    asked = ("ID", "image_id", "question", *map(letter, range(MOST)))
    return {
        "train.csv": format_csv((*asked, "answer"), rows["train"]),
        "val.csv": format_csv((*asked, "answer"), rows["val"]),
        "test.csv": format_csv(asked, [row[:-1] for row in rows["test"]]),
        "sample_submission.csv": format_csv(("ID", "answer"), [(row[0], letter(0)) for row in rows["test"]]),
        "solution.csv": format_csv(("ID", "answer"), [(row[0], row[-1]) for row in rows["test"]]),
    }
