"""The table of training rows: a memory-mapped `datasets.Dataset`, one row per image with all its questions."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqa_core.drives import refused, warn
from vqa_core.files import InputError
from vqa_core.folders import replaced_folder
from vqa_core.runs.examples import Example, group_by_image

if TYPE_CHECKING:
    import datasets


def write_rows(examples: Iterable[Example], folder: Path) -> int:
    """Write the examples, grouped by image, as a folder that `open_rows` opens; return the number of rows.

    Columns: image (path relative to the dataset folder), image_id, and lists with one entry per question:
    question_ids, questions, answers; where a question has choices also choices, a list each, and answer_forms. The
    folder is replaced as a whole.
    """
    import datasets  # takes a second, and only this table needs it

    datasets.disable_progress_bars()  # saving draws one of its own
    texts = datasets.Value("string")
    columns = {"image": texts, "image_id": texts} | dict.fromkeys(
        ("question_ids", "questions", "answers"), datasets.List(texts)
    )
    groups = group_by_image(examples)
    rows: dict[str, list[Any]] = {
        "image": [group[0].image for group in groups],
        "image_id": [group[0].image_id for group in groups],
        "question_ids": [[example.question_id for example in group] for group in groups],
        "questions": [[example.question for example in group] for group in groups],
        "answers": [[example.answer for example in group] for group in groups],
    }
    if any(example.choices for group in groups for example in group):
        columns |= {"choices": datasets.List(datasets.List(texts)), "answer_forms": datasets.List(texts)}
        rows["choices"] = [[list(example.choices) for example in group] for group in groups]
        rows["answer_forms"] = [[example.answer_form for example in group] for group in groups]
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(columns))
    with replaced_folder(folder) as building:
        table.save_to_disk(building)
    return len(groups)


def open_rows(folder: Path) -> "datasets.Dataset":
    """Open what `write_rows` wrote; rows are read on access."""
    if not (folder / "state.json").is_file():
        raise InputError(f"{folder} holds no training rows. Write them with `python -m train.prepare`.")
    import datasets

    try:
        return datasets.load_from_disk(folder)
    except OSError as error:
        if not refused("mmap", error):
            raise
        rows = datasets.load_from_disk(folder, keep_in_memory=True)
        warn("mmap", error, folder)
        return rows
