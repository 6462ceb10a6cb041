"""Write parquet with the pictures inside, one row per question, for `datasets.load_dataset("parquet", ...)` or the hub.

The file contains bytes, not paths: a relative path in an Image column is resolved in the reader's working directory,
so it is wrong on any other machine. A row group stores a picture of several questions once: the column is
dictionary-encoded, with a dictionary page that holds a whole row group.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vqa_core.runs.examples import Example

GROUP_ROWS, GROUP_BYTES = 1000, 64 << 20
"""A row group, which a reader loads at once, ends after so many rows, or bytes of pictures including repeated ones."""
COLUMNS = ("question_id", "image_id", "image", "question", "answer", "answers")
OF_CHOICES = ("choices", "answer_form")
"""Further columns if a question has choices: a list of texts, and how `answer` names one of them."""


def write_parquet(path: Path, examples: Iterable[Example], root: Path, references: Mapping[str, list[str]]) -> int:
    """Write the columns COLUMNS, and OF_CHOICES if a question has choices; return the number of rows.

    `image` paths are relative to `root`. `image` is null if there is no file, `answer` if it is not known; `answers`
    has all known answers.
    """
    import datasets
    import pyarrow
    import pyarrow.parquet

    text = datasets.Value("string")
    examples = list(examples)
    columns = COLUMNS + (OF_CHOICES if any(example.choices for example in examples) else ())
    kinds = dict.fromkeys(columns, text) | {"image": datasets.Image(), "answers": datasets.List(text)}
    kinds |= {"choices": datasets.List(text)} if "choices" in columns else {}
    schema = datasets.Features(kinds).arrow_schema  # with the metadata that names the features
    rows: list[dict[str, Any]] = []
    buffered = written = 0
    with pyarrow.parquet.ParquetWriter(path, schema, dictionary_pagesize_limit=GROUP_BYTES) as file:

        def flush() -> None:
            nonlocal buffered, written
            file.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            written += len(rows)
            buffered = 0
            rows.clear()

        for example in examples:
            row = _row(example, root, references)
            rows.append({column: row[column] for column in columns})
            buffered += len(rows[-1]["image"]["bytes"]) if rows[-1]["image"] else 0
            if len(rows) >= GROUP_ROWS or buffered >= GROUP_BYTES:
                flush()
        flush()
    return written


def _row(example: Example, root: Path, references: Mapping[str, list[str]]) -> dict[str, Any]:
    file = root / example.image
    known = [] if example.answer is None else references.get(example.question_id, [example.answer])
    has_file = bool(example.image) and file.is_file()
    return {
        "question_id": example.id_in_source,
        "image_id": example.image_id,
        "image": {"bytes": file.read_bytes(), "path": PurePosixPath(example.image).name} if has_file else None,
        "question": example.question,
        "answer": example.answer,
        "answers": known,
        "choices": list(example.choices),
        "answer_form": example.answer_form if example.choices else None,
    }
