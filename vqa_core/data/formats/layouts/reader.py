"""Turn the records of a file into examples, as their layout says; what fits no example is left out with a reason."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vqa_core.answers import commonest
from vqa_core.data.choices.reading import OptionColumns, form_of_record, with_hint
from vqa_core.data.columns.values import Column, is_missing
from vqa_core.data.formats.conversations import IMAGE_TOKEN
from vqa_core.data.formats.layouts.picture_finder import PictureFinder, coco_names
from vqa_core.data.formats.layouts.records import SPLIT_KEYS, Row, named_split
from vqa_core.data.formats.layouts.table import FLAT, KEY, Layout
from vqa_core.data.formats.picture_paths import Pictures
from vqa_core.data.formats.split_data import SplitData
from vqa_core.runs.choices import TEXT
from vqa_core.runs.examples import Example

NUMBERED = "records without an id, numbered"
NO_IMAGE = "records without a picture; a question here is about one"
SEVERAL_IMAGES = "records about several pictures; a question here is about one"
NO_QUESTION = "records whose question is no text"
ODD_ANSWER = "records whose answer is neither a text nor a number nor a list of those"
ODD_CHOICES = "records whose choices are not two texts or more"
SORTED = "questions whose choices are sorted, since the file has the right one apart from the wrong ones"
MOVED = "`<image>` removed from the middle or end of a question: the picture always comes first, as in LLaVA"
SEVERAL_FILES = "pictures that several files could be, in folders that the split does not tell apart"


class LayoutReader:
    """Reads the rows of one file into `data`, one SplitData for each split that has some.

    `role` is the split of rows that do not name theirs; where it is not `train`, it is that of all rows: the file was
    named as that split. Picture paths are relative to `images`, to the file's folder, or to another below `images`.
    """

    def __init__(self, file: Path, images: Path, role: str) -> None:
        self.file, self.role = file, role
        self.data: dict[str, SplitData] = {}
        self.finder, self.pictures = PictureFinder(images, file), Pictures(images)

    def read(self, rows: Sequence[Row], layout: Layout) -> dict[str, SplitData]:
        """The examples of all rows by split."""
        columns = _Columns(rows, layout)
        for number, row in enumerate(rows, start=1):
            self._read(row, layout, columns, f"{self.file.stem}_{number}")
        self._tell(rows, layout)
        return self.data

    def data_of(self, row: Row, keys: Sequence[str] = SPLIT_KEYS, numbered: Sequence[str] = ()) -> SplitData:
        """What a row belongs to: the split that it names itself, else that which the file names, else the role."""
        split = self.role
        if split == "train":
            said = _first(row.record, keys) if isinstance(row.record, dict) else None
            said = row.split if said is None else said
            number = said if isinstance(said, int) else 0
            split = numbered[number - 1] if 0 < number <= len(numbered) else named_split(said) or split
        return self.data.setdefault(split, SplitData())

    def picture_of(
        self, path: Any, image_id: str, subset: str, data: SplitData, case: str, ways: Sequence[str] = ()
    ) -> str:
        """The path of a picture below the images folder, as given where it cannot be found; "" if only an id is given.

        `ways` are paths to try before `path`, `subset` is the part of the data, such as `val2014`. Raises ValueError
        with the reason if the picture cannot be had.
        """
        if isinstance(path, str) and path:
            picture = self.pictures.find(path, case, data)
            if picture.name in data.pictures:
                return picture.path
            found = self.finder.find([*ways, picture.name, *coco_names(picture.name, subset)], subset)
            given = picture.path
        else:
            given, found = "", self.finder.find([*coco_names(image_id, subset), image_id], subset)
        if len(found) > 1:
            data.warn(SEVERAL_FILES, f"{case}: {' or '.join(found[:3])}")
        return found[0] if len(found) == 1 else given

    def _read(self, row: Row, layout: Layout, columns: "_Columns", default_id: str) -> None:
        data = self.data_of(row, layout.split, layout.numbered)
        lacking = layout.missing(row)
        if lacking:
            return data.leave_out(f"records without {_listed(lacking)}", default_id, row.record)
        record: dict[str, Any] = row.record
        case = columns.id_of(row) or default_id
        try:
            question = _question(_first(record, layout.question), _first(record, layout.below), case, data)
            path, image_id = _named_picture(row, layout, columns.image)
            answer, answers = answers_of(record, layout.answers, columns.answer)
            choices = _choices(record, layout, answer, case, data)
            parts = {"image": path, "name": PurePosixPath(path).name, "key": case, "split": record.get("split")}
            ways = [way.format(**parts) for way in layout.paths]
            subset = record.get("coco_split") or _first(record, layout.split) or row.split
            picture = self.picture_of(path, image_id, str(subset or self.role), data, case, ways)
        except ValueError as error:
            return data.leave_out(str(error), case, record)
        columns.tell(record, case, data)
        if case == default_id:
            data.note(NUMBERED, case)
        question = with_hint(record, question) if choices else question
        form = (form_of_record(record) if layout.form == TEXT else layout.form) if choices else TEXT
        example = Example(case, image_id or picture, picture, question, answer, choices, form)
        return data.put(example, answers, made_up=case == default_id)

    def _tell(self, rows: Sequence[Row], layout: Layout) -> None:
        """Note how the file was read, and what in it was not."""
        data = max(self.data.values(), key=lambda data: len(data.examples), default=SplitData())
        data.note(f"files read as {layout.name}", str(self.file))
        used = layout.used()
        for key in dict.fromkeys(key for row in rows if isinstance(row.record, dict) for key in row.record):
            if key not in used:
                data.note(f"keys of {layout.name} that nothing is read from", key)


class _Columns:
    """The values of each field over all rows, which decide how its numbers are written."""

    def __init__(self, rows: Sequence[Row], layout: Layout) -> None:
        self.layout = layout
        self.id = _column(rows, layout.question_id)
        self.answer = _column(rows, layout.answers)
        self.image = _column(rows, (*layout.image, *layout.image_id))

    def id_of(self, row: Row) -> str:
        """The id that a row has; "" for none. The n-th question of a record has `id#n`, as have LLaVA's later turns."""
        values = {key: row.record.get(key) for key in self.layout.question_id}
        key = next((key for key in values if isinstance(values[key], str | int | float)), "")
        base = self.id.text(values.get(key)) or row.key
        return f"{base}#{row.nth + 1}" if base and row.nth and key not in row.own else base

    def tell(self, record: Mapping[str, Any], case: str, data: SplitData) -> None:
        """Note where a number was written as another text than in the source."""
        for keys, column in ((self.layout.question_id, self.id), (self.layout.answers, self.answer)):
            for key in keys:
                conversion = "" if isinstance(record.get(key), list | dict) else column.conversion(record.get(key))
                if conversion:
                    data.note(f"{key}: {conversion}", case)


def _column(rows: Sequence[Row], keys: Sequence[str]) -> Column:
    """The values of the keys over all rows: they decide how its numbers are written."""
    records = (row.record for row in rows if isinstance(row.record, dict))
    values = (record[key] for record in records for key in keys if key in record)
    return Column(value for value in values if plain_texts(value) is None)


def _first(record: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next(
        (record[key] for key in keys if not is_missing(record.get(key)) and record[key] not in ("", [], {})), None
    )


def _listed(needs: Sequence[str]) -> str:
    return " and ".join(" or ".join(map(repr, need.split("|"))) for need in needs)


def _question(value: Any, below: Any, case: str, data: SplitData) -> str:
    """The question, without the `<image>` that stands for the picture in LLaVA's. Raises ValueError for no text."""
    if not isinstance(value, str) or not isinstance(below, str | None):
        raise ValueError(NO_QUESTION)
    text = f"{value}\n{below}" if below else value
    if text.startswith(IMAGE_TOKEN):
        return text.removeprefix(IMAGE_TOKEN).removeprefix("\n")
    if IMAGE_TOKEN in text:
        data.note(MOVED, case)
        return text.replace(IMAGE_TOKEN, "", 1).strip()
    return text


def _named_picture(row: Row, layout: Layout, column: Column) -> tuple[str, str]:
    """The path and the id by which a record names its picture, "" for either. Raises ValueError if there are none."""
    path = _first(row.record, layout.image)
    if isinstance(path, list):
        if len(path) > 1:
            raise ValueError(SEVERAL_IMAGES)
        path = path[0]
    if isinstance(path, dict):  # as `datasets` and chat formats write a picture
        path = next((path[key] for key in ("path", "file_name", "url") if isinstance(path.get(key), str)), None)
    path = column.text(path) if isinstance(path, str | int | float) else None
    image_id = _first(row.record, layout.image_id)
    image_id = column.text(image_id) if isinstance(image_id, str | int | float) else None
    if KEY in layout.image_id and not path:
        image_id = image_id or row.key
    if not path and not image_id:
        raise ValueError(NO_IMAGE)
    return path or "", image_id or ""


def answers_of(record: Mapping[str, Any], keys: Sequence[str], column: Column) -> tuple[str | None, list[str]]:
    """The answer to train on, the commonest unless one stands apart, and all answers if they are a list.

    Raises ValueError with ODD_ANSWER.
    """
    chosen: str | None = None
    answers: list[str] = []
    for key in keys:
        value = record.get(key)
        if isinstance(value, dict) and value and all(isinstance(weight, int | float) for weight in value.values()):
            value = max(value.items(), key=lambda pair: pair[1])[0]  # LXMERT's scores by answer
        if isinstance(value, dict | list):
            answers = answers or plain_texts(value) or list(_texts(value, column))
        elif chosen is None:
            chosen = column.text(value)
    return chosen if chosen is not None else commonest(answers) if answers else None, answers


def plain_texts(value: Any) -> list[str] | None:
    """The texts of a list that holds nothing else, or VQA's objects with an `answer`; None for any other value."""
    if type(value) is not list:
        return None
    texts: list[Any] = [item.get("answer") if type(item) is dict else item for item in value]
    return texts if all(type(text) is str for text in texts) else None


def _texts(value: Any, column: Column) -> Iterator[str]:
    """Each text in a value: a text or number itself, the `answer` or `text` of an object, those of a list's items."""
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, column)
    elif isinstance(value, dict):
        key = next((key for key in ("answer", "answers", "text", "value") if key in value), "")
        if value and not key:
            raise ValueError(ODD_ANSWER)
        yield from _texts(value.get(key), column)
    else:
        text = column.text(value)
        yield from () if text is None else (text,)


def _choices(
    record: Mapping[str, Any], layout: Layout, answer: str | None, case: str, data: SplitData
) -> tuple[str, ...]:
    """The choices of a record; those of a file that tells the right from the wrong ones are sorted, to tell nothing.

    Raises ValueError with ODD_CHOICES.
    """
    if layout.wrong:
        wrong = OptionColumns((layout.wrong,)).read(record)
        if isinstance(record.get("answer"), int) or len(wrong) < 1 or not answer:
            raise ValueError(ODD_CHOICES)
        data.note(SORTED, case)
        return tuple(sorted({*wrong, answer}))
    choices = layout.options.read(record) if layout.options else ()
    if layout.options and len(choices) < 2 and layout.name != FLAT:
        raise ValueError(ODD_CHOICES)
    return choices if len(choices) > 1 else ()
