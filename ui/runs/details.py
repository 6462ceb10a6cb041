"""The lower half of the Runs tab: one run, its job, how it compares with the baseline, its files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ui.components.parts import Drawn, Parts
from ui.components.sentences import translate
from ui.components.widgets import facts, links
from ui.components.words import Words
from ui.jobs.jobs import Job
from ui.workspace.workspace import Workspace
from vqa_core.analysis.run_table import RunRow, against, differences
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.comparison import Paired
from vqa_core.submission.card import card_path

LOG_LINES = 30
JUST_AFTER_S = 5.0  # files written this soon after a job's end, or its last sign of life, are its own
LOG_BYTES = 20_000
CODE_LENGTH = 200_000  # characters
TABS = ("ask", "train", "predict", "errors")
CODE: dict[str, Any] = {
    "language": "json",
    "interactive": False,
    "max_lines": 25,
    "wrap_lines": True,
    "buttons": ["copy"],
}


def lay_out_details(t: Words, parts: Parts) -> None:
    """Draw the lower half and add its parts."""
    with parts.add("details", gr.Column(visible=False, elem_id="runs-details")):
        gr.Markdown(f"### {t('runs.about')}")
        with gr.Row():
            with gr.Column(min_width=320):
                parts.add("facts", facts("runs-facts", t("runs.about")))
                parts.add("links", links("runs-links", t("runs.links")))
                with gr.Row():
                    pin = gr.Button(t("runs.pin"), size="sm", scale=0, min_width=200, elem_id="runs-pin")
                    parts.add("pin", pin)
            with gr.Column(min_width=320):
                parts.add("paired", facts("runs-paired", t("runs.paired")))
                parts.add("settings", facts("runs-settings", t("runs.settings")))
        with gr.Accordion(t("runs.log"), open=False):
            log = gr.Textbox(show_label=False, label=t("runs.log"), lines=8, max_lines=20, elem_id="runs-log")
            parts.add("log", log)
        for name in ("card", "config"):
            with gr.Accordion(t(f"runs.{name}"), open=False):
                parts.add(name, gr.Code(label=t(f"runs.{name}"), elem_id=f"runs-{name}", **CODE))


def draw_details(
    workspace: Workspace, t: Words, row: RunRow | None, rows: Sequence[RunRow], baseline: str, job: Job | None
) -> Drawn:
    """The lower half: one run, or nothing where none is chosen."""
    if row is None:
        nothing: Drawn = {name: {} for name in ("facts", "links", "settings", "paired")}
        hidden = {"details": gr.Column(visible=False), "pin": gr.skip()}
        return nothing | hidden | {"config": None, "card": None, "log": ""}
    run = workspace.run(row.name)
    base = next((other for other in rows if other.name == baseline), None)
    apart = base if base and base.name != row.name else None
    return {
        "details": gr.Column(visible=True),
        "facts": draw_facts(t, run, row, job),
        "links": {"links": [{"text": t(f"{tab}.tab"), "view": {"tab": tab, "run": row.name}} for tab in TABS]},
        "pin": gr.Button(t("runs.unpin" if row.name == baseline else "runs.pin")),
        "settings": draw_settings(t, apart, row) if base else {"rows": [], "empty": t("runs.no_baseline")},
        "paired": draw_paired(t, row, apart, against(run, workspace.run(apart.name))) if apart else {},
        "config": cut_text(json.dumps(row.config, ensure_ascii=False, indent=2), CODE_LENGTH),
        "card": cut_text(_read(card_path(run.submission)), CODE_LENGTH) or t("runs.no_card"),
        "log": read_log_tail(workspace, row.name),
    }


def draw_facts(t: Words, run: RunDir, row: RunRow, job: Job | None) -> dict[str, Any]:
    """The facts about a run, one line for each."""
    dataset = row.config.get("dataset")
    questions = dataset.get("questions") if isinstance(dataset, Mapping) else None
    lines = [
        [t("runs.run"), row.name],
        [t("runs.status"), status_text(t, row, job)],
        [t("runs.folder"), str(run.root)],
    ]
    if isinstance(questions, Mapping):
        found = {split: questions.get(split) for split in ("train", "val", "test")}
        counts = [f"{t(f'runs.split_{split}')} {n:,}" for split, n in found.items() if isinstance(n, int)]
        lines.append([t("runs.questions"), ", ".join(counts)])
    lines += [[t("runs.problem"), cut_text(translate(problem, t))] for problem in row.problems]
    return {"head": [], "rows": lines}


def status_text(t: Words, row: RunRow, job: Job | None) -> str:
    """`trained`; `training, 34 %` where a job is active; a warning sign where a file can't be read.

    `partly trained · Training failed` where the last job did not end well and the run's files are no newer than it.
    """
    if job is None or not job.active:
        status = t(f"runs.is_{row.status}") + (" ⚠" if row.problems else "")
        fresh = job is not None and row.changed <= (job.ended or job.created) + JUST_AFTER_S
        return f"{status} · {_bad_end(t, job)}" if job and fresh else status
    kind = t(f"runs.job_{job.kind}") if t.has(f"runs.job_{job.kind}") else job.kind
    if job.status == "queued":
        return t("runs.job_queued", job=kind)
    progress = job.progress
    return f"{kind}, {progress.done / progress.total:.0%}" if progress and progress.total else kind


def _bad_end(t: Words, job: Job) -> str:
    kind = t(f"jobs.kind_{job.kind}") if t.has(f"jobs.kind_{job.kind}") else job.kind
    return t(f"runs.ended_{job.status}", job=kind)


def draw_settings(t: Words, base: RunRow | None, row: RunRow) -> dict[str, Any]:
    """The settings that differ from the baseline's; `base` is None where the run is the baseline."""
    if base is None:
        return {"rows": [], "empty": t("runs.is_baseline")}
    found = differences(base.config, row.config)
    return {
        "head": [t("runs.setting"), base.name, row.name],
        "rows": [[cut_text(name), cut_text(old), cut_text(new)] for name, (old, new) in found.items()],
        "empty": t("runs.same_settings"),
    }


def draw_paired(t: Words, row: RunRow, base: RunRow, paired: Paired | None) -> dict[str, Any]:
    """Both runs on the same validation questions."""
    if paired is None:
        return {"rows": [], "empty": t("runs.not_paired")}
    a, b, difference = paired.a, paired.b, paired.difference
    verdict = t(f"runs.verdict_{paired.verdict}")
    return {
        "head": [t("runs.validation"), t("runs.exact_match"), t("runs.interval")],
        "rows": [
            [row.name, f"{a.value:.4f}", a.span],
            [base.name, f"{b.value:.4f}", b.span],
            [t("runs.difference"), f"{difference.value:+.4f}", f"{difference.signed_span}, {verdict}"],
            [
                t("runs.only_one"),
                f"{paired.only_a:,} / {paired.only_b:,}",
                t("runs.mcnemar", p=f"{paired.p_value:.3g}"),
            ],
            [t("runs.asked"), f"n {a.n:,}", t("runs.images", images=f"{a.images:,}")],
        ],
    }


def read_log_tail(workspace: Workspace, name: str) -> str:
    """The last lines of a run's log."""
    try:
        with workspace.run(name).log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_BYTES))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:])
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def cut_text(value: Any, most: int = 200) -> str:
    """A value out of a run's files as the browser can show it: cut where it is long, half characters as escapes."""
    text = "–" if value is None else str(value)
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut.encode("utf-8", "backslashreplace").decode("utf-8")
