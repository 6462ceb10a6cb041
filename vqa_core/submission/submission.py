"""Submission: join predictions by id to sample_submission.csv, warn about suspicious answers, and write the file.

Answers are written as they are, never normalised. A server compares texts, so `diagnose` warns of anything that may
make it see another text than the model's: missing values, numbers, white space.
"""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from vqa_core.answers import plain
from vqa_core.config import DataSettings, settings_of
from vqa_core.data.columns.columns import find_sample_answers, find_sample_ids, lacks_answers, refuse_other_name
from vqa_core.data.columns.ids import pairs_without_zeros, rounded_ids
from vqa_core.data.competition import SAMPLE
from vqa_core.data.prepare import column_map
from vqa_core.data.tables import Table, read_table
from vqa_core.files import InputError, find_duplicates, named, read_json_lines, write_atomically
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.choices import in_form_of_sample, refuse_other_answers


@dataclass(frozen=True, slots=True)
class Submission:
    """The rows of a submission file below its header.

    `statuses` counts answers that are not `ok`, by status. The ids are in the column at `id_at`, the answers in that
    at `answer_at`; other columns are the sample's, and so is the `separator`. If a blank follows each separator of the
    sample (`padded`), it stays before all but the answers.
    """

    columns: tuple[str, ...]
    rows: list[list[str]]
    statuses: dict[str, int]
    id_at: int = 0
    answer_at: int = 1
    separator: str = ","
    padded: bool = False

    @property
    def ids(self) -> list[str]:
        return [row[self.id_at] for row in self.rows]

    @property
    def answers(self) -> list[str]:
        return [row[self.answer_at] for row in self.rows]

    @property
    def layout(self) -> dict[str, Any]:
        """JSON-ready: the names of the two columns, and what else it takes to read the file again."""
        separated = {} if self.separator == "," else {"separator": self.separator}
        padded = {"padded": True} if self.padded else {}
        return {"id": self.columns[self.id_at], "answer": self.columns[self.answer_at], **separated, **padded}

    def to_csv(self) -> bytes:
        """The file as UTF-8 without byte-order mark, with LF line ends, and quotes only where RFC 4180 needs them."""
        for row in self.rows:
            if not all(map(_is_writable, row)):
                raise InputError(
                    f"the answer to {row[self.id_at]!r} cannot be written as a UTF-8 CSV field: "
                    f"{row[self.answer_at]!r} holds a zero byte or half a character. Predict it again, or correct it "
                    "in the predictions file."
                )
        special = re.compile(f'["\r\n{re.escape(self.separator)}]{"|^ " if self.padded else ""}')
        header = self._format(self.columns, special, bare=())
        return "".join([header, *(self._format(row, special, bare=(self.answer_at,)) for row in self.rows)]).encode()

    def _format(self, row: Sequence[str], special: re.Pattern[str], bare: tuple[int, ...]) -> str:
        """A line of the file; the fields at `bare` get no blank before them."""
        fields = [_quote(text, special) for text in row]
        if self.padded:
            fields = [f" {text}" if index and index not in bare else text for index, text in enumerate(fields)]
        return self.separator.join(fields) + "\n"


def build_submission(
    sample: Table,
    predictions: Mapping[str, Prediction],
    columns: ColumnMap | None = None,
    *,
    allow_failed: bool = False,
) -> Submission:
    """Join predictions by id to the sample, in its order and with its columns; only the answers are other ones.

    With `all_questions`, those that the sample does not list follow below, in the order of the predictions; a column
    with one text in all of its rows gets that text there, too.
    `columns` names the columns of ids and answers, as `find_sample_ids` and `find_sample_answers` take it. Raises
    InputError if they cannot be found, for missing, unknown or duplicate ids, and, unless `allow_failed`, for questions
    whose prediction failed without a fallback answer.
    """
    columns = columns or ColumnMap()
    id_at = find_sample_ids(sample, columns, predictions.keys())
    answer_at = find_sample_answers(sample, columns, id_at)
    if answer_at is None:
        raise lacks_answers(sample, columns)
    ids = sample.fields(id_at)
    rounded = rounded_ids(ids)
    twice = find_duplicates(ids)
    if twice and rounded:
        raise InputError(
            f"{sample.path}: {len(twice)} ids occur more than once, since a spreadsheet has rounded them: "
            f"{rounded[0]}. Get that file again, and do not save it in a spreadsheet."
        )
    if twice:
        raise InputError(f"{sample.path}: {len(twice)} ids occur more than once: {named(twice)}.")
    missing = [question_id for question_id in ids if question_id not in predictions]
    if zeros := pairs_without_zeros(missing, predictions.keys() - set(ids)):
        raise InputError(
            f"{len(zeros)} ids in {sample.path} have other leading zeros than those of the questions, such as "
            f"{zeros[0][0]!r} for {zeros[0][1]!r}. Write them there as they are in test.csv."
        )
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
    failed = [item.question_id for item in chosen if item.is_fallback and item.status != "empty" and not item.answer]
    if failed and not allow_failed:
        raise InputError(
            f"{len(failed)} questions failed and have no fallback answer: {named(failed)}. Predict them again "
            "(--restart starts over), or pass --allow-failed to submit them empty."
        )
    rows = [[*row[:answer_at], item.answer, *row[answer_at + 1 :]] for row, item in zip(sample.rows, chosen)]
    statuses = Counter(item.status for item in chosen if item.status != "ok")
    return Submission(sample.columns, rows, dict(statuses), id_at, answer_at, sample.separator, sample.padded)


def diagnose(submission: Submission, train_answers: Iterable[str] = ()) -> list[str]:
    """What a person should know before sending the file, one sentence each; changes nothing.

    Compares with `train_answers`, if there are any.
    """
    counts = Counter(submission.answers)
    known = set(train_answers)
    warnings: list[str] = []
    warnings += explain_statuses(submission.statuses)
    if counts[""]:
        warnings.append(f"{_count(counts[''])} left empty, which a default pandas reader turns into NaN.")
    warnings += _read_with_pandas(submission)
    warnings += _find(counts, "with leading or trailing white space", lambda answer: answer != answer.strip())
    warnings += _find(counts, "with a line break inside", lambda answer: len(answer.strip().splitlines()) > 1)
    if len(counts) == 1 and len(submission.rows) > 1:
        warnings.append(f"all {len(submission.rows)} answers are the same: {submission.answers[0]!r}.")
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
    run: RunDir,
    data: Path,
    predictions: Mapping[str, Prediction],
    flags: Mapping[str, Any] | None = None,
    *,
    allow_failed: bool = False,
    all_questions: bool = False,
) -> tuple[Submission, list[str]]:
    """The submission of a run for the competition folder `data`, and the warnings of `diagnose`.

    The sample's columns have the names of the run's data, or those that the user passed as `flags` of DataSettings.
    With `all_questions`, those that the sample does not list follow below, in the order of the predictions. Compares
    the answers with those of the training and validation questions. Raises what `build_submission` raises, and
    InputError for an answer that is none of the choices of its question.
    """
    flags = flags or {}
    columns = column_map(settings_of(DataSettings, run.read_config() if run.config.is_file() else {}, flags))
    sample = read_table(data / SAMPLE, encoding=columns.encoding)
    for field in ("question_id", "answer"):
        if f"{field}_column" in flags:
            refuse_other_name(sample, columns, field)
    questions = run.examples("test") if run.test.is_file() else []
    refuse_other_answers(questions, predictions)
    sample = _with_all_questions(sample, predictions, columns, added=all_questions)
    submission = build_submission(sample, predictions, columns, allow_failed=allow_failed)
    filled = dict(zip(submission.ids, sample.fields(submission.answer_at)))
    named_so, told = in_form_of_sample(questions, predictions, filled)
    if named_so != predictions:
        predictions = named_so
        submission = build_submission(sample, predictions, columns, allow_failed=allow_failed)
    rows = (row for file in (run.train, run.val) if file.is_file() for row in read_json_lines(file))
    known = {row["answer"] for row in rows if row.get("answer") is not None and not row.get("choices")}
    if known:  # the choices of a question are known without training
        known |= {
            predictions[row.question_id].answer for row in questions if row.choices and row.question_id in predictions
        }
    return submission, told + diagnose(submission, known)


def _with_all_questions(
    sample: Table, predictions: Mapping[str, Prediction], columns: ColumnMap, *, added: bool
) -> Table:
    """A sample that lists only some of the questions with a row for each of the others, if they are to be `added`.

    A column with one text in all rows of the sample has it in the new ones, too. Raises InputError if the sample lists
    only some, and the others are not to be added.
    """
    id_at = find_sample_ids(sample, columns, predictions.keys())
    listed = set(sample.fields(id_at))
    others = [question_id for question_id in predictions if question_id not in listed]
    if not others or not listed <= predictions.keys():
        return sample
    if not added:
        raise InputError(
            f"{sample.path} lists {len(listed)} of the {len(predictions)} questions that have a prediction, without "
            f"{named(others)}. If it only shows what a submission looks like, add the others with --all-questions; "
            "if it belongs to other data, name its folder with --data."
        )
    texts = [set(sample.fields(index)) for index in range(len(sample.columns))]
    common = [next(iter(known)) if len(known) == 1 else "" for known in texts]
    return replace(sample, rows=[*sample.rows, *([*common[:id_at], other, *common[id_at + 1 :]] for other in others)])


def write_submission(path: Path, submission: Submission) -> None:
    """Write the file atomically, read it back, and raise InputError if a field differs."""
    write_atomically(path, submission.to_csv())
    back = read_table(path, submission.separator, submission.padded, encoding="utf-8")
    if back.columns != submission.columns or back.rows != submission.rows:
        at = next((id for id, row, other in zip(submission.ids, submission.rows, back.rows) if row != other), None)
        path.unlink()
        raise InputError(
            f"{path.name} does not read back as it was written"
            + (f", first at {at!r}" if at else "")
            + "; it was removed. Is the disk damaged?"
        )


def _quote(text: str, special: re.Pattern[str]) -> str:
    return '"' + text.replace('"', '""') + '"' if special.search(text) else text


def _is_writable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _read_with_pandas(submission: Submission) -> list[str]:
    """Warnings of what `pandas.read_csv` without arguments, as many scorers call it, changes in ids and answers."""
    try:
        read = pd.read_csv(
            io.BytesIO(submission.to_csv()),
            sep=submission.separator,
            skipinitialspace=submission.padded,
            low_memory=False,
            index_col=False,
        )
    except (ValueError, pd.errors.ParserError) as error:
        return [f"a default pandas reader refuses the file: {error}."]
    if len(read) != len(submission.rows):
        return [f"a default pandas reader finds {len(read)} rows in the file, not {len(submission.rows)}."]
    warnings = []
    for column, what in ((submission.id_at, "ids"), (submission.answer_at, "answers")):
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


def explain_statuses(statuses: Mapping[str, int]) -> list[str]:
    """What it means that so many answers have a status other than `ok`, a sentence for each status."""
    warnings = []
    for status, count in statuses.items():
        if status == "cut":
            warnings.append(
                f"{_count(count)} cut off at the longest length allowed. Predict again with --restart and a larger "
                "--max-new-tokens."
            )
        elif status == "question_cut":
            warnings.append(f"{_count(count)} to a question that was cut, since it was too long for the model.")
        else:
            warnings.append(
                f"{_count(count)} from the fallback, not the model: the prediction has the status {status!r}."
            )
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
