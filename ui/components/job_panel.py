"""The panel of a job: its status and progress, the commands to copy, the end of its log, and buttons to end it.

panel = job_panel(page, "train")        in a tab's `build`: drawn where it stands
panel.parts, panel.draw(job)            beside the tab's own parts, in `show` and in each tick of its timer
"""

import functools
import signal
import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.components.parts import Drawn, Parts
from ui.components.sentences import translate
from ui.components.tab import Page
from ui.components.widgets import progress
from ui.components.words import Words
from ui.jobs.jobs import Job, Jobs
from ui.jobs.saved import read_saved
from vqa_core.files import InputError

LOG_LINES = 40
WRONG_INPUT = 2  # exit code of a command that has printed `error: ` and the reason
CRASHED = 1  # exit code of a command that has printed a traceback


@dataclass(frozen=True, slots=True)
class JobPanel:
    """`draw` draws each of `parts`; without a job it shows nothing."""

    jobs: Jobs
    t: Words
    parts: Parts

    def draw(self, job: Job | None) -> Drawn:
        return draw_job(self.jobs, self.t, job)


def job_panel(page: Page, prefix: str) -> JobPanel:
    """Draw the panel and wire its buttons. Elements are called `<prefix>-job-...`."""
    t, jobs = page.t, page.workspace.jobs
    # in the browser, not in the session's state: an open page keeps it when the server is killed and started again
    parts = Parts(job_id=gr.Textbox(visible="hidden", elem_id=f"{prefix}-job-id"))
    with parts.add("job", gr.Column(visible=False, elem_id=f"{prefix}-job")):
        with gr.Row(equal_height=False):
            parts.add("job_status", progress(f"{prefix}-job-status", t("jobs.panel"), ["wb-wide"]))
            with gr.Column(scale=0, min_width=220):
                stop = gr.Button(t("jobs.stop"), size="md", min_width=220, elem_id=f"{prefix}-job-stop")
                parts.add("job_stop", stop)
                kill = gr.Button(
                    t("jobs.kill"), size="md", min_width=220, variant="stop", visible=False,
                    elem_id=f"{prefix}-job-kill",
                )  # fmt: skip
                parts.add("job_kill", kill)
        commands = gr.Textbox(
            label=t("jobs.commands"), lines=1, max_lines=6, interactive=False, buttons=["copy"],
            elem_id=f"{prefix}-job-commands", elem_classes=["wb-mono"],
        )  # fmt: skip
        parts.add("job_commands", commands)
        with parts.add("job_log_box", gr.Accordion(t("jobs.log"), open=False, elem_id=f"{prefix}-job-log-box")):
            log = gr.Textbox(
                label=t("jobs.log_tail"), show_label=False, container=False, lines=4, max_lines=16, interactive=False,
                elem_id=f"{prefix}-job-log", elem_classes=["wb-mono"],
            )  # fmt: skip
            parts.add("job_log", log)
    for button, handler in ((stop, stop_job), (kill, kill_job)):
        page.wire(button.click, functools.partial(handler, jobs, t), [parts["job_id"]], parts)
    return JobPanel(jobs, t, parts)


def stop_job(jobs: Jobs, t: Words, id: str) -> Drawn:
    """Ask the job to stop and draw how it stands."""
    return draw_job(jobs, t, jobs.stop(id))


def kill_job(jobs: Jobs, t: Words, id: str) -> Drawn:
    """End the job at once and draw how it stands."""
    return draw_job(jobs, t, jobs.kill(id))


def draw_job(jobs: Jobs, t: Words, job: Job | None) -> Drawn:
    """The panel's parts."""
    ill = job is not None and job.status in ("failed", "crashed")
    return {
        "job_id": job.id if job else "",
        "job": gr.Column(visible=job is not None),
        "job_status": facts(jobs, t, job) if job else {},
        "job_stop": gr.Button(visible=job.active, interactive=job.status != "stopping") if job else gr.skip(),
        "job_kill": gr.Button(visible=job is not None and job.status == "stopping"),
        "job_commands": job.shown if job else "",
        "job_log_box": gr.Accordion(open=True) if ill else gr.skip(),  # else it stays as the reader has it
        "job_log": jobs.log_tail(job.id, LOG_LINES) if job else "",
    }


def facts(jobs: Jobs, t: Words, job: Job) -> dict[str, Any]:
    """The status of the job: a value of the progress widget."""
    title = f"{_name(t, job)}: {_status(t, job)}"
    mark = {"done": "right", "failed": "wrong", "crashed": "wrong"}.get(job.status, "")
    drawn: dict[str, Any] = {"title": title, "text": _text(t, job), "note": _note(jobs, t, job), "mark": mark}
    if job.started and job.active:
        drawn["share"] = job.progress.share if job.progress else None
    return drawn


def duration(t: Words, seconds: float) -> str:
    """A duration such as 12 s, 3 min 20 s, 45 min or 2 h 5 min."""
    minutes, s = divmod(max(0, round(seconds)), 60)
    h, m = divmod(minutes, 60)
    if h:
        return t("jobs.hours", h=h, m=m)
    if m >= 10:
        return t("jobs.minutes", m=m)
    return t("jobs.minutes_seconds", m=m, s=s) if m else t("jobs.seconds", s=s)


def _name(t: Words, job: Job) -> str:
    kind = t(f"jobs.kind_{job.kind}") if t.has(f"jobs.kind_{job.kind}") else job.kind
    return f"{kind} · {job.run}" if job.run else kind


def _status(t: Words, job: Job) -> str:
    if job.status == "stopped" and job.started is None:
        return t("jobs.status_unstarted")
    if job.status == "failed" and (job.exit_code or 0) < 0:
        return t("jobs.status_killed", signal=_signal(job))
    if job.status == "stopping" and read_saved(job).kind == "checkpoint":
        return t("jobs.status_saving")
    shown = "ended" if job.status == "stopped" and job.killed else job.status
    time_s = (job.ended or time.time()) - (job.started or job.created)
    return t(f"jobs.status_{shown}", time=duration(t, time_s), code=job.exit_code)


def _signal(job: Job) -> str:
    try:
        return signal.Signals(-(job.exit_code or 0)).name
    except ValueError:
        return str(job.exit_code)


def _text(t: Words, job: Job) -> str:
    """Which of several commands runs, how much of it is done, how fast, and the time left."""
    parts = []
    if len(job.commands) > 1 and job.started and job.status != "done":
        parts.append(t("jobs.command", at=job.at + 1, all=len(job.commands)))
    progress = job.progress
    if progress and job.status != "done":
        unit, per = (t(f"jobs.{name}_{progress.unit}") if t.has(f"jobs.{name}_{progress.unit}") else progress.unit
                     for name in ("unit", "per"))  # fmt: skip
        parts.append(t("jobs.step", done=f"{progress.done:,}", total=f"{progress.total:,}", unit=unit))
        if job.status == "running" and progress.rate:
            rate = f"{progress.rate:.1f}" if progress.rate >= 1 else f"{progress.rate:.2g}"
            parts.append(t("jobs.rate", rate=rate, unit=per))
        if job.status == "running" and progress.eta_s is not None:
            parts.append(t("jobs.left", time=duration(t, progress.eta_s)))
    return " · ".join(parts)


def _note(jobs: Jobs, t: Words, job: Job) -> str:
    if job.status == "queued":
        ahead = [_name(t, other) for other in reversed(jobs.active()) if other.id < job.id]
        return t("jobs.ahead", jobs=", ".join(ahead)) if ahead else t("jobs.next_in_line")
    if job.active:
        return f"{t('jobs.stop_takes')} {_saved(t, job)}" if job.status == "stopping" else t("jobs.leave")
    if job.status == "done" or job.started is None:
        return ""
    said = _error(jobs, job) if job.exit_code == WRONG_INPUT else ""
    why = ""
    if job.status == "crashed":
        why = t("jobs.why_crashed")
    elif said:
        why = translate(said, t)
    elif job.status == "failed":
        why = t("jobs.why_killed" if _signal(job) == "SIGKILL" else "jobs.why_failed")
    elif job.exit_code == CRASHED and not job.killed:  # it failed while it was asked to stop
        why = t("jobs.why_failed")
    if job.status == "failed" and (job.exit_code or 0) >= 0:
        return why
    return f"{why} {_saved(t, job)}".strip()


def _saved(t: Words, job: Job) -> str:
    """What is in the files of the run."""
    saved = read_saved(job)
    if saved.kind == "other":
        return t("jobs.saved_nothing")
    if not saved.done:
        return t("jobs.saved_no_checkpoint" if saved.kind == "checkpoint" else "jobs.saved_no_answers")
    return t(f"jobs.saved_{saved.kind}", done=f"{saved.done:,}", total=f"{saved.total:,}")


def _error(jobs: Jobs, job: Job) -> str:
    """The last `error: ` that the job's command printed, to the end of the log; "" where there is none."""
    try:
        log = jobs.log_tail(job.id, LOG_LINES)
    except InputError:  # the job has been removed since
        return ""
    _, mark, said = f"\n{log}".rpartition("\nerror: ")
    return said.strip() if mark else ""
