"""Questions to answer: a split of a run, or the test questions of any data that `eval.predict --data` takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa_core.config import DataSettings, settings_of
from vqa_core.data.competition import read_test
from vqa_core.data.formats.importing import columns_of_import, is_foreign
from vqa_core.data.prepare import column_map, column_settings, typed_columns
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError
from vqa_core.runs.examples import Example
from vqa_core.runs.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class Questions:
    """Examples to answer; their `image` paths are relative to `root`."""

    root: Path
    examples: list[Example]


def read_questions(
    run: RunDir,
    split: str,
    source: str | None = None,
    *,
    data_dir: Path | None = None,
    images: Path | None = None,
    flags: Mapping[str, Any],
) -> Questions:
    """The questions of a run's split. With `source`, the pictures come from there, and so do test questions.

    Args:
        source: data to read or unpack, as `data_folder` takes it with `data_dir` and `images`.
        flags: setting name -> flag that the user passed; column names override the run's.

    Raises InputError if the data can't be read, or have no questions of the split.
    """
    settings = _settings(run.read_config(), source, flags)
    columns = column_map(settings)
    root = (
        run.data_root()
        if not source
        else data_folder(
            source, data_dir, images=images, columns=columns, to_answer=True, answer_form=settings.answer_form
        )
    )
    if source and split == "test":
        competition = read_test(root, columns, insist=typed_columns(flags), answer_form=settings.answer_form)
        questions = Questions(competition.root, competition.test)
    else:
        questions = Questions(root, run.examples(split))
    if not questions.examples:
        raise InputError(f"There are no {split} questions in {questions.root}.")
    return questions


def _settings(config: Mapping[str, Any], source: str | None, flags: Mapping[str, Any]) -> DataSettings:
    """The settings of the run's original data, CSV or dataset; flags override them."""
    root = config.get("dataset", {}).get("root") if source and is_foreign(source) else None
    imported = columns_of_import(Path(root)) if root else None
    known = config.get("data", {}) | (column_settings(imported) if imported else {})
    return settings_of(DataSettings, {"data": known}, flags)
