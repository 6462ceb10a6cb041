"""Read LLaVA's training and question files from any source: with several turns, without an image, `<image>` anywhere.

`vqa_core.data.formats.conversations` writes such files, with one question each. Here a conversation of several turns
becomes several questions about its image, each without the turns before it. This is right for LLaVA-1.5's own VQA data,
which put the questions about an image into one conversation only to save time. It is wrong for a dialogue, so the
report counts such turns. Formats as LLaVA v1.0.2 reads them (`llava/train/train.py`).
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vqa_core.data.formats.conversations import IMAGE_TOKEN, read_choices
from vqa_core.data.formats.split_data import SplitData
from vqa_core.files import InputError
from vqa_core.runs.examples import Example

LATER = "later turns of a conversation, each imported as a question of its own, without the turns before it"
MOVED = "`<image>` removed from the middle or end of a question: the picture always comes first, as in LLaVA"
LATE = "`<image>` removed from a later turn: every question of a conversation is about its picture"
TWICE = "`<image>` more than once in a question: the first is the picture, the others stay as text"
UNSHOWN = "conversations that name an image but have no `<image>`: their questions are about it all the same"
BY_TAIL = "absolute image paths, looked up by their last parts below the images folder"
OPENED_BY_GPT = "conversations that gpt starts: the first turn is dropped, as in LLaVA"
NUMBERED = "conversations without an id, numbered"
NO_IMAGE = "conversations without an image; a question here is about one"
SEVERAL_IMAGES = "conversations about several images; a question here is about one"
NO_TURNS = "conversations in which human and gpt do not take turns"


def read_conversation_records(records: Sequence[Any], name: str, images: Path) -> SplitData:
    """The questions of LLaVA's training records from the file `name`; `images` is the folder of their images.

    The first question of a record gets its id, the n-th `id#n`. Raises InputError for a record that is no conversation.
    """
    data, pictures = SplitData(), Pictures(images)
    for number, record in enumerate(records, start=1):
        _read(record, f"{name}, conversation {number}", f"{Path(name).stem}_{number}", data, pictures)
    return data


def read_question_records(records: Sequence[Any], name: str, images: Path) -> SplitData:
    """The questions of LLaVA's question JSONL. The id may also be called `id`, as in the Dacon team's script."""
    data, pictures = SplitData(), Pictures(images)
    for number, record in enumerate(records, start=1):
        place = f"{name}, line {number}"
        if not isinstance(record, dict):
            raise InputError(f"{place}: expected an object, found {str(record)[:80]!r}.")
        question_id = _text(record, "question_id" if "question_id" in record else "id", place)
        picture = pictures.find(str(record.get("image") or ""), question_id, data)
        image_id = str(record.get("image_id", picture))
        example = Example(question_id, image_id, picture, _text(record, "text", place))
        data.examples.append(read_choices(example, record))
    return data


class Pictures:
    """Turns the picture paths in LLaVA's files into paths relative to one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cut = 1  # how many leading parts to cut from an absolute path: tries the last number first

    def find(self, image: str, case: str, data: SplitData) -> str:
        """A relative path unchanged; the longest tail of an absolute path that is a file, else its last part."""
        parts = PurePosixPath(image).parts
        if not image.startswith("/"):
            return image
        data.note(BY_TAIL, case)
        for cut in (self._cut, *range(1, len(parts))):
            tail = "/".join(parts[cut:])
            if tail and (self.folder / tail).is_file():
                self._cut = cut
                return tail
        return parts[-1]


def _read(record: Any, place: str, default_id: str, data: SplitData, pictures: Pictures) -> None:
    turns = record.get("conversations") if isinstance(record, dict) else None
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise InputError(f'{place}: expected a list of turns under "conversations", found {str(record)[:80]!r}.')
    if record.get("id") is None:
        data.note(NUMBERED, default_id)
    base = default_id if record.get("id") is None else _text(record, "id", place)
    image = record.get("image")
    if isinstance(image, list) and len(image) == 1:
        image = image[0]
    if not image or not isinstance(image, str):
        return data.leave_out(SEVERAL_IMAGES if image else NO_IMAGE, base, record)
    if turns and turns[0].get("from") == "gpt":
        data.note(OPENED_BY_GPT, base)
        turns = turns[1:]
    if not turns or any(turn.get("from") != ("human", "gpt")[at % 2] for at, turn in enumerate(turns)):
        return data.leave_out(NO_TURNS, base, record)
    picture = pictures.find(image, base, data)
    image_id = str(record.get("image_id", picture))
    texts = [_text(turn, "value", place) for turn in turns]
    if not any(IMAGE_TOKEN in text for text in texts[::2]):
        data.note(UNSHOWN, base)
    for at in range(0, len(texts), 2):
        question_id = base if at == 0 else f"{base}#{at // 2 + 1}"
        if at:
            data.note(LATER, question_id)
        if at and IMAGE_TOKEN in texts[at]:
            data.note(LATE, question_id)
        answer = texts[at + 1] if at + 1 < len(texts) else None
        question = _question(texts[at], question_id, data)
        data.examples.append(read_choices(Example(question_id, image_id, picture, question, answer), record))
    return None


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


def _text(record: dict[str, Any], key: str, place: str) -> str:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{place}: {key!r} is {'missing' if key not in record else repr(value)}; expected a text.")
    return str(value)
