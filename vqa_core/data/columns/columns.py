"""Which column of a table holds which field: by its name, else by the usual names, else by its values.

Each file is looked at by itself, so that one setting need not fit all of them. The name that the settings give wins;
then the same name, case, blanks, `_` and `-` aside; then the only column with one of the usual names.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import asdict, dataclass

from vqa_core.data.columns.column_names import KEYS, fields_named, key_of
from vqa_core.data.tables import Table
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap
from vqa_core.settings import flag_of

_UNNAMED = frozenset({""})  # what pandas calls the row numbers that it writes
_NUMBERS = (*KEYS["question_id"][2:], _UNNAMED)
_LETTERS = frozenset("abcdefghij")
_NEVER_ANSWERS = frozenset[str]().union(
    *KEYS["image_id"], *KEYS["image"], *KEYS["question"][:1], *KEYS["question_id"][:2]
)


@dataclass(frozen=True, slots=True)
class Found:
    """The index of the column of each field in one table; fields that it has no column for are absent."""

    table: Table
    columns: ColumnMap
    at: Mapping[str, int]

    def fields(self, field: str) -> list[str]:
        """The texts of `field`, in row order. Raises InputError, with the names of all columns, if it has no column."""
        if field in self.at:
            return self.table.fields(self.at[field])
        return self.table.column(getattr(self.columns, field), _flag(field))

    @property
    def renamed(self) -> dict[str, str]:
        """Name of a column -> the field that it was taken for, where its name is not the one in the settings."""
        names = asdict(self.columns)
        return {
            self.table.columns[index]: field
            for field, index in self.at.items()
            if self.table.columns[index] != names[field]
        }

    @property
    def unused(self) -> tuple[str, ...]:
        """The names of the columns that hold no field, without unnamed ones."""
        used = set(self.at.values())
        return tuple(name for index, name in enumerate(self.table.columns) if index not in used and name.strip())


def find_columns(table: Table, columns: ColumnMap, fields: Sequence[str], *, to_write: bool = False) -> Found:
    """Find the columns of `fields` by name.

    Raises InputError, with their names, if several fit one field alike, unless they hold the same texts, so that it
    does not matter which is read; it does for a column `to_write`.
    """
    at: dict[str, int] = {}
    for field in fields:
        index = _by_name(table, getattr(columns, field), field, to_write)
        if index is not None:
            at[field] = index
    for field in fields:
        if field not in at and getattr(columns, field):
            taken = {index for other, index in at.items() if (field, other) != ("image_id", "image")}
            index = _by_usual_name(table, field, taken, to_write)
            if index is not None:
                at[field] = index
    return Found(table, columns, at)


def has_column(table: Table, name: str) -> bool:
    """Whether a column has this name, case, blanks, `_` and `-` aside."""
    return key_of(name) in map(key_of, table.columns)


def refuse_other_name(table: Table, columns: ColumnMap, field: str) -> None:
    """Raise InputError, with the names of all columns, if none has the name that a person gave for a field."""
    name = getattr(columns, field)
    if not has_column(table, name):
        table.column(name, _flag(field))


def find_ids(table: Table, columns: ColumnMap, known: Collection[str]) -> int | None:
    """The index of the column of question ids; None if there is none.

    `known` are ids that the column should hold: they decide where the names leave it open, or where the column of the
    right name holds none of them and one other column holds them all. Raises InputError if several columns fit alike.
    """
    known = set(known)
    fitting = [index for index in range(len(table.columns)) if known and _fits(set(table.fields(index)), known)]
    try:
        index = find_columns(table, columns, ("question_id",)).at.get("question_id")
    except InputError:
        if len(fitting) == 1 or _are_alike(table, fitting):
            return fitting[0]
        raise
    if index is not None and (index in fitting or not known.isdisjoint(table.fields(index))):
        return index
    if len(fitting) == 1 or _are_alike(table, fitting):
        return fitting[0]
    return index


def _fits(texts: Set[str], known: Set[str]) -> bool:
    """Whether a column of these texts has all ids that are known, or nothing but such ids, as a sample of few rows."""
    return bool(texts) and (known <= texts or texts <= known)


def find_sample_ids(table: Table, columns: ColumnMap, known: Collection[str] = ()) -> int:
    """`find_ids` in a sample submission or a solution, where one of two columns is always the ids.

    Raises InputError, with the names of all columns, if there is no such column.
    """
    ids = find_ids(table, columns, known)
    if ids is None:
        if len(table.columns) != 2:
            table.column(columns.question_id, _flag("question_id"))  # says which there are
        ids = int("answer" in fields_named(table.columns[0]))  # the other of the two
    return ids


def find_sample_answers(table: Table, columns: ColumnMap, ids: int) -> int | None:
    """The index of the column of answers in a sample submission or a solution with its ids at `ids`.

    Where no name tells, it is the only column that is left, or the only one left that is empty, or that has the same
    text in every row; never one that is called as ids, pictures or questions are. None if no column is left. Raises
    InputError if several fit alike.
    """
    answers = find_columns(table, columns, ("answer",), to_write=True).at.get("answer")
    if answers is not None and answers != ids:
        return answers
    letters = {index for index, name in enumerate(table.columns) if key_of(name) in _LETTERS}
    never = letters if len(letters) > 1 else set()
    left = [
        index
        for index, name in enumerate(table.columns)
        if index != ids and index not in never and name.strip() and key_of(name) not in _NEVER_ANSWERS
    ]
    empty = [index for index in left if not any(map(str.strip, table.fields(index)))]
    constant = [index for index in left if len(set(table.fields(index))) < 2]
    for found in (left, empty, constant):
        if len(found) == 1:
            return found[0]
    if left:
        raise _several(table, left, "answer")
    return None


def lacks_answers(table: Table, columns: ColumnMap) -> InputError:
    """The error to raise for a sample submission or a solution without a column of answers."""
    if len(table.columns) == 1:
        return InputError(
            f"{table.path} has one column, {table.columns[0]!r}; expected an id and an answer. Add a column "
            f"{columns.answer!r} to it."
        )
    return InputError(
        f"{table.path} has no column for the answers; it has {', '.join(map(repr, table.columns))}. Add a column "
        f"{columns.answer!r} to it, or name the right one with {_flag('answer')}."
    )


def _by_name(table: Table, name: str, field: str, to_write: bool) -> int | None:
    """The column of exactly that name, else of the same name with case, blanks, `_` and `-` aside."""
    if not name:
        return None
    for same in (name.__eq__, lambda known: key_of(known) == key_of(name)):
        found = [index for index, known in enumerate(table.columns) if same(known)]
        if found:
            return _only(table, found, field, to_write)
    return None


def _by_usual_name(table: Table, field: str, taken: Collection[int], to_write: bool) -> int | None:
    lines = KEYS[field]
    for keys in (*lines, _UNNAMED) if field == "question_id" else lines:
        found = [index for index, name in enumerate(table.columns) if key_of(name) in keys and index not in taken]
        if found and (keys not in _NUMBERS or _tells_apart(table, found[0])):
            return found[0] if keys is _UNNAMED else _only(table, found, field, to_write)
    return None


def _tells_apart(table: Table, index: int) -> bool:
    """Whether no two rows have the same text in a column: `no` and `num` may be the number of anything."""
    return len(set(table.fields(index))) == len(table.rows)


def _only(table: Table, found: Sequence[int], field: str, to_write: bool) -> int:
    if len(found) > 1 and (to_write or not _are_alike(table, found)):
        raise _several(table, found, field)
    return found[0]


def _are_alike(table: Table, indexes: Sequence[int]) -> bool:
    """Whether the columns hold the same texts, so that it does not matter which is taken."""
    return bool(indexes) and all(len({row[index] for index in indexes}) == 1 for row in table.rows)


def _several(table: Table, indexes: Sequence[int], field: str) -> InputError:
    names = [table.columns[index] for index in indexes]
    if len(set(names)) == 1:
        return InputError(f"{table.path} has {len(names)} columns {names[0]!r}; keep one.")
    if field in ("question_id", "image_id"):
        what = "question ids" if field == "question_id" else "image ids"
    else:
        what = "questions" if field == "question" else "answers" if field == "answer" else "images"
    return InputError(
        f"{table.path} has several columns that may hold the {what}: {', '.join(map(repr, names))}. "
        f"Name the right one with {_flag(field)}."
    )


def _flag(field: str) -> str:
    return flag_of(f"{field}_column")
