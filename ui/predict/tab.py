"""Predict and submit: a run answers a split, the answers are seen as they come, and become a submission."""

import time
from functools import partial
from typing import Any

import gradio as gr

from ui.components.job_panel import JobPanel
from ui.components.parts import Drawn, Parts
from ui.components.tab import Page, Tab, View, change_view
from ui.components.widgets import Bar
from ui.components.words import Words
from ui.jobs.jobs import format_command
from ui.predict.commands import (
    DEMO,
    build_prediction_commands,
    choose_run_and_split,
    last_job,
    questions_of,
    score_of,
    settings_used,
    start_demo,
    start_prediction,
)
from ui.predict.layout import lay_out
from ui.predict.newest import find_picture, list_newest
from ui.predict.submit import submit_section
from ui.workspace.workspace import Workspace
from vqa_core.config import PredictSettings
from vqa_core.files import InputError, changed_s
from vqa_core.runs.predictions import SHORTENED
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.watching import count_lines

NAME = "predict"
STILL_WRITTEN_S = 30.0  # a file that changed within this time is still being written


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace = page.t, page.workspace
    own, panel = lay_out(page, NAME)
    # a click is about what the reader sees, even where the view names no run
    picked, settings = own.only("view", "run", "split"), own.only("batch", "answers", "restart")
    section = submit_section(page, picked)
    timer = Parts(timer=gr.Timer(1.0, active=False))
    parts = own.without("view") | panel.parts | timer | section.parts
    everything = own.only("view") | parts

    def show(view: View) -> Drawn:
        head, live = draw_head(workspace, t, view), draw_live(workspace, t, panel, view, restart=False)
        return {"picture": {}} | head | live | section.draw(view)

    def move(view: View, name: str | None, split: str) -> Drawn:
        kept = {} if name == view.get("run") else {"submission": "", "with": ""}
        view = change_view(view, run=name, split=split, **kept)
        return {"view": view} | show(view)

    def start(view: View, name: str, split: str, batch: float | None, answers: str, restart: bool) -> Drawn:
        settings = settings_of_form(workspace.run(name), batch, answers)
        start_prediction(workspace, name, split, settings, restart=restart)
        return move(view, name, split)

    def run_demo() -> Drawn:
        return move(start_demo(workspace), DEMO, "test")

    def look(name: str, split: str, event: gr.EventData) -> Drawn:
        return {"picture": find_picture(workspace, t, workspace.run(name), split, str(event.key))}

    def tick(view: View, name: str | None, split: str, restart: bool) -> Drawn:
        view = change_view(view, run=name or view.get("run"), split=split)
        appeared = not name and choose_run_and_split(workspace, view)[0] in workspace.run_names()
        if appeared or not is_live(workspace, view):
            return show(view)
        return parts.unchanged() | draw_live(workspace, t, panel, view, restart=restart)

    run, split = own["run"], own["split"]
    page.wire.each([run.input, split.input], move, list(picked.values()), everything)
    change, changing = partial(draw_command, workspace, t), [run, split, *settings.values()]
    page.wire.each([part.input for part in settings.values()], change, changing, own.only("command", "start"))
    page.wire(own["start"].click, start, [*picked.values(), *settings.values()], everything)
    page.wire(own["demo"].click, run_demo, None, everything)
    page.wire(own["newest"].select, look, [run, split], own.only("picture"))
    page.wire(timer["timer"].tick, tick, [*picked.values(), own["restart"]], parts)
    return Tab(NAME, own["view"], parts, show)


def draw_head(workspace: Workspace, t: Words, view: View) -> Drawn:
    """Choice of run and split, what to do where nothing can be predicted, and the form."""
    name, split = choose_run_and_split(workspace, view)
    names = workspace.run_names()
    run = RunDir(workspace.runs / name)
    here = name in names
    train = {"text": t("predict.to_train" if here else "predict.to_train_own"), "view": {"tab": "train"}}
    if here:
        train["view"] = {"tab": "train", "run": name}
    used = settings_used(run) if here else PredictSettings()
    done = count_lines(run.predictions(split)) if here else 0
    return {
        "run": gr.Dropdown(choices=names, value=name if here else None, visible=bool(names)),
        "split": gr.Radio(value=split, visible=bool(names)),
        "reason": t("predict.no_model" if here else "predict.no_run"),
        "demo": gr.Button(visible=not here),
        "train": {"links": [train]},
        "batch": used.batch_questions,
        "answers": used.answers,
        "restart": gr.Checkbox(value=False, visible=done > 0),
        "command": _shown(build_prediction_commands(run, split, used)) if here else "",
    }


def draw_live(workspace: Workspace, t: Words, panel: JobPanel, view: View, *, restart: bool) -> Drawn:
    """What changes while a split is answered."""
    name, split = choose_run_and_split(workspace, view)
    run, here = RunDir(workspace.runs / name), name in workspace.run_names()
    job = last_job(workspace, name, split)
    active = job is not None and job.active
    works = here and run.has_model
    done, total = (count_lines(run.predictions(split)), questions_of(run, split)) if here else (0, 0)
    scored = _score(run, split) if here and not active and done == total else None
    began = job.started or job.created if active and job else 0.0
    cells = list_newest(workspace, t, run, split) if changed_s(run.predictions(split)) >= began else []
    errors = [{"text": t("predict.to_errors"), "view": {"tab": "errors", "run": name, "split": split}}]
    return panel.draw(job if job is not None and job.status != "done" else None) | {
        "empty": gr.Column(visible=not works and not active),
        "work": gr.Column(visible=works and not active),  # while it is at work, the panel says it all
        "answered": " ".join([_answered(t, done, total), *_shortened(t, scored)]),
        "start": _start_button(t, run, split, restart=restart, active=active),
        "score": _score_bars(t, scored),
        "errors": {"links": errors if scored else []},
        "newest_title": f"### {t('predict.newest')}" if cells or active else "",
        "newest": {"cells": cells, "empty": t("predict.none_yet") if active else ""},
        "timer": gr.Timer(active=is_live(workspace, view)),
    }


def is_live(workspace: Workspace, view: View) -> bool:
    """Whether the split is being answered: by a job of the page, or by a command that somebody typed."""
    name, split = choose_run_and_split(workspace, view)
    job = last_job(workspace, name, split)
    if job is not None and job.active:
        return True
    run = RunDir(workspace.runs / name)
    fresh = time.time() - changed_s(run.predictions(split)) < STILL_WRITTEN_S
    return fresh and count_lines(run.predictions(split)) < questions_of(run, split)


def draw_command(
    workspace: Workspace, t: Words, name: str, split: str, batch: float | None, answers: str, restart: bool
) -> Drawn:
    """The command and the button as the form now has it."""
    run = workspace.run(name)
    commands = build_prediction_commands(run, split, settings_of_form(run, batch, answers), restart=restart)
    job = last_job(workspace, name, split)
    active = job is not None and job.active
    return {"command": _shown(commands), "start": _start_button(t, run, split, restart=restart, active=active)}


def settings_of_form(run: RunDir, batch: float | None, answers: str) -> PredictSettings:
    """The run's own settings with those of the form; an InputError names a value that is not valid."""
    if batch is None or batch != int(batch):
        raise InputError(f"--batch-questions takes a whole number, not {batch!r}.")
    return PredictSettings(**settings_used(run).to_dict() | {"batch_questions": int(batch), "answers": answers})


def _shown(commands: list[tuple[str, ...]]) -> str:
    return " && \\\n".join(map(format_command, commands))


def _start_button(t: Words, run: RunDir, split: str, *, restart: bool, active: bool) -> gr.Button:
    done, total = count_lines(run.predictions(split)), questions_of(run, split)
    over = done >= total and not restart
    key = "score" if done and over else "go_on" if done and not restart else "start"
    some = total > 0 and (not over or len(build_prediction_commands(run, split, PredictSettings())) > 1)
    return gr.Button(t(f"predict.{key}"), variant="secondary" if over else "primary", interactive=some and not active)


def _answered(t: Words, done: int, total: int) -> str:
    if not total:
        return t("predict.no_questions")
    if done >= total:
        return t("predict.all_answered", total=f"{total:,}")
    return t("predict.answered", done=f"{done:,}", total=f"{total:,}")


def _shortened(t: Words, score: dict[str, Any] | None) -> list[str]:
    """Texts that count the scored answers that were cut, and those to questions that were cut."""
    statuses = score.get("statuses") if score else None
    counts = {name: statuses.get(name) for name in SHORTENED} if isinstance(statuses, dict) else {}
    return [t(f"predict.{name}", count=f"{count:,}") for name, count in counts.items() if isinstance(count, int)]


def _score(run: RunDir, split: str) -> dict[str, Any] | None:
    try:
        return score_of(run, split)
    except InputError:  # no valid score.json, which eval.score will say
        return None


def _score_bars(t: Words, score: dict[str, Any] | None) -> dict[str, Any]:
    """The score beside the question-only baseline, each with its interval, from 0."""
    if not score:
        return {"rows": []}
    try:
        metric = str(score["metric"])
        rows: list[Bar] = []
        for name, found in (("model", score["overall"]), ("baseline", score["baseline"])):
            if not found:
                continue
            value, low, high = (float(found[metric][key]) for key in ("value", "low", "high"))
            text = t("predict.share", value=f"{100 * value:.2f}", low=f"{100 * low:.2f}", high=f"{100 * high:.2f}")
            rows.append({"label": t(f"predict.{name}"), "share": value, "low": low, "high": high, "text": text})
        n = int(score["overall"][metric]["n"])
    except (KeyError, TypeError, ValueError):
        return {"rows": []}  # not what eval.score writes
    known = f"predict.metric_{metric}"
    return {"title": t("predict.accuracy_of", metric=t(known) if t.has(known) else metric, n=f"{n:,}"), "rows": rows}
