"""What a job's command has saved, by the files of its run: what a stop or a kill leaves is read, never assumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ui.jobs.jobs import Job
from vqa_core.planning.run_state import checkpoint_progress
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.watching import count_lines


@dataclass(frozen=True, slots=True)
class Saved:
    """`done` of `total`: the step of a training's newest checkpoint, or the number of answers; 0 where nothing is kept.

    `kind` is checkpoint, answers, or other for a command that keeps nothing before its end.
    """

    kind: str
    done: int = 0
    total: int = 0


def read_saved(job: Job) -> Saved:
    """What the command that the job ran last has in the files of its run."""
    command = job.commands[job.at] if job.at < len(job.commands) else ()
    name = command[1] if command[:1] == ("-m",) and len(command) > 1 else ""
    run = RunDir(Path(job.cwd) / flag_value(command, "--run", "."))
    if name == "train.finetune":
        return Saved("checkpoint", *(checkpoint_progress(run) or ()))
    if name == "eval.predict":
        split = flag_value(command, "--split", "test")
        questions = {"test": run.test, "val": run.val, "train": run.train}.get(split, run.test)
        return Saved("answers", count_lines(run.predictions(split)), count_lines(questions))
    return Saved("other")


def flag_value(command: Sequence[str], flag: str, default: str) -> str:
    """The value of a flag in a command line."""
    for place, word in enumerate(command):
        if word == flag and place + 1 < len(command):
            return command[place + 1]
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return default
