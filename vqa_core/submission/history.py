"""Submissions: every one that a run has written, with its card and its score on the competition's leaderboard.

`runs/<name>/submissions/<UTC time>-<start of SHA-256>.csv` has a `.card.json` beside it and, once a person has entered
the score, a `.public.json`. Files with the same bytes are kept once.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vqa_core.data.tables import read_table
from vqa_core.files import InputError, named, read_json, sha256_of, write_atomically, write_json
from vqa_core.locks import locked
from vqa_core.runs.predictions import Prediction
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.comparison import Comparison, compare
from vqa_core.submission.card import card_path

TIME = "%Y%m%dT%H%M%SZ"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class KeptSubmission:
    """One submission. `public_score` is the leaderboard's number as a person typed it, "" if nobody has."""

    id: str
    path: Path
    card: Mapping[str, Any]
    public_score: str

    @property
    def created(self) -> datetime:
        return _parse_time(self.id)


def writing(run: RunDir) -> AbstractContextManager[object]:
    """A lock to hold while writing, checking and keeping the submission of a run; others wait."""
    return locked(run.root / ".submission.lock")


def keep_submission(run: RunDir, submission: Path) -> KeptSubmission:
    """Keep a copy of the file `submission` and of its card; if a copy with the same bytes exists, return that."""
    digest = sha256_of(submission)
    _remove_leftovers(run.submissions)
    for known in run.submissions.glob(f"*-{digest[:8]}.csv"):
        if sha256_of(known) == digest:
            return submission_by_id(run, known.stem)
    kept = run.submissions / f"{datetime.now(UTC).strftime(TIME)}-{digest[:8]}.csv"
    if card_path(submission).is_file():
        write_atomically(card_path(kept), card_path(submission).read_bytes())
    write_atomically(kept, submission.read_bytes())
    return submission_by_id(run, kept.stem)


def _remove_leftovers(folder: Path) -> None:
    """Remove what is left of a copy whose writing was interrupted. Its name has a time: nobody writes it again."""
    for path in [*folder.glob(".*.csv.*.tmp"), *folder.glob(".*.card.json.*.tmp")]:
        path.unlink()
    for card in folder.glob("*.card.json"):
        if not card.with_name(card.name.replace(".card.json", ".csv")).exists():
            card.unlink()


def list_submissions(run: RunDir) -> list[KeptSubmission]:
    """The submissions of a run, newest first. Raises InputError if a card is not a JSON object."""
    return [_read(run, id) for id in _list_ids(run)]


def submission_by_id(run: RunDir, id: str) -> KeptSubmission:
    """One submission of a run. Raises InputError if the run has no submission `id`."""
    ids = _list_ids(run)
    if id not in ids:
        listed = f" It has {named(ids)}." if ids else " Write one with `python -m eval.submit`."
        raise InputError(f"run {run.name!r} has no submission {id!r}.{listed}")
    return _read(run, id)


def set_public_score(run: RunDir, id: str, score: str) -> KeptSubmission:
    """Store a submission's score on the competition's leaderboard, as typed; "" removes it.

    Raises InputError if `score` is not a decimal number, or the run has no such submission.
    """
    kept, score = submission_by_id(run, id), score.strip()
    if score and not _NUMBER.fullmatch(score):
        raise InputError(
            f"the public score {score!r} is not a number. Enter it as the leaderboard shows it, such as 0.9123."
        )
    if score:
        write_json(_public_path(kept.path), {"public_score": score})
    else:
        _public_path(kept.path).unlink(missing_ok=True)
    return _read(run, id)


def difference(run: RunDir, a: str, b: str) -> Comparison:
    """What differs between the submissions `a` and `b` of a run: answers by question type, and settings.

    Weights count as settings: files that differ appear as `weights.<file>`, with the start of their SHA-256. Raises
    InputError if the two answer different questions, or questions that the run no longer has.
    """
    kept = submission_by_id(run, a), submission_by_id(run, b)
    old, new = (_read_answers(item) for item in kept)
    unpaired = sorted(old.keys() ^ new.keys())
    if unpaired:
        raise InputError(f"{a} and {b} do not answer the same questions: {named(unpaired)} are in one only.")
    examples = run.examples("test")
    gone = sorted(old.keys() - {example.question_id for example in examples})
    if gone:
        raise InputError(f"{run.test} has no question {named(gone)}: the run was prepared again after {a}.")
    return compare(
        [example for example in examples if example.question_id in old],
        old,
        new,
        config_a=_settings(kept[0].card),
        config_b=_settings(kept[1].card),
    )


def _list_ids(run: RunDir) -> list[str]:
    """The ids, newest first, without files that have other names than `keep_submission` gives."""
    return sorted(filter(_is_id, (path.stem for path in run.submissions.glob("*.csv"))), reverse=True)


def _is_id(text: str) -> bool:
    try:
        _parse_time(text)
    except ValueError:  # not a date, such as the 99th of a month
        return False
    return re.fullmatch(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", text) is not None


def _parse_time(id: str) -> datetime:
    return datetime.strptime(id.partition("-")[0], TIME).replace(tzinfo=UTC)


def _read(run: RunDir, id: str) -> KeptSubmission:
    path = run.submissions / f"{id}.csv"
    card, public = (_read_object(file) for file in (card_path(path), _public_path(path)))
    return KeptSubmission(id, path, card, str(public.get("public_score", "")))


def _read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} if the file is missing."""
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object. Move it away; the submission beside it stays.")
    return value


def _public_path(path: Path) -> Path:
    return path.with_suffix(".public.json")


def _read_answers(kept: KeptSubmission) -> dict[str, Prediction]:
    """The answers by id. Where the card does not say which columns hold them, as old ones do not, the first two do."""
    layout = (kept.card.get("submission") or {}).get("columns")
    if not layout:
        rows = [(row[0], row[1]) for row in read_table(kept.path, encoding="utf-8").rows]
    else:
        table = read_table(kept.path, layout.get("separator", ","), layout.get("padded", False), encoding="utf-8")
        rows = list(zip(*(table.fields(table.columns.index(layout[name])) for name in ("id", "answer"))))
    return {id: Prediction(id, answer, answer, None) for id, answer in rows}


def _settings(card: Mapping[str, Any]) -> dict[str, Any]:
    weights = {name: str(digest)[:12] for name, digest in (card.get("weights") or {}).items()}
    return {**(card.get("config") or {}).get("settings", {}), "weights": weights}
