"""TableReader: the tables of a competition folder become examples; each table's columns are found by themselves."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vqa_core.data.choices.tables import ChoiceTables, with_answer_key
from vqa_core.data.columns.columns import Found, find_columns, find_sample_answers, find_sample_ids, has_column
from vqa_core.data.pictures.image_files import ImageFiles
from vqa_core.data.pictures.image_folders import is_absolute
from vqa_core.data.tables import Table, read_table
from vqa_core.files import InputError, find_duplicates
from vqa_core.runs.examples import ColumnMap, Example

COLUMN, SAMPLE, NUMBERS = "column", "sample", "numbers"
"""Where ids come from: a column, the sample submission row by row, or the numbers of the rows."""

SOURCE_ID = "source_id"
"""Column of an imported folder's tables with the id in the source of a question that shares it with others."""

FIELDS = ("question_id", "image_id", "question", "image")


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What there is to say of a table beside its rows.

    `renamed` maps columns with another name than in the settings to the field that they were taken for; `unused` are
    those that nothing is read from. `ids` says where the rows' ids come from, one of COLUMN, SAMPLE and NUMBERS.
    `answers` says whether a table that needs a column of answers has one. `sample` is a row with
    characters outside ASCII, of a table that is not UTF-8. The rest is as in Table.
    """

    encoding: str
    separator: str
    padded: bool
    blank_rows: int
    renamed: dict[str, str]
    unused: tuple[str, ...] = ()
    ids: str = COLUMN
    answers: bool = True
    sample: str = ""


class TableReader:
    """Reads the tables of one folder. `facts` are those of the tables read so far, by name of the file; `ambiguous`
    maps an image id to the files that it could mean.

    `choices` gets the choices in the tables. A folder that is `imported` may have a column SOURCE_ID.
    """

    def __init__(
        self,
        files: ImageFiles,
        columns: ColumnMap,
        choices: ChoiceTables,
        sample: Table | None = None,
        *,
        imported: bool = False,
    ) -> None:
        self.files, self.columns, self.choices, self.sample, self.imported = files, columns, choices, sample, imported
        self.facts: dict[str, TableFacts] = {}
        self.ambiguous: dict[str, list[str]] = {}
        self._headers: list[Table] = []  # without rows
        self._splits: dict[str, str] = {}  # by name of the file

    def read_split(self, path: Path, split: str) -> list[Example] | None:
        """Read the examples of a split from its table; None if it has no answers to validate with.

        Raises InputError if a column is missing, or if several may be it.
        """
        table = read_table(path, encoding=self.columns.encoding)
        named = self.columns if split == "test" else with_answer_key(table, self.columns)
        found = find_columns(table, named, FIELDS if split == "test" else (*FIELDS, "answer"))
        found = replace(found, columns=self.columns)
        if split == "test" and self.sample:
            found = self._find_ids_of_sample(found, self.sample)
        if split == "val" and "answer" not in found.at:
            self._note(table, found, answers=False)
            return None
        ids, source = self._ids(found, split)
        image_ids, questions = found.fields("image_id"), found.fields("question")
        answers: Sequence[str | None] = [None] * len(questions) if split == "test" else found.fields("answer")
        pictures = found.fields("image") if "image" in found.at else image_ids
        paths = self._find_images(split, zip(image_ids, pictures))
        self._note(table, found, ids=source)
        self._splits[path.name] = split
        rows = [
            Example(question_id, image_id, paths[image_id, picture], question, answer)
            for question_id, image_id, picture, question, answer in zip(ids, image_ids, pictures, questions, answers)
        ]
        if self.imported and SOURCE_ID in table.columns:
            in_source = table.column(SOURCE_ID)
            rows = [replace(row, source_id=name) if name else row for row, name in zip(rows, in_source)]
        taken = {field: table.columns[index] for field, index in found.at.items()}
        return self.choices.read(split, table, rows, tuple(taken.values()), taken.get("answer", ""))

    def read_sample(self, asked: Collection[str]) -> list[tuple[str, str]]:
        """The ids of the sample submission with the answers that it has for them, "" without a column of answers.

        `asked` are the ids of the test questions. [] without a sample.
        """
        if self.sample is None:
            return []
        ids = find_sample_ids(self.sample, self.columns, asked)
        answers = find_sample_answers(self.sample, self.columns, ids)
        at = {"question_id": ids} | ({} if answers is None else {"answer": answers})
        self._note(self.sample, Found(self.sample, self.columns, at), answers=answers is not None)
        return [(row[ids], "" if answers is None else row[answers]) for row in self.sample.rows]

    def unused(self) -> dict[str, tuple[str, ...]]:
        """By name of a table, the columns that neither fields nor choices are read from."""
        found = {}
        for name, facts in self.facts.items():
            used = {*self.choices.columns.get(self._splits.get(name, ""), ()), *([SOURCE_ID] if self.imported else ())}
            if columns := tuple(column for column in facts.unused if column not in used):
                found[name] = columns
        return found

    def refuse_unknown_names(self, fields: Iterable[str], others: Iterable[Path]) -> None:
        """Raise InputError if no table that was read has a column of the name in the settings, nor one of `others`."""
        unknown = [
            field
            for field in fields
            if not any(has_column(header, getattr(self.columns, field)) for header in self._headers)
        ]
        if not unknown or not self._headers:
            return
        encoding = self.columns.encoding
        unread = [
            read_table(path, encoding=encoding) for path in others if path.is_file() and path.name not in self.facts
        ]
        for field in unknown:
            if not any(has_column(table, getattr(self.columns, field)) for table in unread):
                Found(self._headers[0], self.columns, {}).fields(field)  # says which columns there are

    def _note(self, table: Table, found: Found, *, ids: str = COLUMN, answers: bool = True) -> None:
        self._headers.append(replace(table, rows=[]))
        unused = () if table is self.sample else found.unused  # the sample's other columns are written back
        sample = "" if table.encoding == "utf-8" else table.sample()
        self.facts[table.path.name] = TableFacts(
            table.encoding, table.separator, table.padded, table.blank_rows, found.renamed, unused, ids, answers, sample
        )

    def _find_ids_of_sample(self, found: Found, sample: Table) -> Found:
        """`found` with the column whose texts are the sample's ids, if its own column of ids has none of them."""
        named = find_columns(sample, self.columns, ("question_id",)).at.get("question_id")
        columns = range(len(sample.columns)) if named is None else (named,)
        listed = [texts for index in columns if (texts := set(sample.fields(index)))]
        if "question_id" in found.at and any(map(set(found.fields("question_id")).intersection, listed)):
            return found
        table = found.table
        fitting = []
        for index in range(len(table.columns)):
            texts = set(table.fields(index))
            if len(texts) == len(table.rows) and texts in listed:
                fitting.append(index)
        return replace(found, at={**found.at, "question_id": fitting[0]}) if len(fitting) == 1 else found

    def _ids(self, found: Found, split: str) -> tuple[list[str], str]:
        """The ids of a table's rows, and where they come from: COLUMN, SAMPLE or NUMBERS."""
        if "question_id" in found.at:
            return found.fields("question_id"), COLUMN
        if split != "test" or self.sample is None:
            return [f"{split}_{number}" for number in range(len(found.table.rows))], NUMBERS
        ids = self.sample.fields(find_sample_ids(self.sample, self.columns))
        if len(ids) == len(found.table.rows) and not find_duplicates(ids):
            if any(ids == [str(first + number) for number in range(len(ids))] for first in (0, 1)):
                return ids, SAMPLE
            if _same_order(self.sample, found.table):
                return ids, SAMPLE
        raise InputError(
            f"{found.table.path} has no column of ids, and nothing says which question each id of {self.sample.path} "
            f"belongs to. Add a column {self.columns.question_id!r} with the ids to it, or name the right one of "
            f"{', '.join(map(repr, found.table.columns))} with --question-id-column."
        )

    def _find_images(self, split: str, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """(image id, picture) -> its file, "" if there is none or more than one.

        Paths of another machine that end alike in one file mean different files, of which one is not here: none counts.
        """
        paths: dict[tuple[str, str], str] = {}
        ends: dict[str, set[str]] = {}
        for image_id, picture in dict.fromkeys(wanted):
            matches = self.files.find(split, picture)
            if not matches and image_id != picture:
                matches = self.files.find(split, image_id)
            paths[image_id, picture] = matches[0] if len(matches) == 1 else ""
            if len(matches) > 1:
                self.ambiguous[image_id] = matches
            elif matches and is_absolute(picture):
                ends.setdefault(matches[0], set()).add(picture.strip().replace("\\", "/"))
        shared = {path for path, pictures in ends.items() if len(pictures) > 1}
        return {key: "" if path in shared else path for key, path in paths.items()} if shared else paths


def _same_order(sample: Table, table: Table) -> bool:
    """Whether a column that tells rows apart has the same texts in both, row by row."""
    columns = [texts for index in range(len(table.columns)) if len(set(texts := table.fields(index))) > 1]
    return any(sample.fields(index) in columns for index in range(len(sample.columns)))
