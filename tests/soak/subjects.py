"""What is killed: predict and train on a model of some 60,000 parameters, and what of each must never be lost."""

import json
import random
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.soak.kills import Moment
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, tiny_parts, tiny_run
from tests.support.trained import FLAGS, write_model
from vqa_core.files import InputError, read_json, stamp_of
from vqa_core.runs.checkpoints import problem_with, steps_below
from vqa_core.runs.predictions import meta_path, read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.submit import submit

STEPS = 30
IMAGES = 70


def changed(path: Path) -> Callable[[], bool]:
    """Whether a file is another one than now."""
    before = stamp_of(path)
    return lambda: stamp_of(path) != before


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def files_that_differ(run: RunDir, other: RunDir, names: list[str]) -> list[str]:
    """One line for each file that only one of two finished runs has, and for each of `names` with other bytes."""
    ours, theirs = listing(run.root), listing(other.root)
    lines = [f"{name} is there, and not where nobody disturbed it" for name in sorted(ours - theirs)]
    lines += [f"{name} is missing" for name in sorted(theirs - ours)]
    both = [name for name in names if name in ours & theirs]
    return lines + [
        f"{n} has other bytes" for n in both if (run.root / n).read_bytes() != (other.root / n).read_bytes()
    ]


def broken_json(run: RunDir) -> list[str]:
    """One line for each JSON file of a run that is not whole."""
    lines = []
    for path in run.root.rglob("*.json"):
        try:
            if not path.name.startswith("."):
                read_json(path)
        except InputError as error:
            lines.append(str(error))
    return lines


class Predicting:
    """`eval.predict` on some 280 test questions, forty batches."""

    command = "eval.predict"
    phases = ("starting", "answering", "finishing")
    unit = "answers"

    def __init__(self, folder: Path) -> None:
        tiny_parts(folder / "parts")
        self.template = tiny_run(folder / "predict", test_images=IMAGES)
        write_model(self.template.model, folder / "parts")
        self.total = len(self.template.examples("test"))

    def begin(self, folder: Path, _: int) -> RunDir:
        shutil.copytree(self.template.root, folder / "run")
        return RunDir(folder / "run")

    def arguments(self, run: RunDir, _: int) -> list[object]:
        return ["--run", run.root, *FLAGS]

    def finish(self, run: RunDir) -> None:
        submit(run, "csv", data=None, out=None, allow_failed=False, command=["python"])
        for path in run.submissions.iterdir():  # their names tell the time
            path.rename(path.with_name(path.name.partition("Z-")[2]))

    def moments(self, run: RunDir, chance: random.Random) -> list[Moment]:
        path = run.predictions("test")
        given = len(self.acknowledged(run))
        here = given + chance.randint(1, max(1, (self.total - given) // 4))

        def answered(count: int) -> Callable[[], bool]:
            return lambda: len(self.acknowledged(run)) >= min(count, self.total)

        return [
            Moment(changed(run.log), 0.3),
            Moment(changed(run.config), 0.01),
            Moment(lambda: path.exists(), 0.01),
            Moment(answered(here), 0.02),
            Moment(answered(here)),
            Moment(answered(given + 1), 0.01),
            Moment(answered(self.total), 0.003),
            Moment(lambda: any(path.parent.glob(f".{path.name}.*"))),
        ]

    def began(self, run: RunDir) -> int:
        return len(self.acknowledged(run))

    def phase(self, run: RunDir, began: int) -> str:
        given = len(self.acknowledged(run))
        return "finishing" if given == self.total > began else "answering" if given > began else "starting"

    def acknowledged(self, run: RunDir) -> dict[str, bytes]:
        """The whole lines by the question's id."""
        path = run.predictions("test")
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return {json.loads(line)["question_id"]: line for line in lines}

    def lost(self, before: dict[str, bytes], run: RunDir) -> int:
        now = self.acknowledged(run)
        return sum(now.get(question) != line for question, line in before.items())

    def problems(self, run: RunDir) -> list[str]:
        lines, path = broken_json(run), run.predictions("test")
        if path.exists():
            try:
                there = read_predictions(path)
            except InputError as error:
                return [*lines, str(error)]
            if there and not meta_path(path).exists():
                lines.append("answers without a note of what they were made with")
        return lines

    def differences(self, run: RunDir, other: RunDir) -> list[str]:
        names = ["predictions/test.jsonl", "predictions/test.meta.json", "submission.csv", "config.json"]
        return files_that_differ(run, other, names)


class Training:
    """`train.finetune --resume auto`, thirty steps with LoRA and dropout, a checkpoint every third.

    In every other round two workers read the pictures.
    """

    command = "train.finetune"
    phases = ("starting", "training", "saving", "finishing")
    unit = "steps of kept checkpoints"

    def __init__(self, folder: Path, *, workers: int = 2) -> None:
        self.tower, self.language_model = tiny_parts(folder / "parts")
        self.template = tiny_run(folder / "train")
        self.workers = workers

    def begin(self, folder: Path, _: int) -> RunDir:
        shutil.copytree(self.template.root, folder / "run")
        return RunDir(folder / "run")

    def arguments(self, run: RunDir, round_: int) -> list[object]:
        return ["--run", run.root, "--resume", "auto", *self._flags, "--workers", self.workers if round_ % 2 else 0]

    @cached_property
    def _flags(self) -> list[str]:
        parts = {"vision_tower": self.tower, "language_model": self.language_model}
        values: dict[str, Any] = TINY_MODEL | parts | TINY_TRAIN | {"max_steps": STEPS}
        return [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]

    def finish(self, run: RunDir) -> None:
        """Nothing."""

    def moments(self, run: RunDir, chance: random.Random) -> list[Moment]:
        done = self._last_step(run)
        here = min(STEPS, done + chance.randint(1, 6))
        checkpoints = {path.name for _, path in steps_below(run.checkpoints)}

        def logged(step: int) -> Callable[[], bool]:
            return lambda: self._last_step(run) >= step

        return [
            Moment(changed(run.config), 0.5),
            Moment(lambda: run.metrics.exists(), 0.01),
            Moment(logged(here), 0.05),
            Moment(logged(-(-(done + 1) // 8) * 8), 0.05),  # a validation follows
            Moment(lambda: any(run.checkpoints.glob(".writing-*")), 0.02),
            Moment(lambda: any(run.checkpoints.glob(".writing-*/*/manifest.json"))),
            Moment(lambda: bool({path.name for _, path in steps_below(run.checkpoints)} - checkpoints), 0.005),
            Moment(logged(STEPS), 0.1),
            Moment(lambda: any(run.root.glob("*model*")), 0.005),
        ]

    def began(self, run: RunDir) -> tuple[int, int]:
        return stamp_of(run.metrics)

    def phase(self, run: RunDir, began: tuple[int, int]) -> str:
        if stamp_of(run.metrics) == began:
            return "starting"
        if any(run.checkpoints.glob(".writing-*")):
            return "saving"
        return "finishing" if self._last_step(run) >= STEPS else "training"

    def acknowledged(self, run: RunDir) -> range:
        """The steps of the newest checkpoint that a reader sees: its name is given to a whole one only."""
        return range(max((step for step, _ in steps_below(run.checkpoints)), default=0))

    def lost(self, before: range, run: RunDir) -> int:
        whole = [step for step, path in steps_below(run.checkpoints) if problem_with(path) is None]
        return max(0, len(before) - max(whole, default=0))

    def problems(self, run: RunDir) -> list[str]:
        broken = [(path.name, problem_with(path)) for _, path in steps_below(run.checkpoints)]
        lines = [f"{name}: {problem}" for name, problem in broken if problem]
        if run.model.exists() and not run.has_model:
            lines.append("model/ is not whole")
        return lines + broken_json(run) + self._broken_metrics(run)

    def differences(self, run: RunDir, other: RunDir) -> list[str]:
        names = ["model/trained.safetensors", "model/vqa.json", "config.json"]
        names += [f"checkpoints/{path.name}/trained.safetensors" for _, path in steps_below(other.checkpoints)]
        lines = files_that_differ(run, other, names)
        if (ours := self._metrics(run)) != (theirs := self._metrics(other)):
            lines.append(f"metrics.jsonl tells of other steps: {ours} instead of {theirs}")
        return lines

    def _rows(self, run: RunDir) -> list[dict[str, Any]]:
        """The lines that have their line end."""
        lines = run.metrics.read_bytes().split(b"\n")[:-1] if run.metrics.exists() else []
        return [json.loads(line, parse_constant=_refuse) for line in lines]

    def _broken_metrics(self, run: RunDir) -> list[str]:
        try:
            rows = self._rows(run)
        except ValueError as error:
            return [f"metrics.jsonl: {error}"]
        steps = [row["step"] for row in rows]
        return [] if steps == sorted(steps) else [f"metrics.jsonl goes back: {steps}"]

    def _metrics(self, run: RunDir) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in self._rows(run)]

    def _last_step(self, run: RunDir) -> int:
        return max((row["step"] for row in self._rows(run)), default=0)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")
