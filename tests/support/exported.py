"""Files written for LLaVA and for the VQA tool, read again by question or id; and what an import reports."""

from pathlib import Path

from vqa_core.data.competition import read_competition
from vqa_core.data.formats.llava import read_conversation_records, read_question_records
from vqa_core.files import read_json, read_json_lines
from vqa_core.runs.examples import Example


def conversations(path: Path) -> list[Example]:
    """The examples of a file of LLaVA's conversations, none of them left out."""
    found = read_conversation_records(read_json(path), str(path), path.parent)
    assert not found.left_out
    return found.examples


def questions(path: Path) -> list[Example]:
    """The examples of a file of LLaVA's questions."""
    return read_question_records(list(read_json_lines(path)), str(path), path.parent).examples


def llava_answers(path: Path) -> dict[str, str]:
    """The answers of a file as LLaVA's scorers take it."""
    return _by_id([(row["question_id"], row["text"]) for row in read_json_lines(path)])


def vqa_results(path: Path) -> dict[str, str]:
    """The answers of a file as the VQA tool takes it, each id as text."""
    return _by_id([(str(row["question_id"]), row["answer"]) for row in read_json(path)])


def _by_id(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


def notes_of(folder: Path) -> dict[str, int]:
    """Each finding of the import by its sentence."""
    return {case["message"].rpartition(":")[0]: case["count"] for case in read_competition(folder).imported}
