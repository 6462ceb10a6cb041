"""The columns of a dataset by field: those that are set, else those that people usually call so."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from vqa_core.data.choices.reading import FORM, HINT, OptionColumns, answer_key, find_options
from vqa_core.data.columns.column_names import KEYS, key_of
from vqa_core.data.formats.split_data import SplitData
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap

_PICTURES = (
    "img picture pic photo jpg jpeg png webp pixel pixels images imagebytes imagebase64 imageb64 base64 이미지 사진"
)
_PATHS = "imagepath imgpath imagefile imagefilename imagename filename file path imageurl url"
USUAL = {
    "question_id": ("id questionid", "qid uid sampleid 아이디", "index idx"),
    "image_id": ("imageid imgid", "filename imagename imagefile imagefilename"),
    "image": ("image", _PICTURES, _PATHS),
    "question": ("question questiontext", "query prompt text instruction problem 질문 문제"),
    "answer": ("answer multiplechoiceanswer", "label response output target groundtruth gtanswer 답 답변 정답"),
    "answers": ("answers answerlist",),
    "split": ("split setname datasetsplit datasplit",),
}
"""Names by field, as `key_of` has them; those of an earlier group count before those of a later, and then the names
that tables have in many languages."""

KNOWN_AS = "columns taken for their usual names, as none has the name that is set"
UNCLEAR = "fields that several columns could hold, so that they are made up; the flag names the right column"
UNUSED = "columns that nothing is read from"
FLAGS = {
    name: f"--{name.replace('_', '-')}-column" for name in ("question_id", "image_id", "image", "question", "answer")
}


@dataclass(slots=True)
class Columns:
    """The column of each field, "" if there is none.

    `known_as` are those taken for their usual name, as `img as image`; `unclear` the fields that several columns fit,
    each as a clause; `unused` all other columns. `options` are those with the choices of multiple choice.
    """

    names: dict[str, str]
    options: OptionColumns | None = None
    known_as: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def tell(self, data: SplitData, told: set[str]) -> None:
        """Note all this, but for what an earlier split has `told`."""
        for sentence, cases in ((KNOWN_AS, self.known_as), (UNCLEAR, self.unclear), (UNUSED, self.unused)):
            for case in cases:
                if case not in told:
                    data.note(sentence, case)
            told.update(cases)


def answers_optional(columns: ColumnMap, there: Collection[str]) -> ColumnMap:
    """The same columns for a split to answer, which may lack the answer column that is set."""
    return columns if columns.answer in there else replace(columns, answer=ColumnMap().answer)


def find_columns(
    split: str,
    there: Iterable[str],
    columns: ColumnMap,
    pictures: Sequence[str] = (),
    required: Sequence[str] = ("image", "question"),
) -> Columns:
    """Which of the columns `there` holds which field; `pictures` are those whose type says that they hold pictures.

    A name that is set otherwise than by default has to be there. Raises InputError, with all columns and the flag, if
    it is not, if there is none for a field that is `required`, or if several could be the picture, question or answer.
    """
    there, default = list(there), ColumnMap()
    found = Columns({}, find_options(there))
    for name in ("image", "question", "answer", "answers", "question_id", "image_id", "split"):
        usual = getattr(default, name, name)
        wanted = getattr(columns, name, name)
        taken = set(found.names.values())
        if wanted in there:
            found.names[name] = wanted
        elif wanted != usual:
            raise _no_column(split, wanted, there, name)
        elif name == "question_id" and "question_id" in there:
            found.names[name] = "question_id"
        else:
            found.names[name] = _find(split, name, there, taken, found, pictures)
            if not found.names[name] and name in required:
                raise _no_column(split, wanted, there, name)
    if found.names["answers"] and found.names["answer"] == found.names["answers"]:
        found.names["answers"] = ""
    used = set(found.names.values())
    if found.options:
        used |= {FORM, *found.options.columns, *(name for name in there if key_of(name) == HINT)}
    found.unused = [name for name in there if name not in used]
    return found


def _find(
    split: str, name: str, there: list[str], taken: Collection[str], found: Columns, pictures: Sequence[str]
) -> str:
    """The column with a usual name of a field; "" if there is none, or, of a field that may lack, more than one."""
    groups = [
        [column for column in there if column not in taken and key_of(column) in usual.split()] for usual in USUAL[name]
    ]
    others = KEYS.get(name, ())[: 1 if name == "image_id" else None]  # its later names are those of pictures
    groups += [[column for column in there if column not in taken and key_of(column) in line] for line in others]
    if name == "image":
        groups.insert(1, [column for column in pictures if column not in taken])
    if name == "answer" and found.options:
        groups.insert(1, [key for key in (answer_key(there),) if key and key not in taken])
    elif name == "answer" and any(key_of(column) in USUAL["answers"][0].split() for column in there):
        groups = groups[:1]  # beside the list of all answers, a label may be anything
    fitting = next((group for group in groups if group), [])
    if len(fitting) == 1:
        if key_of(fitting[0]) != key_of(name):
            found.known_as.append(f"{fitting[0]} as {name.replace('_', ' ')}")
        return fitting[0]
    if fitting and name in FLAGS:
        listed = " and ".join(map(repr, fitting))
        if name in ("image", "question", "answer"):
            raise InputError(
                f"split {split!r}: the columns {listed} could each hold the {name}. Name the right one with "
                f"{FLAGS[name]}."
            )
        found.unclear.append(f"{' or '.join(fitting)} as {name.replace('_', ' ')} ({FLAGS[name]})")
    return ""


def _no_column(split: str, wanted: str, there: list[str], name: str) -> InputError:
    return InputError(
        f"split {split!r} has no column {wanted!r}; it has {', '.join(map(repr, there))}. "
        f"Name the right one with {FLAGS[name]}."
    )
