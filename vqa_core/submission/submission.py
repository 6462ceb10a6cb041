"""Submission: join predictions by id to sample_submission.csv, warn about suspicious answers, and write the file.

Answers are written as they are, never normalised. A server compares texts, so `diagnose` warns of anything that may
make it see another text than the model's: missing values, numbers, white space.
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
from vqa_core.files import InputError, find_duplicates, named, read_json_lines, write_atomically
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.choices import in_form_of_sample, refuse_other_answers

ID, ANSWER = 0, 1  # positions of the two columns; further ones are copied from the sample
_NEEDS_QUOTES = re.compile('[",\r\n]')


@dataclass(frozen=True, slots=True)
class Submission:
    """The rows of a submission file below its header; `fallbacks` counts answers not from the model, by status."""

    columns: tuple[str, ...]
    rows: list[list[str]]
    fallbacks: dict[str, int]

    @property
    def answers(self) -> list[str]:
        return [row[ANSWER] for row in self.rows]

    def to_csv(self) -> bytes:
        """The file as UTF-8 without byte-order mark, with LF line ends, and quotes only where RFC 4180 needs them."""
        for row in self.rows:
            if not all(map(_is_writable, row)):
                raise InputError(
                    f"the answer to {row[ID]!r} cannot be written as a UTF-8 CSV field: {row[ANSWER]!r} holds a zero "
                    "byte or half a character. Predict it again, or correct it in the predictions file."
                )
        return "".join(",".join(map(_quote, row)) + "\n" for row in (self.columns, *self.rows)).encode()


def build_submission(sample: Table, predictions: Mapping[str, Prediction], *, allow_failed: bool = False) -> Submission:
    """Join predictions by id to the sample, in its order and with its columns: first the id, second the answer.

    Raises InputError for missing, unknown or duplicate ids, and, unless `allow_failed`, for questions whose prediction
    failed without a fallback answer.
    """
    if len(sample.columns) < 2:
        raise InputError(f"{sample.path} has one column, {sample.columns[0]!r}; expected an id and an answer.")
    ids = [row[ID] for row in sample.rows]
    twice = find_duplicates(ids)
    if twice:
        raise InputError(f"{sample.path}: {len(twice)} ids occur more than once: {named(twice)}.")
    missing = [question_id for question_id in ids if question_id not in predictions]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(ids)} ids in {sample.path} have no prediction: {named(missing)}. "
            "Continue with `python -m eval.predict`."
        )
    unknown = sorted(predictions.keys() - set(ids))
    if unknown:
        raise InputError(
            f"{len(unknown)} predictions have an id that is not in {sample.path}: {named(unknown)}. "
            "Are they from another data folder?"
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
    """What a person should know before sending the file, one sentence each; changes nothing.

    Compares with `train_answers`, if there are any.
    """
    counts = Counter(submission.answers)
    known = set(train_answers)
    warnings: list[str] = []
    for status, count in submission.fallbacks.items():
        warnings.append(f"{_count(count)} from the fallback, not the model: the prediction has the status {status!r}.")
    if counts[""]:
        warnings.append(f"{_count(counts[''])} left empty, which a default pandas reader turns into NaN.")
    warnings += _read_with_pandas(submission)
    warnings += _find(counts, "with leading or trailing white space", lambda answer: answer != answer.strip())
    warnings += _find(counts, "with a line break inside", lambda answer: len(answer.strip().splitlines()) > 1)
    if len(counts) == 1 and len(submission.rows) > 1:
        warnings.append(f"all {len(submission.rows)} answers are the same: {submission.rows[0][ANSWER]!r}.")
    if known:
        canonical = {plain(answer): answer for answer in known}
        unseen = {answer: count for answer, count in counts.items() if answer and answer not in known}
        warnings += _find(unseen, "never seen in training", lambda _: True)
        variants = [(answer, canonical[plain(answer)]) for answer in unseen if plain(answer) in canonical]
        if variants:
            shown = ", ".join(f"{ours!r} ({theirs!r} in training)" for ours, theirs in variants[:3])
            warnings.append(
                f"of these, some differ from a training answer only in case, spaces or a full stop: {shown}."
            )
        longest = max(map(len, known))
        warnings += _find(
            counts,
            f"more than twice as long as the longest in training ({longest} characters)",
            lambda answer: len(answer) > 2 * longest,
        )
    return warnings


def submission_of(
    run: RunDir, data: Path, predictions: Mapping[str, Prediction], *, allow_failed: bool = False
) -> tuple[Submission, list[str]]:
    """The submission of a run for the competition folder `data`, and the warnings of `diagnose`.

    Compares the answers with those of the training and validation questions. Raises what `build_submission` raises, and
    InputError for an answer that is none of the choices of its question.
    """
    sample = read_table(data / "sample_submission.csv")
    questions = run.examples("test") if run.test.is_file() else []
    refuse_other_answers(questions, predictions)
    filled = {row[ID]: row[ANSWER] for row in sample.rows if len(row) > ANSWER}
    predictions, told = in_form_of_sample(questions, predictions, filled)
    submission = build_submission(sample, predictions, allow_failed=allow_failed)
    rows = (row for file in (run.train, run.val) if file.is_file() for row in read_json_lines(file))
    known = {row["answer"] for row in rows if row.get("answer") is not None and not row.get("choices")}
    if known:  # the choices of a question are known without training
        known |= {
            predictions[row.question_id].answer for row in questions if row.choices and row.question_id in predictions
        }
    return submission, told + diagnose(submission, known)


def write_submission(path: Path, submission: Submission) -> None:
    """Write the file atomically, read it back, and raise InputError if a field differs."""
    write_atomically(path, submission.to_csv())
    back = read_table(path)
    if back.columns != submission.columns or back.rows != submission.rows:
        at = next((row[ID] for row, other in zip(submission.rows, back.rows) if row != other), None)
        path.unlink()
        raise InputError(
            f"{path} does not read back as it was written"
            + (f", first at {at!r}" if at else "")
            + "; it was removed. Is the disk damaged?"
        )


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _is_writable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _read_with_pandas(submission: Submission) -> list[str]:
    """Warnings of what `pandas.read_csv` without arguments, as many scorers call it, changes in ids and answers."""
    try:
        read = pd.read_csv(io.BytesIO(submission.to_csv()), low_memory=False, index_col=False)
    except (ValueError, pd.errors.ParserError) as error:
        return [f"a default pandas reader refuses the file: {error}."]
    if len(read) != len(submission.rows):
        return [f"a default pandas reader finds {len(read)} rows in the file, not {len(submission.rows)}."]
    warnings = []
    for column, what in ((ID, "ids"), (ANSWER, "answers")):
        texts = [row[column] for row in submission.rows]
        gone = read.iloc[:, column].isna()
        nan = Counter(text for text, lost in zip(texts, gone) if lost and text)
        if nan:
            warnings.append(
                f"{what} that a default pandas reader turns into NaN, {sum(nan.values())}: {_list_answers(nan)}."
            )
        changed = {
            text: str(value)
            for text, value, lost in zip(texts, read.iloc[:, column], gone)
            if not lost and str(value) != text
        }
        if changed:
            shown = ", ".join(f"{text!r} into {value}" for text, value in list(changed.items())[:3])
            warnings.append(f"{what} that a default pandas reader changes, {len(changed)} different: {shown}.")
    return warnings


def _find(counts: Mapping[str, int], what: str, test: Callable[[str], bool]) -> list[str]:
    """A warning with the answers that pass `test`, or none."""
    hits = Counter({answer: count for answer, count in counts.items() if test(answer)})
    if not hits:
        return []
    return [f"{_count(sum(hits.values()))} {what}: {_list_answers(hits)}."]


def _count(count: int) -> str:
    return "1 answer" if count == 1 else f"{count} answers"


def _list_answers(counts: Mapping[str, int], most: int = 4) -> str:
    ranked = Counter(counts).most_common()
    parts = [f"{_shorten(answer)!r}" + (f" ({count} times)" if count > 1 else "") for answer, count in ranked[:most]]
    return ", ".join(parts) + (f" and {len(ranked) - most} more" if len(ranked) > most else "")


def _shorten(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
