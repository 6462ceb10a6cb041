"""The records of a JSON file, however it keeps them: in a list, by id, by column, by split, or several to a picture."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

SPLIT_KEYS = ("split", "set_name", "data_subtype", "dataset_split", "dataset_type", "data_split")
"""Where records, or the object around them, say which split they belong to."""

_SPLITS = {
    "train": re.compile("(?:train(?:ing|val)?|restval)(?![a-z])"),
    "val": re.compile("(?:(?:mini)?val(?:id(?:ation|ate)?)?|dev(?:elopment)?)(?![a-z])"),
    "test": re.compile("(?:test(?:ing|dev|std)?|challenge)(?![a-z])"),
}
_NESTED = ("qa_pairs", "qas", "qa", "QAs", "qa_list")
_PARALLEL = (("questions", "answers"), ("question", "answer"), ("question", "answers"), ("Questions", "Answers"))
_COLUMNS = {"question", "questions", "query", "text", "prompt"}


@dataclass(frozen=True, slots=True)
class Row:
    """One `record` of a file, an object if nothing is odd about it.

    `key` is its name in an object of records by id, `split` what the file says around it. Of several questions that one
    record holds, `nth` counts from 0, and `own` has the keys that the question does not share with the others.
    """

    record: Any
    key: str = ""
    split: str = ""
    nth: int = 0
    own: frozenset[str] = frozenset()


def tables_of(content: Any) -> list[list[Row]]:
    """The lists of records that `content` may be meant to be, the likeliest first; empty if it holds no records."""
    if isinstance(content, list):
        return [_rows(content)]
    if not isinstance(content, dict) or not content:
        return []
    if all(named_split(name) and isinstance(value, list | dict) for name, value in content.items()):
        parts = [(name, tables_of(value)) for name, value in content.items()]
        return [[replace(row, split=row.split or name) for name, tables in parts for row in (tables or [[]])[0]]]
    columns = _from_columns(content)
    if columns:
        return [_rows(columns)]
    split = next((value for value in map(content.get, SPLIT_KEYS) if isinstance(value, str)), "")
    lists = [value for value in content.values() if isinstance(value, list) and any(isinstance(x, dict) for x in value)]
    tables = [_rows(value, split) for value in lists]
    by_id = sum(isinstance(value, dict) for value in content.values())
    if 2 * by_id > len(content):
        tables.append([row for key, value in content.items() for row in _split_up(Row(value, key, split))])
    return [*tables, list(_split_up(Row(content)))]


def named_split(value: Any) -> str:
    """`train`, `val` or `test` for a source's name of a split, such as `val2014` or `test-dev`; "" for any other."""
    if not isinstance(value, str):
        return ""
    name = value.strip().lower()
    return next((split for split, names in _SPLITS.items() if names.match(name)), "")


def _rows(items: Sequence[Any], split: str = "") -> list[Row]:
    return [row for item in items for row in _split_up(Row(item, split=split))]


def _split_up(row: Row) -> Iterator[Row]:
    """The questions of a record that holds a list of them, or of their questions and of their answers."""
    record = row.record
    if not isinstance(record, dict):
        yield row
        return
    for name in _NESTED:
        inner = record.get(name)
        if isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
            shared = {key: value for key, value in record.items() if key != name}
            for nth, item in enumerate(inner):
                yield replace(row, record=shared | item, nth=nth, own=frozenset(item))
            return
    for questions, answers in _PARALLEL:
        asked, told = record.get(questions), record.get(answers)
        if isinstance(asked, list) and isinstance(told, list) and len(asked) == len(told):
            shared = {key: value for key, value in record.items() if key not in (questions, answers)}
            for nth, (question, answer) in enumerate(zip(asked, told)):
                yield replace(row, record=shared | {"question": question, "answer": answer}, nth=nth)
            return
    yield row


def _from_columns(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of a table by column, as `DataFrame.to_json` writes it; none if `content` is no such table."""
    names, data = content.get("columns"), content.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, names), row)) for row in data]
    questions = next((value for name, value in content.items() if name.strip().lower() in _COLUMNS), None)
    columns = {name: list(value.values()) if isinstance(value, dict) else value for name, value in content.items()}
    items = list(questions.values()) if isinstance(questions, dict) else questions
    if not isinstance(items, list) or not items or any(isinstance(item, dict | list) for item in items):
        return []
    if any(not isinstance(column, list) or len(column) != len(items) for column in columns.values()):
        return []
    return [dict(zip(columns, values)) for values in zip(*columns.values())]
