"""The review CSV: answers for a person with a spreadsheet. Nothing reads it back, and it is no submission.

A text that a spreadsheet would run as a formula gets an apostrophe in front, so it may differ from the dataset's;
`submission.csv` keeps every byte. This also applies after a semicolon inside a text, where a new cell starts for the
spreadsheets of many countries.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from vqa_core.analysis.errors import Answers

COLUMNS = ("id", "image", "question", "reference", "answer", "confidence", "right", "near_miss", "tags")
_FORMULA = re.compile(r"(^|[;\t\r\n])(\s*[=+\-@＝＋－＠]|^[\t\r])")


def review_csv(answers: Answers, places: Iterable[int], tags: Mapping[str, Sequence[str]]) -> bytes:
    """The answers at `places`, in that order, as UTF-8 with a byte-order mark, as Excel wants it, and CRLF line ends.

    `reference` and `right` (yes or no) are empty if the right answers are not known, `confidence` if the model gave
    none. Half a surrogate pair, which UTF-8 cannot encode, is written as its escape.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for i in places:
        example, item = answers.examples[i], answers.predictions[i]
        row = (
            example.question_id,
            example.image or example.image_id,
            example.question,
            answers.references[i] if answers.references is not None else "",
            item.answer,
            "" if item.probability is None else f"{item.probability:.6g}",
            "" if answers.right is None else "yes" if answers.right[i] else "no",
            answers.near[i],
            " ".join(tags.get(example.question_id, ())),
        )
        writer.writerow([cell(field) for field in row])
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "backslashreplace")


def cell(text: str) -> str:
    """Make sure that a spreadsheet shows `text` instead of running it as a formula."""
    return _FORMULA.sub(r"\1'\2", text)
