"""Read LLaVA's training and question files from any source: with several turns, without an image, `<image>` anywhere.

`vqa_core.data.formats.conversations` writes such files, with one question each. Here a conversation of several turns
becomes several questions about its image, each without the turns before it. This is right for LLaVA-1.5's own VQA data,
which put the questions about an image into one conversation only to save time. It is wrong for a dialogue, so the
report counts such turns. Formats as LLaVA v1.0.2 reads them (`llava/train/train.py`), and the chat formats of
`vqa_core.data.formats.turns`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqa_core.data.columns.values import ROUNDED, Column
from vqa_core.data.formats.conversations import IMAGE_TOKEN, read_choices
from vqa_core.data.formats.picture_paths import Pictures
from vqa_core.data.formats.split_data import SplitData
from vqa_core.data.formats.turns import GPT, HUMAN, ROLES, SYSTEM, Turn, pictures_of, turns_of
from vqa_core.files import InputError
from vqa_core.runs.examples import Example

LATER = "later turns of a conversation, each imported as a question of its own, without the turns before it"
MOVED = "`<image>` removed from the middle or end of a question: the picture always comes first, as in LLaVA"
LATE = "`<image>` removed from a later turn: every question of a conversation is about its picture"
TWICE = "`<image>` more than once in a question: the first is the picture, the others stay as text"
UNSHOWN = "conversations that name an image but have no `<image>`: their questions are about it all the same"
OPENED_BY_GPT = "conversations that gpt starts: the first turn is dropped, as in LLaVA"
SYSTEM_TURNS = "turns of the system, dropped: a prompt here has its own (--prompt-style, --instruction)"
NUMBERED = "conversations without an id, numbered"
NO_IMAGE = "conversations without an image; a question here is about one"
SEVERAL_IMAGES = "conversations about several images; a question here is about one"
NO_TURNS = "conversations in which human and gpt do not take turns"
NO_CONVERSATION = "records that are no conversation: they have no list of turns"
NO_TEXT = "conversations in which a turn is not one text: null, a list or an object"
NO_QUESTION = "records without a question: they have no `text`"
UNNUMBERED = "questions without an id, numbered"

_TEXTS = ("text", "question", "prompt", "query")
_IDS = ("question_id", "id")


def read_conversation_records(records: Sequence[Any], name: str, images: Path) -> SplitData:
    """The questions of LLaVA's training records from the file `name`; `images` is the folder of their images.

    The first question of a record gets its id, the n-th `id#n`. A record that fits no example is left out. Raises
    InputError if none of them is a conversation.
    """
    all_turns = [turns_of(record) for record in records]
    if records and not any(turns is not None for turns in all_turns):
        raise InputError(
            f'{name}, conversation 1: expected a list of turns under "conversations", found {str(records[0])[:80]!r}.'
        )
    texts = _Texts(
        ids=[_id(record) for record, turns in zip(records, all_turns) if turns is not None],
        questions=[turn.text for turns in all_turns for turn in turns or () if turn.role == HUMAN],
        answers=[turn.text for turns in all_turns for turn in turns or () if turn.role == GPT],
    )
    pictures = Pictures(images)
    for number, (record, turns) in enumerate(zip(records, all_turns), start=1):
        default_id = f"{Path(name).stem}_{number}"
        if turns is None:
            texts.data.leave_out(NO_CONVERSATION, default_id, record)
        else:
            _read(record, turns, default_id, texts, pictures)
    return texts.data


def read_question_records(records: Sequence[Any], name: str, images: Path) -> SplitData:
    """The questions of LLaVA's question JSONL. The id may also be called `id`, as in the Dacon team's script.

    A record without a question is left out. Raises InputError if all are.
    """
    asked = [_first(record, _TEXTS) if isinstance(record, dict) else None for record in records]
    if records and not any(isinstance(text, str) for text in asked):
        raise InputError(
            f'{name}, line 1: expected an object with a question under "text", found {str(records[0])[:80]!r}.'
        )
    texts = _Texts([_first(record, _IDS) for record in records if isinstance(record, dict)], asked, [])
    data, pictures = texts.data, Pictures(images)
    for number, (record, text) in enumerate(zip(records, asked), start=1):
        default_id = f"{Path(name).stem}_{number}"
        question_id = texts.text("id", _first(record, _IDS), default_id) if isinstance(record, dict) else None
        is_made_up = question_id is None
        if question_id is None:
            question_id = default_id
            data.note(UNNUMBERED, question_id)
        question = texts.text("question", text, question_id) if not isinstance(text, list | dict) else None
        if question is None:
            data.leave_out(NO_QUESTION, question_id, record)
            continue
        try:
            picture = pictures.find(str(record.get("image") or ""), question_id, data)
        except ValueError as error:
            data.leave_out(str(error), question_id, record)
            continue
        example = Example(question_id, texts.image_id(record, picture.name), picture.path, question)
        data.examples.append(read_choices(example, record))
        if is_made_up:
            data.made_up.add(question_id)
    return data


class _Texts:
    """The texts of a file's records and the SplitData that they go to; ids, questions and answers are a column each."""

    def __init__(self, ids: Sequence[Any], questions: Sequence[Any], answers: Sequence[Any]) -> None:
        self.data = SplitData()
        self.columns = {"id": Column(ids), "question": Column(questions), "answer": Column(answers)}

    def text(self, column: str, value: Any, case: str) -> str | None:
        """A value as text, with a note on what that changed; None if it is missing."""
        if isinstance(value, str):
            return value
        conversion = self.columns[column].conversion(value)
        if conversion:
            tell = self.data.warn if conversion == ROUNDED else self.data.note
            tell(f"{column}s: {conversion}", case)
        return self.columns[column].text(value)

    def image_id(self, record: dict[str, Any], picture: str) -> str:
        """The id of a record's image, the path of its picture if it has none."""
        image_id = record.get("image_id", picture)
        if isinstance(image_id, str):
            return image_id
        text = Column([image_id]).text(image_id)
        return picture if text is None else text


def _id(record: dict[str, Any]) -> Any:
    return _first(record, ("id", "question_id"))


def _first(record: dict[str, Any], keys: Sequence[str]) -> Any:
    """The value of the first of the keys that a record has; None if it has none of them."""
    return next((record[key] for key in keys if key in record), None)


def _read(record: dict[str, Any], turns: list[Turn], default_id: str, texts: _Texts, pictures: Pictures) -> None:
    data = texts.data
    base = texts.text("id", _id(record), default_id)
    is_made_up = base is None
    if base is None:
        base = default_id
        data.note(NUMBERED, base)
    images = pictures_of(record, turns)
    if len(images) != 1:
        return data.leave_out(SEVERAL_IMAGES if images else NO_IMAGE, base, record)
    if any(turn.role == SYSTEM for turn in turns):
        data.note(SYSTEM_TURNS, base)
        turns = [turn for turn in turns if turn.role != SYSTEM]
    if turns and turns[0].role == GPT:
        data.note(OPENED_BY_GPT, base)
        turns = turns[1:]
    if not turns or any(turn.role != (HUMAN, GPT)[at % 2] for at, turn in enumerate(turns)):
        return data.leave_out(_why_no_turns(turns), base, record)
    if any(isinstance(turn.text, list | dict) or turn.text is None or turn.text != turn.text for turn in turns):
        return data.leave_out(NO_TEXT, base, record)
    try:
        picture = pictures.find(images[0], base, data)
    except ValueError as error:
        return data.leave_out(str(error), base, record)
    image_id = texts.image_id(record, picture.name)
    said = [texts.text(("question", "answer")[at % 2], turn.text, base) or "" for at, turn in enumerate(turns)]
    if not any(IMAGE_TOKEN in text for text in said[::2]):
        data.note(UNSHOWN, base)
    for at in range(0, len(said), 2):
        question_id = base if at == 0 else f"{base}#{at // 2 + 1}"
        if at:
            data.note(LATER, question_id)
        if at and IMAGE_TOKEN in said[at]:
            data.note(LATE, question_id)
        answer = said[at + 1] if at + 1 < len(said) else None
        question = _question(said[at], question_id, data)
        example = Example(question_id, image_id, picture.path, question, answer)
        data.examples.append(read_choices(example, record))
        if is_made_up:
            data.made_up.add(question_id)
    return None


def _why_no_turns(turns: Sequence[Turn]) -> str:
    """NO_TURNS, with the roles that are not known."""
    unknown = sorted({turn.role for turn in turns} - set(ROLES.values()))
    return f"{NO_TURNS}; not known: {', '.join(map(repr, unknown))}" if unknown else NO_TURNS


def _question(text: str, question_id: str, data: SplitData) -> str:
    """The question without its `<image>`; at the front, the line end after it goes too, and nothing else changes."""
    if text.count(IMAGE_TOKEN) > 1:
        data.note(TWICE, question_id)
    if text.startswith(f"{IMAGE_TOKEN}\n"):
        return text.removeprefix(f"{IMAGE_TOKEN}\n")
    if IMAGE_TOKEN in text:
        if not text.startswith(IMAGE_TOKEN):
            data.note(MOVED, question_id)
        return text.replace(IMAGE_TOKEN, "", 1).strip()
    return text
