"""A training as it runs: its status, its curves as they grow, and the button that resumes it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.components.job_panel import duration, job_panel
from ui.components.parts import Drawn, Parts
from ui.components.tab import Page, View, change_view
from ui.components.widgets import curve, links, progress
from ui.components.words import Words
from ui.jobs.jobs import Job
from ui.train.curves import CURVES, draw_curves, read_curves, stamp_curves
from ui.train.plan import build_resume_command, check_name, format_path, list_sources
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError, changed_s
from vqa_core.planning.run_state import can_resume, checkpoint_progress
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.run_lock import refuse_in_use

STILL_WRITTEN_S = 60.0  # metrics that changed within this time are still being written
POLL_S = 1.5


@dataclass(frozen=True, slots=True)
class Watch:
    """The section of the tab that shows a run; `draw(view)` draws each of `parts`."""

    parts: Parts
    draw: Callable[..., Drawn]
    another: gr.Button


def watch_section(page: Page, view: gr.JSON) -> Watch:
    """Draw the section and wire its timer; the tab wires its buttons."""
    t, workspace = page.t, page.workspace
    # stands for what the curves show: unchanged curves are not sent again
    own = Parts(stamp=gr.Textbox(visible="hidden", elem_id="train-stamp"))
    own.add("standing", progress("train-standing", t("train.standing")))
    panel = job_panel(page, "train")
    with own.add("watch", gr.Column(visible=False, elem_id="train-watch")):
        with gr.Row():
            own.add("resume", gr.Button(visible=False, variant="primary", min_width=220, elem_id="train-resume"))
            another = gr.Button(t("train.another"), min_width=220, elem_id="train-another")
        with gr.Row(elem_id="train-curves"):
            for name in CURVES:
                with gr.Column(min_width=300):
                    own.add(name, curve(f"train-curve-{name}", t(f"train.{name}")))
        own.add("onward", links("train-onward", t("train.onward")))
    own.add("timer", gr.Timer(POLL_S, active=False))
    parts = own | panel.parts

    def draw(view: View, known: str = "") -> Drawn:
        name = find_watched(workspace, view)
        job = last_job(workspace, name) if name else None
        return panel.draw(job) | draw_run(workspace, t, name, job, known)

    page.wire(own["timer"].tick, draw, [view, own["stamp"]], parts)
    return Watch(parts, draw, another)


def find_watched(workspace: Workspace, view: View) -> str:
    """The run that the view names, if it is trained, was trained, or is about to be; else ""."""
    name = view.get("run", "")
    if name in workspace.run_names():
        run = RunDir(workspace.runs / name)
        if run.metrics.is_file() or run.checkpoints.is_dir() or run.model.is_dir():
            return name
    job = last_job(workspace, name) if name else None
    return name if job and job.status != "done" else ""  # a run whose job is done but whose folder is gone was deleted


def source_of_run(workspace: Workspace, name: str) -> str:
    """The key of the dataset that a run was prepared from; "" where there is none, or it is gone."""
    try:
        root = workspace.run(name).data_root().resolve()
    except (InputError, KeyError, TypeError, ValueError, OSError):
        return ""
    return next((key for key, source in list_sources(workspace).items() if source.root.resolve() == root), "")


def last_job(workspace: Workspace, name: str) -> Job | None:
    """The newest job that trains the run; None if somebody has trained it outside the page since."""
    job = next((job for job in workspace.jobs.list() if job.run == name and job.kind == "train"), None)
    return None if job and job.before(changed_s(RunDir(workspace.runs / name).metrics)) else job


def draw_run(workspace: Workspace, t: Words, name: str, job: Job | None, known: str) -> Drawn:
    """The section but for the job's panel; curves that are drawn already, as the stamp `known` says, stay."""
    if not name:
        nothing: Drawn = {"standing": {}, "onward": {"links": []}, "stamp": "", **{name: {} for name in CURVES}}
        hidden = {"watch": gr.Column(visible=False), "resume": gr.Button(visible=False)}
        return nothing | hidden | {"timer": gr.Timer(active=False)}
    run = RunDir(workspace.runs / name)
    active = job.active if job else is_being_written(run)  # metrics from before a job's end are that job's
    reached = None if job and job.active else checkpoint_progress(run)
    onward = [] if active or not (run.model / "vqa.json").is_file() else list_onward_links(t, name)
    steps = _steps(job, reached)
    stamp = f"{stamp_curves(run)}:{steps}"
    curves: Drawn = dict.fromkeys(CURVES, gr.skip()) if stamp == known else draw_curves(t, read_curves(run), steps)
    return curves | {
        "watch": gr.Column(visible=True),
        "standing": {} if job else describe_standing(t, run),
        "resume": _resume_button(t, run, None if active else reached),
        "onward": {"links": onward},
        "stamp": stamp,
        "timer": gr.Timer(active=active),
    }


def _steps(job: Job | None, reached: tuple[int, int] | None) -> int:
    """The steps of the whole training, as far as known."""
    if job and job.progress and job.progress.unit == "steps":
        return job.progress.total
    return reached[1] if reached else 0


def _resume_button(t: Words, run: RunDir, reached: tuple[int, int] | None) -> gr.Button:
    if not reached or not can_resume(run):
        return gr.Button(visible=False)
    return gr.Button(t("train.resume", step=f"{reached[0]:,}", steps=f"{reached[1]:,}"), visible=True)


def describe_standing(t: Words, run: RunDir) -> dict[str, Any]:
    """How far a run is by its files, where no job of the page trained it."""
    curves = read_curves(run)
    trained = (run.model / "vqa.json").is_file()
    state = "elsewhere" if is_being_written(run) else "trained" if trained else "not_finished"
    text = t("train.reached", step=f"{curves.last_step:,}", time=duration(t, curves.seconds)) if curves.seconds else ""
    title = t(f"train.{state}", run=run.root.name)
    return {"title": title, "text": text, "mark": "right" if state == "trained" else ""}


def is_being_written(run: RunDir) -> bool:
    """Whether somebody, perhaps in a terminal, trains the run right now."""
    reached = checkpoint_progress(run)
    recent = time.time() - changed_s(run.metrics) < STILL_WRITTEN_S
    return recent and not (reached and reached[0] >= reached[1])


def list_onward_links(t: Words, name: str) -> list[dict[str, Any]]:
    """Where to go with a trained model."""
    return [{"text": t(f"train.to_{tab}"), "view": {"tab": tab, "run": name}} for tab in ("predict", "ask")]


def resume(workspace: Workspace, t: Words, view: View) -> View:
    """Resume the run of the view from its newest checkpoint; an InputError where there is none to resume from."""
    name = check_name(t, view.get("run", ""))
    run = RunDir(workspace.runs / name)
    refuse_in_use(run)
    if last_job(workspace, name) is None and is_being_written(run):
        raise InputError(t("train.busy_elsewhere", run=name))
    if not can_resume(run):
        raise InputError(t("train.nothing_to_resume", run=name))
    workspace.jobs.start("train", name, [build_resume_command(format_path(run.root))])
    return change_view(view, run=name)
