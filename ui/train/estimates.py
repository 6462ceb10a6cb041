"""What a training will take: steps, memory and time, each with its basis."""

from typing import Any

from ui.components.form import Sections
from ui.components.job_panel import duration
from ui.components.words import Words
from ui.train.lengths import lengths_of_source
from ui.train.plan import Source
from ui.workspace.workspace import Workspace
from vqa_core.config import DataSettings, ModelSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.machine import Free, free_memory, machine_speed
from vqa_core.planning.estimates import (
    Memory,
    Steps,
    estimate_memory,
    estimate_seconds,
    estimate_steps,
    measured_pace,
    reached,
    reckoned_pace,
)
from vqa_core.planning.lengths import Lengths, lengths_of_run
from vqa_core.planning.part_sizes import language_sizes, tower_sizes
from vqa_core.planning.run_state import RunState
from vqa_core.runs.run_dir import RunDir, list_runs

MB, GB = 1e6, 1e9
START_S = 15  # seconds to load the libraries and the model, about


def estimate_training(
    workspace: Workspace, t: Words, name: str, source: Source, there: RunState, chosen: Sections
) -> dict[str, Any]:
    """The value of a facts widget: steps, memory and time, each with its basis.

    Raises InputError where the data can't be read with these settings, so that no training could start.
    """
    data, model, train = chosen["data"], chosen["model"], chosen["train"]
    assert isinstance(data, DataSettings)
    assert isinstance(model, ModelSettings)
    assert isinstance(train, TrainSettings)
    known = rows_of(workspace, name, source, there, data)
    lengths = known or ()
    steps = estimate_steps(lengths, train) if lengths else None
    memory, free = estimate_memory(model, train, lengths), free_memory()
    rows = [
        _steps_row(t, steps, train, lengths, t("train.no_rows" if known is not None else "train.data_not_there")),
        _memory_row(t, memory, free, model, train),
        _time_row(workspace, t, steps, model, train, data, lengths),
    ]
    tight = memory is not None and free is not None and memory.low > free.bytes
    head = [t("train.figure"), t("train.estimate"), t("train.basis")]
    return {"head": head, "rows": rows, "marks": ["", "wrong" if tight else "", ""]}


def rows_of(workspace: Workspace, name: str, source: Source, there: RunState, data: DataSettings) -> Lengths | None:
    """The training rows; None where the data are not unpacked yet. Raises InputError where they can't be trained on."""
    try:
        if there.kind in ("prepared", "trained"):
            return lengths_of_run(RunDir(workspace.runs / name))
        return lengths_of_source(workspace, source, data)
    except OSError as error:
        raise InputError(f"The data can't be read: {error}.") from None


def _steps_row(t: Words, steps: Steps | None, train: TrainSettings, lengths: Lengths, why: str) -> list[str]:
    if steps is None:
        known = t("train.steps_limit", steps=f"{train.max_steps:,}") if train.max_steps else t("train.unknown")
        return [t("train.steps"), known, why]
    key = "train.steps_exact" if steps.exact else "train.steps_about"
    text = t(key, steps=f"{steps.steps:,}", questions=f"{steps.questions:,}", epochs=f"{steps.epochs:.3g}")
    of = {"rows": f"{sum(map(len, lengths)):,}", "images": f"{len(lengths):,}"}
    return [t("train.steps"), text, t("train.basis_limit" if train.max_steps else "train.basis_plan", **of)]


def _memory_row(
    t: Words, memory: Memory | None, free: Free | None, model: ModelSettings, train: TrainSettings
) -> list[str]:
    if memory is None:
        parts = {model.vision_tower: tower_sizes(model.vision_tower), model.language_model:
                 language_sizes(model.language_model)}  # fmt: skip
        parts = {model.base_model: None} if model.base_model else parts
        missing = ", ".join(part for part, sizes in parts.items() if sizes is None) or model.projector
        text, basis = t("train.unknown"), t("train.basis_no_sizes", parts=missing)
    else:
        text = t("train.memory_range", low=_size(memory.low), high=_size(memory.high))
        basis = t(
            "train.basis_memory",
            parameters=_count(memory.parameters),
            trained=_count(memory.trained),
            weights=_size(memory.weights),
            optimiser=_size(memory.optimiser),
            low=_size(memory.activations[0]),
            high=_size(memory.activations[1]),
            questions=f"{train.batch_questions:,}",
        )
    if free:
        text += "\n" + t("train.free_gpu" if free.gpu else "train.free", free=_size(free.bytes), gpu=free.gpu)
    return [t("train.memory"), text, basis]


def _time_row(
    workspace: Workspace, t: Words, steps: Steps | None, model: ModelSettings, train: TrainSettings,
    data: DataSettings, lengths: Lengths,
) -> list[str]:  # fmt: skip
    pace = measured_pace(list_runs(workspace.runs), model, train)
    speed = None if pace else machine_speed()
    if speed:
        pace = reckoned_pace(model, train, lengths, speed)
    limit = t("train.time_limit", minutes=f"{train.max_minutes:g}") if train.max_minutes else ""
    if pace is None or steps is None:
        return [t("train.time"), limit or t("train.unknown"), t("train.basis_no_time")]
    share = data.val_fraction / max(1 - data.val_fraction, 0.1)
    low, high = estimate_seconds(steps, pace, train, round(sum(map(len, lengths)) * share))
    text = t("train.time_range", low=duration(t, low + START_S), high=duration(t, high + START_S))
    if speed:
        of = f"{speed.flops / 1e12:.3g} TFLOP/s" if speed.gpu else f"{speed.flops / 1e9:.3g} GFLOP/s"
        best, _, worst = reached(speed)
        key = "train.basis_reckoned_gpu" if speed.gpu else "train.basis_reckoned"
        basis = t(key, speed=of, gpu=speed.gpu, best=f"{best:.0%}", worst=f"{worst:.0%}")
    else:
        basis = t("train.basis_time", run=pace.run, seconds=f"{pace.seconds[1]:.2g}", steps=f"{pace.steps:,}")
    return [t("train.time"), "\n".join(filter(None, [text, limit])), basis]


def _size(count: int) -> str:
    """`1.4 GB`, `43 MB`."""
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / MB:.0f} MB"


def _count(parameters: int) -> str:
    """`554 k`, `160 M`, `6.7 B`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= size:
            return f"{parameters / size:.3g} {unit}"
    return str(parameters)
