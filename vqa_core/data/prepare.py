"""Prepare a run: read a competition's data, examine it, split it by image, and write it as the stages read it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from vqa_core.config import DataSettings
from vqa_core.data.competition import SOLUTION, VAL_TABLES, Competition, read_competition
from vqa_core.data.findings import find_unusual_images
from vqa_core.data.formats.conversations import write_conversations, write_questions
from vqa_core.data.formats.importing import Sources, import_data, is_foreign
from vqa_core.data.images import check_images
from vqa_core.data.pictures.copies import find_copies
from vqa_core.data.report import DataReport, examine, usable, with_image
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError, sha256_of, stamp_of, write_json
from vqa_core.folders import restored_on_error
from vqa_core.runs.examples import ColumnMap, Example, split_by_image, write_examples
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.training_rows import write_rows

DATA_FILES = ("train.jsonl", "val.jsonl", "test.jsonl", "unanswered.jsonl", "llava", "rows", "config.json")
"""What is written of a run after its report."""

TABLES = ("train.csv", *VAL_TABLES, "test.csv")


@dataclass(frozen=True, slots=True)
class Splits:
    """The examples of a run; no picture has questions in both `train` and `val`, unless the source's own splits do."""

    train: list[Example]
    val: list[Example]
    test: list[Example]

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over every field of every example in order."""
        digest = hashlib.sha256()
        for split in (self.train, self.val, self.test):
            for row in split:
                source = () if row.source_id is None else (row.source_id,)
                choices = (row.answer_form, *row.choices) if row.choices else ()
                fields = (row.question_id, row.image_id, row.image, row.question, row.answer or "", *source, *choices)
                digest.update("\0".join(fields).encode("utf-8", "surrogatepass") + b"\0\n")
            digest.update(b"\n")
        return digest.hexdigest()


def column_map(settings: DataSettings) -> ColumnMap:
    """The ColumnMap of the settings."""
    return ColumnMap(
        question_id=settings.question_id_column,
        image_id=settings.image_id_column,
        question=settings.question_column,
        answer=settings.answer_column,
        image=settings.image_column,
        encoding=settings.encoding,
    )


def column_settings(columns: ColumnMap) -> dict[str, str]:
    """The settings for `columns`; the inverse of `column_map`."""
    return {name if name == "encoding" else f"{name}_column": value for name, value in asdict(columns).items()}


def typed_columns(flags: Mapping[str, Any]) -> list[str]:
    """The fields whose columns a person named by flags, such as `answer` by `--answer-column`."""
    return [
        name.removesuffix("_column") for name in column_settings(ColumnMap()) if name in flags and name != "encoding"
    ]


def prepare(
    run: RunDir,
    source: str,
    settings: DataSettings,
    *,
    data_dir: Path | None = None,
    on_report: Callable[[DataReport], None] = lambda _: None,
) -> Splits:
    """Prepare `run` from the data in `source`; `data_dir` is as in `data_folder`.

    A validation split that the source has becomes the run's, whole; `val_fraction` applies where there is none.

    Writes the report to the run, then calls `on_report` with it, then writes everything else. Raises InputError if the
    data cannot be read, if the report has errors (one sentence each), or if the run was trained on other data. The
    run's config.json has a section `dataset` only while all of its data files come from the same data.
    """
    competition = read_competition(
        data_folder(source, data_dir), column_map(settings), answer_form=settings.answer_form
    )
    images = sorted({row.image for rows in competition.splits.values() for row in rows if row.image})
    checks = check_images(competition.root, images, settings.verify_images, settings.pixel_limit)
    problems = checks.problems
    competition.imported.extend(find_unusual_images(checks))
    readable = [image for image in images if image not in problems]
    copies = find_copies(competition.root, readable, settings.verify_images, settings.pixel_limit)
    report = examine(competition, problems, copies)
    write_json(run.report, report.to_dict())
    on_report(report)
    if report.errors:
        raise InputError("\n".join(f"{error}." for error in report.errors))
    rows = usable(competition.train, problems)
    if not rows:
        raise InputError(f"{competition.root} has no row to train on: no row has both a usable image and an answer.")
    val = usable(competition.val, problems)
    if val:
        splits = Splits(rows, val, competition.test)
    else:
        train_and_val = split_by_image(rows, settings.val_fraction, settings.split_seed, copies.first)
        splits = Splits(*train_and_val, competition.test)
    every = (*competition.train, *competition.val)
    unanswered = [row for row in with_image(every, problems) if not (row.answer or "").strip()]
    _write(run, splits, unanswered, settings, competition, source)
    return splits


def prepare_sources(
    run: RunDir,
    sources: Sources,
    settings: DataSettings,
    *,
    data_dir: Path | None = None,
    on_report: Callable[[DataReport], None] = lambda _: None,
) -> Splits:
    """`prepare` from any data: several sources, or one in another format, become a competition folder first."""
    source = sources.data[0]
    if sources.test_data or len(sources.data) > 1 or is_foreign(source):
        folder = import_data(replace(sources, answer_form=settings.answer_form), data_dir)
        settings = DataSettings(**settings.to_dict() | column_settings(ColumnMap()))  # those of an imported folder
        return prepare(run, str(folder), settings, on_report=on_report)
    if sources.images or sources.test_images:
        source = str(data_folder(source, data_dir, images=sources.images, test_images=sources.test_images))
    return prepare(run, source, settings, data_dir=data_dir, on_report=on_report)


def _write(
    run: RunDir,
    splits: Splits,
    unanswered: list[Example],
    settings: DataSettings,
    competition: Competition,
    source: str,
) -> None:
    fingerprint = splits.fingerprint
    _refuse_other_data(run, fingerprint)
    record = {
        "source": source,
        "root": str(competition.root),
        "has_solution": (competition.root / SOLUTION).is_file(),
        "questions": {"train": len(splits.train), "val": len(splits.val), "test": len(splits.test)},
        "fingerprint": fingerprint,
        "tables": tables_of(competition.root),
    }
    with restored_on_error(run.root, DATA_FILES):  # a drive that fills up leaves the run as it was
        _drop_other_data(run, fingerprint)
        write_examples(run.train, splits.train)
        write_examples(run.val, splits.val)
        write_examples(run.test, splits.test)
        write_examples(run.unanswered, unanswered)
        write_conversations(run.llava / "output.json", splits.train)
        write_questions(run.llava / "test.jsonl", splits.test)
        write_rows(splits.train, run.rows)
        run.write_section("data", settings.to_dict())
        run.write_section("dataset", record)


def tables_of(root: Path) -> dict[str, str]:
    """Hex SHA-256 of each table that a run is prepared from: a cheaper way to detect changes than the fingerprint."""
    paths = (root / name for name in TABLES)
    return {path.name: _sha256(path, *stamp_of(path)) for path in paths if path.is_file()}


@lru_cache(maxsize=16)
def _sha256(path: Path, _changed: int, _size: int) -> str:
    return sha256_of(path)


def _refuse_other_data(run: RunDir, fingerprint: str) -> None:
    """Raise InputError if the run has results from other data."""
    if not _has_other_data(run, fingerprint):
        return
    made = [path for path in (run.checkpoints, run.model, run.predictions("test").parent) if path.exists()]
    if made:
        raise InputError(
            f"{run.root} was used with other data, or with another split of it: {made[0].name}/ comes from that. "
            f"Prepare into another --run, or remove {', '.join(map(str, made))}."
        )


def _drop_other_data(run: RunDir, fingerprint: str) -> None:
    """Drop the section of data to be replaced: it stands for files that all come from the same data."""
    if _has_other_data(run, fingerprint):
        run.drop_section("dataset")


def _has_other_data(run: RunDir, fingerprint: str) -> bool:
    section = run.read_config().get("dataset", {}) if run.config.is_file() else {}
    return bool(section.get("fingerprint", fingerprint) != fingerprint)


def count_images(examples: Iterable[Example]) -> int:
    """The number of distinct images."""
    return len({example.image or example.image_id for example in examples})
