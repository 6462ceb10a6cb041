"""Export a prepared run for other tools: parquet, LLaVA's JSON or VQAv2's JSON, one or two files per split.

Parquet contains the pictures. The others name them by paths relative to the run's data folder: pass that folder as
LLaVA's `--image_folder` or as our `--images`.
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
    """Write the run's splits as `kind`, one of EXPORTS, to `folder` (default `RUN/export/KIND`).

    Returns the folder and the names of its files. Leaves out splits without questions, and the answers to test
    questions. Rows with an empty answer, which the run does not train on, go into the split of their image. The folder
    is replaced as a whole: raises InputError if it holds anything but an earlier export.
    """
    folder = folder or run.root / "export" / kind
    root, references = run.data_root(), own_annotations(run) or {}
    splits = {split: run.examples(split) for split in ("train", "val", "test")}
    held_out = {row.image_id for row in splits["val"]}
    for row in unanswered_of(run):
        splits["val" if row.image_id in held_out else "train"].append(row)
    names = {f"{split}{end}" for split in (*SPLITS, *SPLITS.values()) for end in _ENDS}
    existing = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in existing if name not in names]
    if others or folder.is_file():
        raise InputError(
            f"{folder} holds {', '.join(others[:3]) or 'a file'}, which is no earlier export. Name another folder."
        )
    with replaced_folder(folder) as building:
        for split, examples in splits.items():
            if examples:
                EXPORTS[kind](building, split, examples, root, references)
        files = sorted(path.name for path in building.iterdir())
    return folder, files


def unanswered_of(run: RunDir) -> list[Example]:
    """The rows with an empty answer, which `export_run` adds; none for a run without a file of them."""
    return read_examples(run.unanswered) if run.unanswered.is_file() else []


SPLITS = {"train": "train", "val": "validation", "test": "test"}  # our name -> the name in `datasets`
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
