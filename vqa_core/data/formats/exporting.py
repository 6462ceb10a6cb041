"""A prepared run for other people's tools: parquet, LLaVA's JSON, or VQAv2's JSON, a file or two a split.

Parquet carries the pictures. The others name them by path relative to the run's data folder, which is what LLaVA's
`--image_folder` and our `--images` are then to be.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vqa_core.data.formats.conversations import write_conversations, write_questions
from vqa_core.data.formats.parquet import write_parquet
from vqa_core.data.formats.vqav2 import write_vqav2
from vqa_core.data.references import own_annotations
from vqa_core.files import InputError
from vqa_core.folders import replaced_folder
from vqa_core.runs.examples import Example, read_examples
from vqa_core.runs.run_dir import RunDir

References = Mapping[str, list[str]]


def export_run(run: RunDir, kind: str, folder: Path | None = None) -> tuple[Path, list[str]]:
    """Write the run's splits as `kind`, one of EXPORTS, into `folder` (default `RUN/export/KIND`); name the files.

    Splits without questions are left out; test questions leave without answers. Rows with an empty answer, which the
    run does not train on, leave with the other questions of their image. A `folder` that holds anything but an
    earlier export is refused, as it is replaced as a whole.
    """
    folder = folder or run.root / "export" / kind
    root, references = run.data_root(), own_annotations(run) or {}
    found = {split: run.examples(split) for split in ("train", "val", "test")}
    held_out = {row.image_id for row in found["val"]}
    for row in unanswered_of(run):
        found["val" if row.image_id in held_out else "train"].append(row)
    splits = {split: examples for split, examples in found.items() if examples}
    names = {f"{split}{end}" for split in (*SPLITS, *SPLITS.values()) for end in _ENDS}
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in held if name not in names]
    if others or folder.is_file():
        raise InputError(f"{folder} holds {', '.join(others[:3]) or 'a file'}, no earlier export. Name another folder.")
    with replaced_folder(folder) as building:
        for split, examples in splits.items():
            EXPORTS[kind](building, split, examples, root, references)
        written = sorted(path.name for path in building.iterdir())
    return folder, written


def unanswered_of(run: RunDir) -> list[Example]:
    """The rows with an empty answer that `export_run` adds; none of a run that knows of none."""
    return read_examples(run.unanswered) if run.unanswered.is_file() else []


SPLITS = {"train": "train", "val": "validation", "test": "test"}  # our name, and the one that `datasets` knows
_ENDS = (".json", ".jsonl", ".parquet", "_questions.json", "_annotations.json")


def _parquet(folder: Path, split: str, examples: Sequence[Example], root: Path, references: References) -> None:
    write_parquet(folder / f"{SPLITS[split]}.parquet", examples, root, references)


def _llava(folder: Path, split: str, examples: Sequence[Example], _root: Path, _references: References) -> None:
    if split == "test":
        write_questions(folder / "test.jsonl", examples)
    else:
        write_conversations(folder / f"{split}.json", examples)


def _vqav2(folder: Path, split: str, examples: Sequence[Example], _root: Path, references: References) -> None:
    write_vqav2(folder, split, examples, references)


EXPORTS: dict[str, Callable[[Path, str, Sequence[Example], Path, References], None]] = {
    "parquet": _parquet,
    "llava": _llava,
    "vqav2": _vqav2,
}
