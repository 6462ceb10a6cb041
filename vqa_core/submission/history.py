"""Submissions: each one that a run has written, with its card, and the score that the competition's board gave it.

`runs/<name>/submissions/<UTC time>-<start of SHA-256>.csv` lies beside `.card.json` and, once a person has told it,
`.public.json`. A file with the same bytes is kept once.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vqa_core.data.tables import read_table
from vqa_core.files import InputError, locked, named, read_json, sha256_of, write_atomically, write_json
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.comparison import Comparison, compare
from vqa_core.submission.card import card_path
from vqa_core.submission.submission import ANSWER, ID

TIME = "%Y%m%dT%H%M%SZ"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class KeptSubmission:
    """One submission. `public_score` is the board's number as it was typed, "" where nobody has told it."""

    id: str
    path: Path
    card: Mapping[str, Any]
    public_score: str

    @property
    def created(self) -> datetime:
        return _moment(self.id)


def writing(run: RunDir) -> AbstractContextManager[None]:
    """One at a time writes the submission of a run, looks at it and keeps it; others wait."""
    return locked(run.root / ".submission.lock")


def keep_submission(run: RunDir, submission: Path) -> KeptSubmission:
    """Keep a copy of the file `submission` and of the card beside it; the copy there is, if one has the same bytes."""
    digest = sha256_of(submission)
    for known in run.submissions.glob(f"*-{digest[:8]}.csv"):
        if sha256_of(known) == digest:
            return submission_by_id(run, known.stem)
    kept = run.submissions / f"{datetime.now(UTC).strftime(TIME)}-{digest[:8]}.csv"
    if card_path(submission).is_file():
        write_atomically(card_path(kept), card_path(submission).read_bytes())
    write_atomically(kept, submission.read_bytes())
    return submission_by_id(run, kept.stem)


def list_submissions(run: RunDir) -> list[KeptSubmission]:
    """The submissions of a run, newest first; an InputError where a card is no JSON object."""
    return [_read(run, id) for id in _ids(run)]


def submission_by_id(run: RunDir, id: str) -> KeptSubmission:
    """One submission of a run; an InputError where `id` is none of its submissions'."""
    ids = _ids(run)
    if id not in ids:
        listed = f" It has {named(ids)}." if ids else " Write one with `python -m eval.submit`."
        raise InputError(f"run {run.name!r} has no submission {id!r}.{listed}")
    return _read(run, id)


def set_public_score(run: RunDir, id: str, score: str) -> KeptSubmission:
    """Note what the competition's board says of a submission; "" takes it back. The number is kept as it is typed.

    Raises InputError where `score` is no decimal number or the run has no such submission.
    """
    kept, score = submission_by_id(run, id), score.strip()
    if score and not _NUMBER.fullmatch(score):
        raise InputError(f"the public score {score!r} is no number. Type it as the board shows it, such as 0.9123.")
    if score:
        write_json(_public(kept.path), {"public_score": score})
    else:
        _public(kept.path).unlink(missing_ok=True)
    return _read(run, id)


def difference(run: RunDir, a: str, b: str) -> Comparison:
    """What differs between the submissions `a` and `b` of a run: answers by question type, and the settings.

    Weights count as settings: those that differ are named `weights.<file>`, with the start of their SHA-256.
    Raises InputError where the two are not of the same questions, or those are no longer the run's.
    """
    kept = submission_by_id(run, a), submission_by_id(run, b)
    old, new = (_answers(item) for item in kept)
    apart = sorted(old.keys() ^ new.keys())
    if apart:
        raise InputError(f"{a} and {b} do not answer the same questions: {named(apart)} are in one only.")
    examples = run.examples("test")
    gone = sorted(old.keys() - {example.question_id for example in examples})
    if gone:
        raise InputError(f"{run.test} has no question {named(gone)}: the run was prepared anew since {a}.")
    return compare(
        [example for example in examples if example.question_id in old],
        old,
        new,
        config_a=_settings(kept[0].card),
        config_b=_settings(kept[1].card),
    )


def _ids(run: RunDir) -> list[str]:
    """Newest first; what has no such name was not put there by `keep_submission`."""
    found = [path.stem for path in run.submissions.glob("*.csv")]
    return sorted(filter(_is_id, found), reverse=True)


def _is_id(text: str) -> bool:
    try:
        _moment(text)
    except ValueError:  # no date, such as the 99th of a month
        return False
    return re.fullmatch(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", text) is not None


def _moment(id: str) -> datetime:
    return datetime.strptime(id.partition("-")[0], TIME).replace(tzinfo=UTC)


def _read(run: RunDir, id: str) -> KeptSubmission:
    path = run.submissions / f"{id}.csv"
    card, public = (_object(file) for file in (card_path(path), _public(path)))
    return KeptSubmission(id, path, card, str(public.get("public_score", "")))


def _object(path: Path) -> dict[str, Any]:
    """The JSON object of a file, {} where there is no such file."""
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object. Move it away; the submission beside it stays.")
    return value


def _public(path: Path) -> Path:
    return path.with_suffix(".public.json")


def _answers(kept: KeptSubmission) -> dict[str, Prediction]:
    rows = read_table(kept.path).rows
    return {row[ID]: Prediction(row[ID], row[ANSWER], row[ANSWER], None) for row in rows}


def _settings(card: Mapping[str, Any]) -> dict[str, Any]:
    weights = {name: str(digest)[:12] for name, digest in (card.get("weights") or {}).items()}
    return {**(card.get("config") or {}).get("settings", {}), "weights": weights}
