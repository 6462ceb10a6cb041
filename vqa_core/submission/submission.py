"""Submission: predictions joined by id to sample_submission.csv, what the doctor says of them, and the file itself.

The answers are written as they are, never normalised. A server compares texts; what may make it see another text than
the model's (a reader's missing values, numbers, white space) is a warning.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vqa_core.answers import plain
from vqa_core.data.tables import Table, read_table
from vqa_core.files import InputError, named, read_json_lines, repeated, write_atomically
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir

ID, ANSWER = 0, 1  # places of the two columns; further ones are copied from the sample
_NEEDS_QUOTES = re.compile('[",\r\n]')


@dataclass(frozen=True, slots=True)
class Submission:
    """The rows of a submission file below its header; `fallbacks` counts the answers that are not the model's."""

    columns: tuple[str, ...]
    rows: list[list[str]]
    fallbacks: dict[str, int]

    @property
    def answers(self) -> list[str]:
        return [row[ANSWER] for row in self.rows]

    def to_csv(self) -> bytes:
        """UTF-8 without byte-order mark, line ends LF, quotes only where RFC 4180 needs them."""
        for row in self.rows:
            if not all(map(_writable, row)):
                raise InputError(
                    f"the answer to {row[ID]!r} cannot be written as a UTF-8 CSV field: {row[ANSWER]!r} holds a zero "
                    "byte or half a character. Predict it again, or correct it in the predictions file."
                )
        return "".join(",".join(map(_field, row)) + "\n" for row in (self.columns, *self.rows)).encode()


def build_submission(sample: Table, predictions: Mapping[str, Prediction], *, allow_failed: bool = False) -> Submission:
    """Join by id against the sample, in its order and columns: the first is the id, the second the answer.

    Raises InputError for ids that are missing, unknown or stand twice, and for questions whose prediction failed and
    left no fallback answer, unless `allow_failed`.
    """
    if len(sample.columns) < 2:
        raise InputError(f"{sample.path} has one column, {sample.columns[0]!r}; an id and an answer were expected.")
    ids = [row[ID] for row in sample.rows]
    twice = repeated(ids)
    if twice:
        raise InputError(f"{sample.path}: {len(twice)} ids stand more than once: {named(twice)}.")
    missing = [question_id for question_id in ids if question_id not in predictions]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(ids)} ids in {sample.path} have no prediction: {named(missing)}. "
            "Go on with `python -m eval.predict`."
        )
    unknown = sorted(predictions.keys() - set(ids))
    if unknown:
        raise InputError(
            f"{len(unknown)} predictions have an id that is not in {sample.path}: {named(unknown)}. "
            "Are they of another data folder?"
        )
    chosen = [predictions[question_id] for question_id in ids]
    failed = [item.question_id for item in chosen if item.status not in ("ok", "empty") and not item.answer]
    if failed and not allow_failed:
        raise InputError(
            f"{len(failed)} questions failed and have no fallback answer: {named(failed)}. Predict them again "
            "(--restart starts over), or pass --allow-failed to submit them empty."
        )
    rows = [[row[ID], item.answer, *row[ANSWER + 1 :]] for row, item in zip(sample.rows, chosen)]
    fallbacks = Counter(item.status for item in chosen if item.status != "ok")
    return Submission(sample.columns, rows, dict(fallbacks))


def diagnose(submission: Submission, train_answers: Iterable[str] = ()) -> list[str]:
    """What a person should know before sending the file, a sentence each; nothing is changed.

    `train_answers` are compared with if there are any.
    """
    counts = Counter(submission.answers)
    known = set(train_answers)
    found: list[str] = []
    for status, count in submission.fallbacks.items():
        found.append(f"{_answers(count)} not the model's but a fallback: the prediction has the status {status!r}.")
    if counts[""]:
        found.append(f"{_answers(counts[''])} left empty, which a default pandas reader turns into NaN.")
    found += _as_pandas_reads(submission)
    found += _which(counts, "with white space at an end", lambda answer: answer != answer.strip())
    found += _which(counts, "with a line break inside", lambda answer: len(answer.strip().splitlines()) > 1)
    if len(counts) == 1 and len(submission.rows) > 1:
        found.append(f"all {len(submission.rows)} answers are the same: {submission.rows[0][ANSWER]!r}.")
    if known:
        canonical = {plain(answer): answer for answer in known}
        unseen = {answer: count for answer, count in counts.items() if answer and answer not in known}
        found += _which(unseen, "never seen in training", lambda _: True)
        spelt = [(answer, canonical[plain(answer)]) for answer in unseen if plain(answer) in canonical]
        if spelt:
            shown = ", ".join(f"{ours!r} ({theirs!r} in training)" for ours, theirs in spelt[:3])
            found.append(f"of these, differing from a training answer in case, spaces or full stop only: {shown}.")
        longest = max(map(len, known))
        found += _which(
            counts,
            f"more than twice as long as the longest in training ({longest} characters)",
            lambda answer: len(answer) > 2 * longest,
        )
    return found


def submission_of(
    run: RunDir, data: Path, predictions: Mapping[str, Prediction], *, allow_failed: bool = False
) -> tuple[Submission, list[str]]:
    """The submission of a run for the competition folder `data`, and what the doctor says of it.

    The answers are set beside those of its training and validation questions. Raises what `build_submission` does.
    """
    sample = read_table(data / "sample_submission.csv")
    submission = build_submission(sample, predictions, allow_failed=allow_failed)
    rows = (row for file in (run.train, run.val) if file.is_file() for row in read_json_lines(file))
    return submission, diagnose(submission, [row["answer"] for row in rows if row.get("answer") is not None])


def write_submission(path: Path, submission: Submission) -> None:
    """Write the file atomically, read it back, and make sure that every field came back as it was."""
    write_atomically(path, submission.to_csv())
    back = read_table(path)
    if back.columns != submission.columns or back.rows != submission.rows:
        at = next((row[ID] for row, other in zip(submission.rows, back.rows) if row != other), None)
        path.unlink()
        raise InputError(
            f"{path} did not come back from the disk as it was written"
            + (f", first at {at!r}" if at else "")
            + "; it is removed. Is the disk sound?"
        )


def _field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _writable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _as_pandas_reads(submission: Submission) -> list[str]:
    """What `pandas.read_csv` without arguments, a common scorer's, makes of ids and answers: asked of pandas itself."""
    try:
        read = pd.read_csv(io.BytesIO(submission.to_csv()), low_memory=False, index_col=False)
    except (ValueError, pd.errors.ParserError) as error:
        return [f"a default pandas reader refuses the file: {error}."]
    if len(read) != len(submission.rows):
        return [f"a default pandas reader finds {len(read)} rows in the file, not {len(submission.rows)}."]
    found = []
    for column, what in ((ID, "ids"), (ANSWER, "answers")):
        texts = [row[column] for row in submission.rows]
        gone = read.iloc[:, column].isna()
        nan = Counter(text for text, lost in zip(texts, gone) if lost and text)
        if nan:
            found.append(f"{what} that a default pandas reader turns into NaN, {sum(nan.values())}: {_shown(nan)}.")
        changed = {
            text: str(value)
            for text, value, lost in zip(texts, read.iloc[:, column], gone)
            if not lost and str(value) != text
        }
        if changed:
            shown = ", ".join(f"{text!r} into {value}" for text, value in list(changed.items())[:3])
            found.append(f"{what} that a default pandas reader changes, {len(changed)} different: {shown}.")
    return found


def _which(counts: Mapping[str, int], what: str, test: Callable[[str], bool]) -> list[str]:
    hits = Counter({answer: count for answer, count in counts.items() if test(answer)})
    if not hits:
        return []
    return [f"{_answers(sum(hits.values()))} {what}: {_shown(hits)}."]


def _answers(count: int) -> str:
    return "1 answer" if count == 1 else f"{count} answers"


def _shown(counts: Mapping[str, int], most: int = 4) -> str:
    ranked = Counter(counts).most_common()
    parts = [f"{_short(answer)!r}" + (f" ({count} times)" if count > 1 else "") for answer, count in ranked[:most]]
    return ", ".join(parts) + (f" and {len(ranked) - most} more" if len(ranked) > most else "")


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
