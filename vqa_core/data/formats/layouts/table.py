"""Layouts: what the records of a data set are called, one entry each; and which layout a file's records have.

A layout is recognised by the keys that its records have, never by the name of a file. To read one more is one entry.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from vqa_core.data.choices.reading import FORM, HINT, OptionColumns, answer_key, find_options, is_index
from vqa_core.data.formats.layouts.records import SPLIT_KEYS, Row
from vqa_core.data.formats.rows.column_names import USUAL
from vqa_core.runs.choices import TEXT

KEY = "the record's own key"
"""In `image_id` of a Layout: the picture is called what its record is called in an object of records by id."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the records of one data set say what an example holds.

    `needs` are the keys by which a record is recognised; in `a|b` either will do. The others are keys of a record, the
    first with a value counts: `below` has a text for a line below the question, `image` names a picture by its path,
    `image_id` by a number or by its file's name alone.
    `answers` holds one answer or several. A question has the choices of `options`; with `wrong`, that key has the
    wrong ones, and the answer is the right one. `form` is that of the answers, TEXT if they have to show it. `paths`
    are where a picture may lie besides its own path; {image}, {name} (its last part), {key} (the question's id) and
    {split} stand in them. `numbered` are the splits of a source that numbers them, from 1.
    """

    name: str
    needs: tuple[str, ...]
    question: tuple[str, ...] = ("question",)
    below: tuple[str, ...] = ()
    question_id: tuple[str, ...] = ("question_id",)
    image: tuple[str, ...] = ("image", "image_path", "img_path", "file_name")
    image_id: tuple[str, ...] = ("image_id",)
    answers: tuple[str, ...] = ("answer", "answers")
    options: OptionColumns | None = None
    wrong: str = ""
    form: str = TEXT
    split: tuple[str, ...] = SPLIT_KEYS
    numbered: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    source: str = ""

    def missing(self, row: Row) -> Sequence[str]:
        """The needs that a record doesn't meet."""
        record = row.record if isinstance(row.record, dict) else {}
        lacking = _lacking(self.needs, tuple(record))
        if self.form == "0":  # what is no index of a choice is another layout's answer
            odd = [key for key in self.answers if not isinstance(record.get(key), int | float | None)]
            lacking = [*lacking, *(f"{key} as a number" for key in odd)]
        return lacking

    def used(self) -> set[str]:
        """The keys that are read."""
        options = (*self.options.columns, HINT) if self.options else ()
        used = (*self.question, *self.below, *self.question_id, *self.image, *self.image_id, *self.answers)
        return {*used, *self.split, *options, self.wrong}


_CHOICES = OptionColumns(("choices",))

LAYOUTS = (
    Layout(
        "A-OKVQA",
        (*("question_id", "image_id", "question", "choices"), "correct_choice_idx|difficult_direct_answer"),
        answers=("correct_choice_idx",),
        options=_CHOICES,
        form="0",
        source="https://github.com/allenai/aokvqa",
    ),
    Layout(
        "ScienceQA",
        ("question", "choices", "answer", "image", "split", "lecture|solution|skill|grade"),
        question_id=("id", "pid"),
        image=("image",),
        answers=("answer",),
        options=_CHOICES,
        form="0",
        paths=("{split}/{key}/{image}",),
        source="https://github.com/lupantech/ScienceQA",
    ),
    Layout(
        "Visual7W",
        ("qa_id", "filename", "question", "answer", "multiple_choices"),
        question_id=("qa_id",),
        image=("filename",),
        wrong="multiple_choices",
        form=TEXT,
        source="https://github.com/yukezhu/visual7w-toolkit",
    ),
    Layout(
        "Visual Genome",
        ("qa_id", "image_id|id", "question", "answer"),
        question_id=("qa_id",),
        image_id=("image_id", "id"),
        source="https://homes.cs.washington.edu/~ranjay/visualgenome/api.html (question_answers.json)",
    ),
    Layout(
        "OCR-VQA",
        ("imageURL", "question"),
        image_id=("image_id", KEY),
        numbered=("train", "val", "test"),
        source="https://ocr-vqa.github.io (dataset.json)",
    ),
    Layout(
        "GQA",
        ("imageId", "question"),
        image_id=("imageId",),
        source="https://cs.stanford.edu/people/dorarad/gqa/download.html",
    ),
    Layout(
        "CLEVR",
        ("image_filename", "question", "question_index|question_family_index|image_index"),
        question_id=("question_index",),
        image=("image_filename",),
        source="https://cs.stanford.edu/people/jcjohns/clevr",
    ),
    Layout(
        "FigureQA or PlotQA",
        ("question_string", "image_index"),
        question=("question_string",),
        question_id=("question_id", "qid"),
        image_id=("image_index",),
        source="https://www.microsoft.com/en-us/research/project/figureqa-dataset, https://github.com/NiteshMethani/PlotQA",
    ),
    Layout(
        "DocVQA",
        ("questionId", "question", "image|image_local_name"),
        question_id=("questionId",),
        image=("image", "image_local_name"),
        paths=("{name}",),
        source="https://rrc.cvc.uab.es/?ch=17 (InfographicVQA too)",
    ),
    Layout(
        "TextVQA",
        ("question_id", "image_id", "question", "answers|set_name|image_classes"),
        source="https://textvqa.org/dataset",
    ),
    Layout(
        "VizWiz",
        ("image", "question", "answerable|answer_type"),
        image=("image",),
        source="https://vizwiz.org/tasks-and-datasets/vqa",
    ),
    Layout(
        "SLAKE",
        ("img_name", "question", "answer", "qid"),
        question_id=("qid",),
        image=("img_name",),
        image_id=("img_id",),
        source="https://www.med-vqa.com/slake",
    ),
    Layout(
        "VQA-RAD",
        ("image_name", "question", "answer", "qid"),
        question_id=("qid",),
        image=("image_name",),
        split=(*SPLIT_KEYS, "phrase_type"),
        source="https://osf.io/89kps",
    ),
    Layout(
        "LXMERT",
        ("sent", "img_id", "label|question_id"),
        question=("sent",),
        image_id=("img_id",),
        answers=("label",),
        source="https://github.com/airsplay/lxmert",
    ),
    Layout(
        "LAVIS",
        ("question_id", "question", "image", "dataset"),
        image=("image",),
        source="https://github.com/salesforce/LAVIS, and https://github.com/salesforce/ALBEF before it",
    ),
)
"""The layouts by name, those with more or rarer keys first: a file has the first that most of its records fit."""

FLAT = "records with image, question and answer"
_MORE_NAMES = {
    "question_id": "pid qaid questionindex",
    "image_id": "",
    "image": "filepath imgname picturepath imagebase64str dataid",
    "question": "sent questionstring",
    "answer": "labels solution gt directanswers",
    "answers": "",
}


def flat_layout(rows: Sequence[Row]) -> Layout | None:
    """The layout of records whose keys have usual names, in any case; None if those of question or image are missing.

    `metadata.jsonl` of an imagefolder of `datasets` has such records, with `file_name`.
    """
    seen = Counter(key for row in rows if isinstance(row.record, dict) for key in row.record)
    keys = tuple(key for key, _ in seen.most_common())
    question, image, image_id = (_usual(field, keys) for field in ("question", "image", "image_id"))
    answers = (*_usual("answer", keys), *_usual("answers", keys))
    if not question or not (image or image_id):
        return None
    if "answer" in map(_fold, answers) or "answers" in map(_fold, answers):  # beside these, a label may be anything
        answers = tuple(key for key in answers if _fold(key) in ("answer", "answers"))
    ids = _usual("question_id", keys)[:1]
    options = find_options(keys, {*question, *image, *image_id, *answers, *ids})
    right = answer_key(keys) if options and not {"answer", "answers"} & set(map(_fold, answers)) else ""
    return Layout(
        FLAT,
        (question[0], "|".join((*image[:1], *image_id[:1]))),
        question=question[:1],
        below=tuple(key for key in keys if _fold(question[0]) == "instruction" and _fold(key) in ("input", "inputs")),
        question_id=ids,
        image=image[:1],
        image_id=image_id[:1],
        answers=(right,) if right else answers[:2],
        options=options,
        form="0" if right and is_index(right) else TEXT,
    )


def is_llava_question(row: Row) -> bool:
    """Whether a record is a question to answer of LLaVA's: an id and a `text`, and nothing that could be an answer.

    Choices beside the text are another format's, unless our own export wrote them.
    """
    keys = tuple(row.record) if isinstance(row.record, dict) else ()
    others = [*_usual("question", keys), *_usual("answer", keys), *_usual("answers", keys)]
    return others == ["text"] and bool({"question_id", "id"} & set(keys)) and (FORM in keys or not find_options(keys))


def has_question(row: Row) -> bool:
    """Whether a record has a key with a usual name for the question."""
    return isinstance(row.record, dict) and bool(_usual("question", tuple(row.record)))


def _missing_flat(row: Row) -> Sequence[str]:
    keys = tuple(row.record) if isinstance(row.record, dict) else ()
    fields = {"image": ("image", "image_id"), "question": ("question",), "answer": ("answer", "answers")}
    return [name for name, usual in fields.items() if not any(_usual(field, keys) for field in usual)]


@lru_cache(maxsize=4096)  # records have few sets of keys
def _lacking(needs: tuple[str, ...], keys: tuple[str, ...]) -> Sequence[str]:
    return tuple(need for need in needs if not any(key in keys for key in need.split("|")))


@lru_cache(maxsize=4096)
def _usual(field: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys with usual names of a field, the most usual first."""
    names = " ".join((*USUAL[field], _MORE_NAMES[field])).split()
    if field == "image_id":
        names = names[:2]  # the others are paths
    return tuple(key for name in names for key in keys if _fold(key) == name)


def _fold(key: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", key)).casefold()


def nearest_layout(rows: Sequence[Row]) -> tuple[str, int, list[str]]:
    """Of rows without a layout: the name of the one that lacks least, how many rows lack something, what most lack."""
    layouts = (*LAYOUTS, Layout("VQA", ("question_id", "image_id", "question")))
    missing: dict[str, list[Sequence[str]]] = {FLAT: [_missing_flat(row) for row in rows]}
    missing |= {layout.name: [layout.missing(row) for row in rows] for layout in layouts}
    share = {layout.name: sum(map(len, missing[layout.name])) / len(layout.needs) / len(rows) for layout in layouts}
    share[FLAT] = min(0.5, sum(map(len, missing[FLAT])) / 3 / len(rows))  # any other has to have more than half
    name = min(missing, key=lambda name: share[name])
    lacking = Counter(need for needs in missing[name] for need in needs)
    return name, sum(map(bool, missing[name])), [need for need, _ in lacking.most_common()]


def layout_of(rows: Sequence[Row]) -> Layout | None:
    """The first layout that at least half of the records fit; None if there is none."""
    flat = flat_layout(rows)
    known = (*LAYOUTS, flat) if flat else LAYOUTS
    return next((layout for layout in known if 2 * sum(not layout.missing(row) for row in rows) >= len(rows)), None)
