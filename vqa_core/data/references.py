"""Reference answers in files of their own: a solution.csv, or a VQA annotation file with ten answers per question."""

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vqa_core.config import DataSettings, settings_of
from vqa_core.data.columns.columns import find_sample_answers, find_sample_ids, lacks_answers, refuse_other_name
from vqa_core.data.columns.values import Column
from vqa_core.data.tables import read_table
from vqa_core.files import InputError, find_duplicates, named, read_json
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import add_arguments

ANNOTATIONS = "annotations.json"
"""All answers to questions with several, in a data folder that `vqa_core.data.formats` wrote."""
USAGE, IGNORED = "usage", "ignored"
"""Column of a Kaggle solution that says what a row counts for, and the value of rows that count for nothing."""


def read_solution(path: Path, columns: ColumnMap | None = None, insist: Collection[str] = ()) -> dict[str, list[str]]:
    """The one answer to each question id in a CSV file, unchanged; a blank field is no answer.

    Nor is an answer whose `Usage` is `Ignored`, as in the solutions of Kaggle. The columns are found as those of a
    sample submission; those of the fields in `insist` must have the names in `columns`. Raises InputError for a missing
    column, a duplicate id, or a file without any answer.
    """
    columns = columns or ColumnMap()
    table = read_table(path, encoding=columns.encoding)
    for field in insist:
        refuse_other_name(table, columns, field)
    id_at = find_sample_ids(table, columns)
    answer_at = find_sample_answers(table, columns, id_at)
    if answer_at is None:
        raise lacks_answers(table, columns)
    ids, answers = table.fields(id_at), table.fields(answer_at)
    twice = find_duplicates(ids)
    if twice:
        raise InputError(f"{path}: {len(twice)} ids occur more than once: {named(twice)}.")
    usage = next((name for name in table.columns if name.strip().casefold() == USAGE), None)
    usages = table.column(usage) if usage else [""] * len(ids)
    known = {
        question_id: [answer]
        for question_id, answer, used in zip(ids, answers, usages)
        if answer.strip() and used.strip().casefold() != IGNORED
    }
    if ids and not known:
        name = table.columns[answer_at]
        raise InputError(
            f"{path} has no answer: the column {name!r} is blank, or its row ignored, in all {len(ids)} "
            "rows. Name the right column with --answer-column, or another file."
        )
    return known


def read_annotations(path: Path) -> dict[str, list[str]]:
    """The answers to each question id in a VQA annotation file.

    The format is VQAv2's, {"annotations": [{"question_id": 1, "answers": [{"answer": "yes"}, ...]}, ...]}; answers may
    also be plain texts. Ids become text. A question whose answers are all blank has none.
    """
    return parse_annotations(read_json(path), path)


def parse_annotations(content: Any, path: Path) -> dict[str, list[str]]:
    """`read_annotations` for the content of a file that is already read; `path` names it in errors."""
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise InputError(f'{path} is not a VQA annotation file: it has no list under "annotations".')
    found: dict[str, list[str]] = {}
    column = Column(_value(answer) for item in content["annotations"] for answer in _answers(item))
    for number, item in enumerate(content["annotations"]):
        try:
            question_id = _text(item["question_id"], Column([item["question_id"]]))
            answers = [_text(_value(answer), column) for answer in item["answers"]]
        except (KeyError, TypeError):
            raise InputError(
                f"{path}, annotation {number}: expected a question_id and a list of answers, found {str(item)[:80]}."
            ) from None
        if question_id in found:
            raise InputError(f"{path}: question id {question_id!r} occurs more than once (annotation {number}).")
        found[question_id] = answers if any(map(str.strip, answers)) else []
    return found


def own_annotations(run: RunDir) -> dict[str, list[str]] | None:
    """All answers to questions with several, if the run's data folder has them; else None."""
    path = run.data_root() / ANNOTATIONS
    return read_annotations(path) if path.is_file() else None


def add_reference_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--answers`, `--annotations` and the flags that name the columns of the former."""
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--answers", type=Path, metavar="FILE", help="CSV file with the right answer to each question")
    known.add_argument(
        "--annotations", type=Path, metavar="FILE", help="VQA annotation file (JSON), with ten answers to each question"
    )
    add_arguments(parser, DataSettings, only=("question_id_column", "answer_column", "encoding"))


def references_of(run: RunDir, args: argparse.Namespace) -> dict[str, list[str]] | None:
    """The references that the flags of `add_reference_arguments` name; None if they name none.

    Columns without a flag have their names in the run's config.
    """
    if args.annotations:
        return read_annotations(args.annotations)
    if not args.answers:
        return None
    data = settings_of(DataSettings, run.read_config() if run.config.is_file() else {}, args)
    columns = ColumnMap(question_id=data.question_id_column, answer=data.answer_column, encoding=data.encoding)
    typed = [field for field in ("question_id", "answer") if f"{field}_column" in vars(args)]
    return read_solution(args.answers, columns, typed)


def _answers(item: Any) -> list[Any]:
    answers = item.get("answers") if isinstance(item, dict) else None
    return answers if isinstance(answers, list) else []


def _value(answer: Any) -> Any:
    return answer.get("answer") if isinstance(answer, dict) else answer


def _text(value: Any, column: Column) -> str:
    """A value of a column as text. Raises TypeError for what is neither a text nor a number."""
    text = None if isinstance(value, list | dict) else column.text(value)
    if text is None:
        raise TypeError
    return text
