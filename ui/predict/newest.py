"""The newest answers of a split, seen as they come, and the picture of one of them."""

from typing import Any

from ui.components.widgets import Cell
from ui.components.words import Words
from ui.workspace.pictures import FULL
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.watching import examples_by_id, newest_predictions

SAMPLE = 8  # answers shown
LOOKED_AT = 48  # the newest answers that they are chosen from
LOOKED_BACK = 500  # the newest answers in which a clicked one is searched


def list_newest(workspace: Workspace, t: Words, run: RunDir, split: str) -> list[Cell]:
    """The newest answers, one per picture, newest first; marked where the right answer is known."""
    newest = newest_predictions(run.predictions(split), LOOKED_AT)
    examples = examples_by_id(run.root / f"{split}.jsonl", [item.question_id for item in newest])
    try:
        root = run.data_root()
    except InputError:
        return []
    cells: dict[str, Cell] = {}
    for item in newest:
        example = examples.get(item.question_id)
        if example is None or example.image_id in cells or len(cells) == SAMPLE:
            continue
        cell: Cell = {"key": item.question_id, "caption": example.question, "note": _describe(t, item)}
        cell["src"] = workspace.pictures.url_below(root, example.image)
        if example.answer is not None:
            cell["mark"] = "right" if item.answer == example.answer else "wrong"
        cells[example.image_id] = cell
    return list(cells.values())


def find_picture(workspace: Workspace, t: Words, run: RunDir, split: str, question_id: str) -> dict[str, Any]:
    """The picture of one of the newest answers at full size, with question and answer; {} where there is none."""
    newest = newest_predictions(run.predictions(split), LOOKED_BACK)
    found = next((item for item in newest if item.question_id == question_id), None)
    example = examples_by_id(run.root / f"{split}.jsonl", [question_id]).get(question_id)
    if found is None or example is None:
        return {}
    url = workspace.pictures.url_below(run.data_root(), example.image, FULL)
    if not url:
        return {}
    caption = t("predict.one_answer", question=example.question, answer=_describe(t, found))
    if example.answer is not None and example.answer != found.answer:
        caption += " · " + t("predict.right_answer", answer=example.answer)
    return {"src": url, "alt": example.image_id, "caption": caption}


def _describe(t: Words, item: Prediction) -> str:
    """`red 99.9%`"""
    answer = item.answer or t("predict.empty_answer")
    if item.probability is None:
        return answer
    return t("predict.sure", answer=answer, share=f"{100 * item.probability:.1f}")
