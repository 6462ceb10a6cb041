"""What the commands and the page write that somebody would miss, each as a case for tests/soak/faults.py.

The cases call the functions that the commands and the page call, on as little data as shows a mixture of old and new.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

from tests.soak.faults import Case, Found, Tell
from ui.jobs.folder import JobFolder, State, job_ids
from ui.jobs.jobs import Jobs
from vqa_core.files import InputError, read_json, sha256_of, write_atomically, write_json
from vqa_core.folders import replaced_folder
from vqa_core.planning.run_state import discard_training
from vqa_core.runs.checkpoints import keep_only, problem_with, seal, steps_below
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog, meta_path, read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.tags import Tags
from vqa_core.scoring.score import score_run
from vqa_core.submission.card import card_path
from vqa_core.submission.history import list_submissions, set_public_score
from vqa_core.submission.submit import submit

OLD, NEW = {"weights": "old"}, {"weights": "new"}
TIMES = r"\d{8}T\d{6}Z"
IDS = r"\d{8}-\d{6}-\d{6}"


def answers(count: int, text: str = "answer") -> list[Prediction]:
    return [Prediction(f"q{number}", f"{text} {number} 답", "raw", 0.5) for number in range(count)]


def contents(folder: Path) -> dict[str, bytes] | None:
    """The bytes of each file below a folder; None without one."""
    if not folder.is_dir():
        return None
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


# -- files and folders -------------------------------------------------------------------------------------------


def _write_folder(folder: Path, name: str) -> None:
    with replaced_folder(folder / "rows") as building:
        write_atomically(building / "common", name)
        write_atomically(building / "inner" / name, name)


def _is_folder(found: Found) -> bool:
    """The old or the new, or between two renames none, on a drive that cannot swap two folders."""
    return found.now in (found.old, found.new, None)


FILES = [
    Case(
        "a file, written by write_atomically",
        lambda folder: write_atomically(folder / "file", "old"),
        lambda folder, _: write_atomically(folder / "file", "new and longer"),
        lambda folder: bytes_of(folder / "file"),
        limits=(0, 5),
    ),
    Case(
        "a folder, replaced by replaced_folder",
        lambda folder: _write_folder(folder, "old"),
        lambda folder, _: _write_folder(folder, "new"),
        lambda folder: contents(folder / "rows"),
        _is_folder,
    ),
]

# -- predictions -------------------------------------------------------------------------------------------------

Pair = tuple[dict[str, Prediction], Any]


def predictions_file(folder: Path) -> Path:
    return RunDir(folder).predictions("test")


def _predict(folder: Path, items: list[Prediction], meta: Mapping[str, Any], tell: Tell = lambda _: None) -> None:
    with PredictionLog.open(predictions_file(folder), meta=meta) as log:
        for item in items:
            log.append([item])
            tell(item.question_id)


def _answered(folder: Path) -> None:
    """Two answers, and the third torn."""
    _predict(folder, answers(2), OLD)
    with predictions_file(folder).open("ab") as file:
        file.write(b'{"question_id": "q2", "ans')


def _pair(path: Path) -> Pair | None:
    """The answers of a file in their order, and what is noted of them."""
    if not path.is_file():
        return None
    return read_predictions(path), read_json(meta_path(path)) if meta_path(path).is_file() else None


def _is_answered_so_far(found: Found) -> bool:
    """The first answers in their order, among them all that were there or were told; and what they were made with."""
    if found.now is None:
        return found.old is None and not found.told
    (now, meta), (new, noted) = found.now, found.new
    kept = set(found.old[0] if found.old else ()) | set(found.told if found.kind != "power" else ())
    first = list(new.items())[: len(now)] == list(now.items())
    return first and kept <= now.keys() and (meta == noted if now else meta in (None, noted))


def _start_over(folder: Path, tell: Tell) -> None:
    path = predictions_file(folder)
    with suppress(InputError):  # the next attempt goes on where this one had begun
        _predict(folder, answers(3, "new"), NEW, tell)
        return
    with PredictionLog.open(path, meta=NEW, restart=True) as log:
        log.append(answers(3, "new"))


def _both_pairs(folder: Path) -> tuple[Pair | None, Pair | None]:
    path = predictions_file(folder)
    old = path.with_name(f"{path.name}.old")
    if not old.is_file():
        return _pair(path), None
    noted = meta_path(path).with_name(f"{meta_path(path).name}.old")
    return _pair(path), (read_predictions(old), read_json(noted) if noted.is_file() else None)


def _lost_no_old_answer(found: Found) -> bool:
    """The old answers are here or set aside, and no answers stand beside a note that tells of others."""
    made = {"answer": OLD, "new": NEW}
    pairs = [pair for pair in found.now if pair and pair[0]]
    true = all(
        meta in (None, made[item.answer.split()[0]]) for predictions, meta in pairs for item in predictions.values()
    )
    return true and any(predictions == found.old[0][0] for predictions, _ in pairs)


def _finish(folder: Path, _: Tell) -> None:
    with PredictionLog.open(predictions_file(folder), meta=OLD) as log:
        log.finish([item.question_id for item in reversed(answers(4))])


def _in_order(folder: Path) -> Any:
    pair = _pair(predictions_file(folder))
    return pair and (list(pair[0].items()), pair[1])


PREDICTIONS = [
    Case(
        "predictions: the first answers",
        lambda _: None,
        lambda folder, tell: _predict(folder, answers(3), OLD, tell),
        lambda folder: _pair(predictions_file(folder)),
        _is_answered_so_far,
        limits=(0, 10, 150, 200),
    ),
    Case(
        "predictions: more answers, after a torn one",
        _answered,
        lambda folder, tell: _predict(folder, answers(5), OLD, tell),
        lambda folder: _pair(predictions_file(folder)),
        _is_answered_so_far,
        limits=(300, 400, 500),
    ),
    Case(
        "predictions: put into order at the end",
        lambda folder: _predict(folder, answers(4), OLD),
        _finish,
        _in_order,
        limits=(0, 100),
    ),
    Case(
        "predictions: begun anew with --restart",
        lambda folder: _predict(folder, answers(2), OLD),
        _start_over,
        _both_pairs,
        _lost_no_old_answer,
        settled=lambda pairs: pairs[0],
    ),
]

# -- checkpoints -------------------------------------------------------------------------------------------------


def write_checkpoint(folder: Path, step: int, text: str) -> None:
    """Write and seal a checkpoint as the trainer does, and keep no later one, and of the earlier ones the last."""
    shutil.rmtree(folder / f".writing-{step}", ignore_errors=True)
    writing = folder / f".writing-{step}" / f"checkpoint-{step}"
    (writing / "inner").mkdir(parents=True)
    (writing / "weights.bin").write_text(f"weights {text}" * 20)
    (writing / "inner" / "state.json").write_text(f"state {text}")
    seal(writing, folder / f"checkpoint-{step}")
    keep_only(folder, {step, *[earlier for earlier, _ in steps_below(folder) if earlier < step][-1:]})


def checkpoints(folder: Path) -> dict[str, Any]:
    """What a training would go on from, and the names of what only looks like a checkpoint."""
    there = [path for _, path in steps_below(folder)]
    broken = [path.name for path in there if problem_with(path)]
    newest = next((path for path in reversed(there) if path.name not in broken), None)
    return {"newest": (newest.name, contents(newest)) if newest else None, "broken": broken}


def _two_checkpoints(folder: Path) -> None:
    for step in (1, 3):
        write_checkpoint(folder, step, "old")


def _damaged_checkpoint(folder: Path) -> None:
    _two_checkpoints(folder)
    (folder / "checkpoint-3" / "weights.bin").write_text("damaged")


def _goes_on_from_a_whole_one(found: Found) -> bool:
    """From the old newest or the new one, and nothing looks like a checkpoint that was none before."""
    known = found.now["newest"] in (found.old["newest"], found.new["newest"])
    return known and set(found.now["broken"]) <= set(found.old["broken"])


def _models(folder: Path) -> Any:
    run = RunDir(folder)
    return contents(run.model), contents(run.root / "model.earlier-1"), run.metrics.exists(), run.checkpoints.exists()


def _trained(folder: Path) -> None:
    run = RunDir(folder)
    write_checkpoint(run.checkpoints, 3, "old")
    write_json(run.model / "vqa.json", OLD)
    write_atomically(run.metrics, "{}\n")


CHECKPOINTS = [
    Case(
        "a checkpoint: sealed, an earlier one removed",
        _two_checkpoints,
        lambda folder, _: write_checkpoint(folder, 6, "new"),
        checkpoints,
        _goes_on_from_a_whole_one,
        limits=(0, 20, 200),
    ),
    Case(
        "a checkpoint in the place of a damaged one",
        _damaged_checkpoint,
        lambda folder, _: write_checkpoint(folder, 3, "new"),
        checkpoints,
        _goes_on_from_a_whole_one,
        limits=(0, 20, 200),
    ),
    Case(
        "an earlier training, set aside for --restart",
        _trained,
        lambda folder, _: discard_training(RunDir(folder)),
        _models,
        lambda found: sum(model == found.old[0] for model in found.now[:2]) == 1,
    ),
]

# -- submissions, scores, settings and tags ----------------------------------------------------------------------


def _asked(folder: Path) -> RunDir:
    """A run whose questions are answered, and the folder of its competition."""
    data, run = folder / "data", RunDir(folder / "run")
    rows = [Example(f"q{number}", "i", "image/test/i.png", "What?", "red") for number in range(3)]
    write_atomically(data / "sample_submission.csv", "ID,answer\n" + "".join(f"{row.question_id},0\n" for row in rows))
    write_atomically(data / "test.csv", "ID,image_id,question\n" + "".join(f"{r.question_id},i,What?\n" for r in rows))
    write_examples(run.test, rows)
    write_examples(run.root / "val.jsonl", rows)
    write_json(run.config, {"data": {}, "dataset": {"root": str(data)}})
    _predict(run.root, answers(3), OLD)
    return run


def _submit(folder: Path, _: Tell = lambda _: None) -> None:
    run = RunDir(folder / "run")
    with mock.patch("vqa_core.submission.card.git_commit", return_value=None):
        submit(run, "csv", data=None, out=None, allow_failed=False, command=["python"])


def _answered_run(folder: Path) -> None:
    _asked(folder)


def _submitted_once(folder: Path) -> None:
    _asked(folder)
    _submit(folder)


def _submitted(folder: Path) -> None:
    """A submission, and other answers since."""
    run = _asked(folder)
    _submit(folder)
    predictions_file(run.root).unlink()
    meta_path(predictions_file(run.root)).unlink()
    _predict(run.root, answers(3, "new"), NEW)


def _submissions(folder: Path) -> dict[str, Any]:
    run = RunDir(folder / "run")
    card = read_json(card_path(run.submission)) if card_path(run.submission).is_file() else None
    kept = [(sha256_of(item.path), item.card["submission"]["sha256"]) for item in list_submissions(run)]
    return {
        "file": bytes_of(run.submission),
        "sha256": sha256_of(run.submission) if run.submission.is_file() else None,
        "card": card and card["submission"]["sha256"],
        "kept": sorted(kept),
    }


def _is_submission(found: Found) -> bool:
    """The old file or the new one, no card beside it that tells of another, and no kept one lost."""
    now = found.now
    whole = now["file"] in (found.old["file"], found.new["file"]) and now["card"] in (None, now["sha256"])
    kept = set(found.old["kept"]) <= set(now["kept"]) and all(file == card for file, card in now["kept"])
    if found.kind in ("full", "limit") and now["file"] == found.old["file"]:
        return whole and kept and now["card"] == found.old["card"]
    return whole and kept


def _public_score(folder: Path, _: Tell) -> None:
    run = RunDir(folder / "run")
    set_public_score(run, list_submissions(run)[0].id, "0.75")


def _tag(folder: Path, _: Tell) -> None:
    tags = Tags(RunDir(folder))
    for question in ("q1", "q2"):
        if "ambiguous" not in tags.read().get(question, []):
            tags.toggle(question, "ambiguous")


def _scored(folder: Path) -> None:
    run = _asked(folder)
    os.replace(run.predictions("test"), run.predictions("val"))
    score_run(run, "val")
    with PredictionLog.open(run.predictions("val"), restart=True) as log:
        log.append([Prediction(item.question_id, "red", "red", 0.5) for item in answers(3)])


SUBMISSIONS = [
    Case(
        "submission.csv, its card and the kept copy",
        _submitted,
        _submit,
        _submissions,
        _is_submission,
        varying=TIMES,
        limits=(0, 20, 300),
    ),
    Case(
        "the first submission.csv",
        _answered_run,
        _submit,
        _submissions,
        _is_submission,
        varying=TIMES,
        limits=(0, 20, 300),
    ),
    Case(
        "a score on the leaderboard",
        _submitted_once,
        _public_score,
        lambda folder: [item.public_score for item in list_submissions(RunDir(folder / "run"))],
        varying=TIMES,
        limits=(0, 5),
    ),
    Case(
        "score.json",
        _scored,
        lambda folder, _: score_run(RunDir(folder / "run"), "val") and None,
        lambda folder: bytes_of(RunDir(folder / "run").score),
        limits=(0, 100),
    ),
    Case(
        "config.json: the settings of a stage",
        lambda folder: RunDir(folder).write_section("train", OLD),
        lambda folder, _: RunDir(folder).write_section("predict", NEW),
        lambda folder: RunDir(folder).read_config(),
        limits=(0, 20),
    ),
    Case(
        "tags.json",
        lambda folder: Tags(RunDir(folder)).toggle("q1", "wrong_label") and None,
        _tag,
        lambda folder: Tags(RunDir(folder)).read(),
        lambda found: found.now["q1"] in (found.old["q1"], found.new["q1"]),
        limits=(0, 20),
    ),
]

# -- jobs --------------------------------------------------------------------------------------------------------


def jobs_below(folder: Path, kept: int = 50) -> Jobs:
    return Jobs(folder / "jobs", kept=kept)


def _start_job(folder: Path, kind: str = "train", kept: int = 50) -> None:
    with mock.patch.object(Jobs, "_run"):  # no runner: its state stays as it was written
        jobs_below(folder, kept).start(kind, "", [["-c", "pass"]], cwd=folder)


def _jobs(folder: Path) -> list[Any]:
    """What the page lists, and every folder that it takes for a job's."""
    jobs = jobs_below(folder)
    listed = [(job.kind, job.commands, job.status) for job in jobs.list()]
    return [listed, len(job_ids(jobs.folder)) == len(listed)]


def _first_job(folder: Path) -> JobFolder:
    root = folder / "jobs"
    return JobFolder(root / job_ids(root)[0])


def _end_jobs(folder: Path) -> None:
    """Three jobs that are over, with a log each."""
    for _ in range(3):
        _start_job(folder)
    for id in job_ids(folder / "jobs"):
        job = JobFolder(folder / "jobs" / id)
        job.write_state(State("done", exit_code=0, started=1.0, ended=2.0))
        job.log.write_text("done\n")


def _add_job(folder: Path, _: Tell) -> None:
    jobs = jobs_below(folder, kept=1)
    if any(job.kind == "predict" for job in jobs.list()):
        jobs._sweep()  # as the start of another job does
    else:
        _start_job(folder, "predict", kept=1)


def _is_swept_so_far(found: Found) -> bool:
    """Old jobs may be gone, but what is listed is whole, and nothing else is there."""
    listed, all_listed = found.now
    known = [*found.old[0], *found.new[0]]
    return all_listed and all(job in known for job in listed)


JOBS = [
    Case(
        "a job: its folder",
        lambda folder: (folder / "jobs").mkdir(),
        lambda folder, _: jobs_below(folder).list() or _start_job(folder) or None,
        _jobs,
        varying=IDS,
        limits=(0, 20),
    ),
    Case(
        "a job: the state that its runner writes",
        _start_job,
        lambda folder, _: _first_job(folder).write_state(State("running", started=1.0, log_from=7)),
        lambda folder: _first_job(folder).state(),
        varying=IDS,
        limits=(0, 20),
    ),
    Case(
        "a job: the wish that it stop",
        _start_job,
        lambda folder, _: _first_job(folder).ask_to_stop(),
        lambda folder: _first_job(folder).stop_asked,
        varying=IDS,
    ),
    Case(
        "a job added, the oldest ones removed",
        _end_jobs,
        _add_job,
        _jobs,
        _is_swept_so_far,
        varying=IDS,
    ),
]

STAGES: dict[str, list[Case]] = {
    "files": FILES,
    "predictions": PREDICTIONS,
    "checkpoints": CHECKPOINTS,
    "submissions": SUBMISSIONS,
    "jobs": JOBS,
}
