"""What `--data` may name: a competition folder, a zip of one, or the embedded `easy-vqa`."""

from pathlib import Path

from vqa_core.archives import extract_zip
from vqa_core.easy_vqa import write_easy_vqa
from vqa_core.files import InputError
from vqa_core.progress import Meter

EASY_VQA = "easy-vqa"


def data_folder(source: str, data_dir: Path | None = None) -> Path:
    """The folder that `source` stands for, written or unpacked where it has to be.

    `easy-vqa` is written to `data_dir` (default `data/easy-vqa`), a zip is unpacked to it (default: beside the zip).
    Raises InputError where `source` is none of the three or cannot be read.
    """
    if source == EASY_VQA:
        folder = data_dir or Path("data") / EASY_VQA
        write_easy_vqa(folder)
        return folder
    path = Path(source)
    if path.is_dir():
        return path
    if not path.exists():
        raise InputError(f"--data {source} does not exist. Name a folder, a zip, or {EASY_VQA}.")
    with Meter("Unpacking", "B") as meter:
        return extract_zip(path, data_dir, progress=meter.at)
