"""What `--data` may name: a competition folder, a zip of one, an embedded data set, or other people's formats."""

from collections.abc import Callable
from pathlib import Path
from zipfile import is_zipfile

from vqa_core.commands import shell_word
from vqa_core.data.archives import extract_zip, unpack_images
from vqa_core.data.choices.easy_vqa import NAME, write_easy_vqa_choices
from vqa_core.data.choices.forms import AUTO
from vqa_core.data.competition import dataset_root
from vqa_core.data.easy_vqa import write_easy_vqa
from vqa_core.data.formats.importing import Sources, import_data, is_foreign
from vqa_core.data.formats.layouts.json_values import refuse_pickle
from vqa_core.data.formats.linking import link_images
from vqa_core.files import InputError
from vqa_core.progress import Meter
from vqa_core.runs.examples import ColumnMap

EASY_VQA, EASY_VQA_CHOICES = "easy-vqa", NAME
EMBEDDED: dict[str, Callable[[Path], None]] = {EASY_VQA: write_easy_vqa, EASY_VQA_CHOICES: write_easy_vqa_choices}
"""The data sets that come with the workbench, by the name that `--data` has for them."""


def data_folder(
    source: str,
    data_dir: Path | None = None,
    *,
    images: Path | None = None,
    test_images: Path | None = None,
    columns: ColumnMap | None = None,
    to_answer: bool = False,
    answer_form: str = AUTO,
) -> Path:
    """The competition folder that `source` stands for; write or unpack it first if necessary.

    Writes one of EMBEDDED to `data_dir` (default `data/NAME`), unpacks a zip to it (default: beside the zip), or
    imports another format to it (`import_data`, with its default), with `images`, `columns` and `answer_form`;
    `to_answer` imports test questions instead of training data. A competition folder with `images` or `test_images`
    elsewhere gets a folder of links (`link_images`; `data_dir`, or data/NAME.linked). Raises InputError if the source
    cannot be read.
    """
    if (images or test_images) and not is_foreign(source):
        of_split = {"test": test_images or images} | ({} if to_answer else {"train": images, "val": images})
        places = {split: place for split, place in of_split.items() if place}
        given = Path(source).is_dir()
        folder = Path(source) if given else data_folder(source, data_dir)
        return link_images(folder, places, data_dir if given else None, "-asked" if to_answer else "")
    if source in EMBEDDED:
        folder = data_dir or Path("data") / source
        EMBEDDED[source](folder)
        return folder
    if is_foreign(source):
        data, asked = ((), (source,)) if to_answer else ((source,), ())
        read = Sources(data, asked, images, columns=columns or ColumnMap(), answer_form=answer_form)
        return import_data(read, data_dir)
    path = Path(source)
    if path.is_dir():
        _unpack_images(path)
        return path
    if not path.exists():
        raise InputError(f"--data {source} does not exist. Name a folder, a zip, or {EASY_VQA}.")
    refuse_pickle(path)
    if path.suffix.lower() != ".zip" and not is_zipfile(path):
        raise InputError(
            f"--data {source} is not a folder, a zip, or a JSON or parquet file. Name the folder that it is in."
        )
    with Meter("Unpacking", "B") as meter:
        folder = extract_zip(path, data_dir, progress=meter.at)
    if is_foreign(str(folder)):
        raise InputError(f"{source} holds data in another format. Read it with --data {shell_word(folder)}.")
    return folder


def _unpack_images(folder: Path) -> None:
    """Unpack zips of images beside the CSV files of a dataset, if the folder holds one."""
    try:
        root = dataset_root(folder)
    except InputError:
        return  # whoever reads it says what is missing
    unpack_images(root)
