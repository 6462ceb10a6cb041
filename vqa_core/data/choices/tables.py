"""The choices in the CSV files of a competition: its columns become the choices of its examples."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqa_core.data.choices.forms import AUTO, OPEN, Hints, settle_choices
from vqa_core.data.choices.reading import FORM, HINT, OptionColumns, answer_key, find_options, is_index, with_hint
from vqa_core.data.columns.columns import find_columns, has_column
from vqa_core.data.tables import Table, read_table
from vqa_core.files import InputError
from vqa_core.runs.choices import FORMS, TEXT
from vqa_core.runs.examples import ColumnMap, Example

CHOICES_COLUMN, FORM_COLUMN = "choices", FORM
"""Choices as a JSON list and the form of the answer, in the CSV files that `vqa_core.data.formats.importing` writes."""


FIELDS = ("question_id", "image_id", "question", "image", "answer")


class ChoiceTables:
    """Reads the choices in the tables of one competition: `read` for each table, then `settle` for all together.

    `columns` are the columns used, by split. `form` is the form of the answers, as `settle_choices` takes it; a column
    FORM_COLUMN goes before it.
    """

    def __init__(self, form: str = AUTO) -> None:
        self.form = form
        self.columns: dict[str, tuple[str, ...]] = {}
        self._first = ""
        self._indexed = False
        self._written = False
        self._unread: dict[str, list[Example]] = {}

    def read(
        self, split: str, table: Table, examples: Sequence[Example], taken: Collection[str], answer: str = ""
    ) -> list[Example]:
        """The examples of a split, one a row of its table, with the choices in that row.

        `taken` are the columns of other fields, `answer` the one of the answers among them.
        """
        written = FORM_COLUMN in table.columns
        options = find_options(table.columns, taken) if self.form != OPEN or written else None
        if not options:
            return list(examples)
        extra = tuple(column for column in table.columns if column.strip().casefold() in (HINT, FORM_COLUMN))
        self.columns[split] = options.columns + extra
        self._first = self._first or options.first
        self._indexed = self._indexed or is_index(answer)
        self._written = self._written or written
        self._unread[split] = list(examples)
        return _with_choices(table, options, examples)

    def settle(
        self,
        splits: Mapping[str, Sequence[Example]],
        *,
        sample: Mapping[str, str] | None = None,
        train: Path | None = None,
        columns: ColumnMap | None = None,
    ) -> tuple[dict[str, list[Example]], list[dict[str, Any]]]:
        """`settle_choices` for the examples that `read` returned.

        `sample` has the answers of the sample submission by question id. `train` is a train.csv that was not read, with
        its `columns`: its answers decide the form where choices were found without answers.
        """
        if self._written or self.form == OPEN:
            return {split: list(rows) for split, rows in splits.items()}, []
        known = {}
        if self.columns and "train" not in splits and train and train.is_file():
            columns = columns or ColumnMap()
            known = {"train": _known(read_table(train, encoding=columns.encoding), columns)}
        hints = Hints(self._first, self._indexed, sample or {})
        settled, findings = settle_choices(known | dict(splits), form=self.form, hints=hints)
        if self.columns and not any(row.choices for rows in settled.values() for row in rows):
            self.columns = {}
            return {split: self._unread.get(split, list(rows)) for split, rows in splits.items()}, findings
        return {split: settled[split] for split in splits}, findings


def with_answer_key(table: Table, columns: ColumnMap) -> ColumnMap:
    """`columns` with a usual name for the right choice, if the table has choices and no column of the answer's name."""
    key = "" if has_column(table, columns.answer) or not find_options(table.columns) else answer_key(table.columns)
    return replace(columns, answer=key) if key else columns


def written_choices(example: Example) -> tuple[str, str]:
    """The fields of CHOICES_COLUMN and FORM_COLUMN; two blanks for an open question."""
    return (json.dumps(example.choices, ensure_ascii=False), example.answer_form) if example.choices else ("", "")


def _with_choices(table: Table, options: OptionColumns, examples: Sequence[Example]) -> list[Example]:
    places = [table.columns.index(column) for column in options.columns]
    hint = next((at for at, column in enumerate(table.columns) if column.strip().casefold() == HINT), None)
    form = table.columns.index(FORM_COLUMN) if FORM_COLUMN in table.columns else None
    known: dict[tuple[str, ...], tuple[str, ...]] = {}  # one tuple per distinct choices: a set often repeats them
    rows = []
    for example, fields in zip(examples, table.rows, strict=True):
        values = tuple(fields[place] for place in places)
        choices = known.get(values)
        if choices is None:
            choices = known.setdefault(values, options.of_values(values))
        if choices:
            question = example.question if hint is None else with_hint({HINT: fields[hint]}, example.question)
            written = fields[form] if form is not None and fields[form] in FORMS else TEXT
            example = replace(example, question=question, choices=choices, answer_form=written)
        rows.append(example)
    return rows


def _known(table: Table, columns: ColumnMap) -> list[Example]:
    """Answers and choices of the training rows, as examples of nothing else; [] if their columns are not clear."""
    try:
        at = find_columns(table, with_answer_key(table, columns), FIELDS).at
    except InputError:
        return []
    if "answer" not in at:
        return []
    question = at.get("question")
    options = find_options(table.columns, {table.columns[index] for index in at.values()})
    rows = [Example("", "", "", "" if question is None else row[question], row[at["answer"]]) for row in table.rows]
    return _with_choices(table, options, rows) if options else rows
