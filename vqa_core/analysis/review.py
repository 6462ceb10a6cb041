"""The review CSV: answers for a person with a spreadsheet. Nothing reads it back, and it is no submission.

What a spreadsheet would run as a formula gets an apostrophe in front, so the texts are not always those of the dataset;
`submission.csv` keeps every byte. That holds within a text too, where a cell begins for a spreadsheet that separates
them by semicolons, as those of many countries do.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from vqa_core.analysis.errors import Answers

COLUMNS = ("id", "image", "question", "reference", "answer", "confidence", "right", "near_miss", "tags")
_FORMULA = re.compile(r"(^|[;\t\r\n])(\s*[=+\-@＝＋－＠]|^[\t\r])")


def review_csv(answers: Answers, places: Iterable[int], tags: Mapping[str, Sequence[str]]) -> bytes:
    """The answers at `places` in that order: UTF-8 with a byte-order mark, as Excel wants it, line ends CRLF.

    `reference` and `right` (yes or no) are empty where the right answers are not known, `confidence` where the model
    gave none. Half a surrogate pair, which no file can hold, is written as its escape.
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
    """`text` as a spreadsheet will show it: never a formula."""
    return _FORMULA.sub(r"\1'\2", text)
