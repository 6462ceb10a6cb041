"""What `--data` may name: a competition folder, a zip of one, the embedded `easy-vqa`, or other people's formats."""

from pathlib import Path
from zipfile import is_zipfile

from vqa_core.data.archives import extract_zip
from vqa_core.data.easy_vqa import write_easy_vqa
from vqa_core.data.formats.importing import Sources, import_data, is_foreign
from vqa_core.files import InputError
from vqa_core.progress import Meter
from vqa_core.runs.examples import ColumnMap

EASY_VQA = "easy-vqa"


def data_folder(
    source: str,
    data_dir: Path | None = None,
    *,
    images: Path | None = None,
    columns: ColumnMap | None = None,
    to_answer: bool = False,
) -> Path:
    """The competition folder that `source` stands for, written or unpacked where it has to be.

    `easy-vqa` is written to `data_dir` (default `data/easy-vqa`), a zip is unpacked to it (default: beside the zip),
    what `vqa_core.data.formats.importing` reads is turned into it (default as in `import_data`): with `images` and
    `columns`, and with all of it to be answered rather than trained on, as told. Raises InputError for what cannot be
    read.
    """
    if source == EASY_VQA:
        folder = data_dir or Path("data") / EASY_VQA
        write_easy_vqa(folder)
        return folder
    if is_foreign(source):
        data, asked = ((), (source,)) if to_answer else ((source,), ())
        return import_data(Sources(data, asked, images, columns=columns or ColumnMap()), data_dir)
    path = Path(source)
    if path.is_dir():
        return path
    if not path.exists():
        raise InputError(f"--data {source} does not exist. Name a folder, a zip, or {EASY_VQA}.")
    if path.suffix.lower() != ".zip" and not is_zipfile(path):
        raise InputError(
            f"--data {source} is neither a folder nor a zip, and no JSON or parquet file. Name the folder that it lies "
            "in."
        )
    with Meter("Unpacking", "B") as meter:
        folder = extract_zip(path, data_dir, progress=meter.at)
    if is_foreign(str(folder)):
        raise InputError(
            f"{source} holds no train.csv and test.csv, but data of another form: --data {folder} reads it."
        )
    return folder
