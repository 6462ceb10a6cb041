"""Which reader takes a JSON file: decided by its content, never by its name."""

from collections.abc import Sequence
from pathlib import Path

from vqa_core.data.formats.llava import read_conversation_records, read_question_records
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.formats.turns import turns_of
from vqa_core.data.formats.vqav2 import read_vqav2
from vqa_core.files import InputError, read_json, read_json_lines


def read_files(paths: Sequence[Path], images: Path, role: str) -> SplitData:
    """Read each file by its content: conversations, questions to answer, VQA questions or annotations.

    `images` is the folder of their pictures, `role` is `train` or `test`. Raises InputError for an unknown format.
    """
    if not images.is_dir():
        raise InputError(f"--images {images} is not a folder. Name the folder that the images' paths are relative to.")
    data = SplitData()
    questions: list[Path] = []
    annotations: list[Path] = []
    for path in paths:
        if path.suffix == ".jsonl":
            rows = list(read_json_lines(path))
            if any(turns_of(row) is not None for row in rows):
                data.add(read_conversation_records(rows, str(path), images))
            elif rows and role == "train":
                raise InputError(f"{path} holds questions without answers. Pass it with --test-data.")
            else:
                data.add(read_question_records(rows, str(path), images))
            continue
        content = read_json(path)
        if isinstance(content, list):
            data.add(read_conversation_records(content, str(path), images))
        elif isinstance(content, dict) and isinstance(content.get("questions"), list):
            questions.append(path)
        elif isinstance(content, dict) and isinstance(content.get("annotations"), list):
            annotations.append(path)
        else:
            raise InputError(f"{path} is neither LLaVA's list of conversations nor VQA questions nor VQA annotations.")
    if annotations and not questions:
        raise InputError(f"{annotations[0]} has answers but no questions. Also name the file with its questions.")
    data.add(read_vqav2(questions, annotations, images))
    if not data.examples and not data.left_out:
        raise InputError(f"{', '.join(map(str, paths[:3]))}: no question found. Name a file with questions.")
    return data
