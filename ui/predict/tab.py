"""Predict and submit: a run answers a split, the answers are seen as they come, and become a submission."""

import time
from functools import partial
from typing import Any

import gradio as gr

from ui.components.job_panel import JobPanel, job_panel
from ui.components.parts import Page, Tab, View, moved, view_of
from ui.components.widgets import Bar, bars, gallery, links, picture
from ui.components.words import Words
from ui.jobs.jobs import shown_command
from ui.predict.commands import (
    DEMO,
    SPLITS,
    last_job,
    prediction_commands,
    questions_of,
    run_and_split,
    score_of,
    settings_used,
    start_demo,
    start_prediction,
)
from ui.predict.newest import newest_cells, picture_of
from ui.predict.submit import submit_section
from ui.workspace.workspace import Workspace
from vqa_core.config import PredictSettings
from vqa_core.files import InputError, changed_s
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.watching import count_lines

NAME = "predict"
STILL_WRITTEN_S = 30.0  # a file changed within this time is being written, by whomever


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace = page.t, page.workspace
    view = view_of(NAME)
    with gr.Row():
        run = gr.Dropdown(
            workspace.run_names(), value=None, label=t("predict.run"), min_width=220, scale=2, elem_id="predict-run"
        )
        split = gr.Radio(
            [(t(f"predict.split_{name}"), name) for name in SPLITS],
            label=t("predict.split"), min_width=220, scale=3, elem_id="predict-split",
        )  # fmt: skip
    with gr.Column(visible=False, elem_id="predict-empty") as empty:
        reason = gr.Markdown()
        demo = gr.Button(t("predict.demo"), variant="primary", elem_id="predict-demo")
        train = links("predict-train", t("predict.to_train"))
    with gr.Column(visible=False, elem_id="predict-work") as work:
        settings = _settings_form(t)
        command = gr.Textbox(
            label=t("predict.command"), buttons=["copy"], lines=1, max_lines=4,
            elem_id="predict-command", elem_classes=["wb-mono"],
        )  # fmt: skip
        with gr.Row(equal_height=True):
            answered = gr.Markdown(elem_id="predict-answered")
            start = gr.Button(t("predict.start"), min_width=220, elem_id="predict-start")
    panel = job_panel(page, NAME)
    score = bars("predict-score", t("predict.accuracy"))
    errors = links("predict-errors", t("predict.to_errors"))
    newest_title = gr.Markdown()
    newest = gallery("predict-newest", t("predict.newest"))
    chosen = picture("predict-picture", t("predict.picture"))
    picked = [view, run, split]  # what the reader sees is what a click is about, even where the view names no run
    section = submit_section(page, picked)
    timer = gr.Timer(1.0, active=False)

    head = [run, split, reason, demo, train, *settings, command]
    live = [empty, work, answered, start, *panel.outputs, score, errors, newest_title, newest, timer]
    outputs = [*head, *live, chosen, *section.outputs]

    def show(view: View) -> list[Any]:
        drawn = [*draw_head(workspace, t, view), *draw_live(workspace, t, panel, view, restart=False), {}]
        return [*drawn, *section.draw(view)]

    def move(view: View, name: str | None, split: str) -> list[Any]:
        kept = {} if name == view.get("run") else {"submission": "", "with": ""}
        view = moved(view, run=name, split=split, **kept)
        return [view, *show(view)]

    def start_clicked(view: View, name: str, split: str, batch: float | None, answers: str, restart: bool) -> list[Any]:
        settings = settings_of_form(workspace.run(name), batch, answers)
        start_prediction(workspace, name, split, settings, restart=restart)
        return move(view, name, split)

    def demo_clicked() -> list[Any]:
        return move(start_demo(workspace), DEMO, "test")

    def look(name: str, split: str, event: gr.EventData) -> list[Any]:
        return [picture_of(workspace, t, workspace.run(name), split, str(event.key))]

    def tick(view: View, name: str | None, split: str, restart: bool) -> list[Any]:
        view = moved(view, run=name or view.get("run"), split=split)
        appeared = not name and run_and_split(workspace, view)[0] in workspace.run_names()
        if appeared or not is_live(workspace, view):
            return show(view)
        drawn = draw_live(workspace, t, panel, view, restart=restart)
        return [*[gr.skip()] * len(head), *drawn, gr.skip(), *[gr.skip()] * len(section.outputs)]

    page.wire.each([run.input, split.input], move, picked, [view, *outputs])
    change = partial(changed, workspace, t)
    page.wire.each([field.input for field in settings], change, [run, split, *settings], [command, start])
    page.wire(start.click, start_clicked, [*picked, *settings], [view, *outputs])
    page.wire(demo.click, demo_clicked, None, [view, *outputs])
    page.wire(newest.select, look, [run, split], [chosen])
    page.wire(timer.tick, tick, [*picked, settings[-1]], outputs)
    return Tab(NAME, view, outputs, show)


def _settings_form(t: Words) -> list[Any]:
    """The settings that a person changes between two predictions: batch, allowed answers, whether to start over."""
    limits = PredictSettings.__dataclass_fields__["batch_questions"].metadata
    choices = PredictSettings.__dataclass_fields__["answers"].metadata["choices"]
    with gr.Row():
        return [
            gr.Number(
                label=t("predict.batch_questions"), info=t("predict.batch_questions_help"), precision=0,
                minimum=limits["minimum"], min_width=160, elem_id="predict-batch-questions",
            ),
            gr.Dropdown(
                [(t(f"predict.answers_{name}"), name) for name in choices],
                label=t("predict.answers"), info=t("predict.answers_help"), min_width=220, elem_id="predict-answers",
            ),
            gr.Checkbox(
                label=t("predict.restart"), info=t("predict.restart_help"), min_width=220, elem_id="predict-restart"
            ),
        ]  # fmt: skip


def draw_head(workspace: Workspace, t: Words, view: View) -> list[Any]:
    """Choice of run and split, what to do where nothing can be predicted, and the form."""
    name, split = run_and_split(workspace, view)
    names = workspace.run_names()
    run = RunDir(workspace.runs / name)
    here = name in names
    train = {"text": t("predict.to_train" if here else "predict.to_train_own"), "view": {"tab": "train"}}
    if here:
        train["view"] = {"tab": "train", "run": name}
    used = settings_used(run) if here else PredictSettings()
    done = count_lines(run.predictions(split)) if here else 0
    return [
        gr.Dropdown(choices=names, value=name if here else None, visible=bool(names)),
        gr.Radio(value=split, visible=bool(names)),
        t("predict.no_model" if here else "predict.no_run"),
        gr.Button(visible=not here),
        {"links": [train]},
        used.batch_questions,
        used.answers,
        gr.Checkbox(value=False, visible=done > 0),
        _shown(prediction_commands(run, split, used)) if here else "",
    ]


def draw_live(workspace: Workspace, t: Words, panel: JobPanel, view: View, *, restart: bool) -> list[Any]:
    """What changes while a split is answered."""
    name, split = run_and_split(workspace, view)
    run, here = RunDir(workspace.runs / name), name in workspace.run_names()
    job = last_job(workspace, name, split)
    active = job is not None and job.active
    works = here and run.has_model
    done, total = (count_lines(run.predictions(split)), questions_of(run, split)) if here else (0, 0)
    scored = _score(run, split) if here and not active and done == total else None
    began = job.started or job.created if active and job else 0.0
    cells = newest_cells(workspace, t, run, split) if changed_s(run.predictions(split)) >= began else []
    see = [{"text": t("predict.to_errors"), "view": {"tab": "errors", "run": name, "split": split}}]
    return [
        gr.Column(visible=not works and not active),
        gr.Column(visible=works and not active),  # while it is at work, the panel tells all of it
        _answered(t, done, total),
        _start_button(t, run, split, restart=restart, active=active),
        *panel.draw(job if job is not None and job.status != "done" else None),
        _score_bars(t, scored),
        {"links": see if scored else []},
        f"### {t('predict.newest')}" if cells or active else "",
        {"cells": cells, "empty": t("predict.none_yet") if active else ""},
        gr.Timer(active=is_live(workspace, view)),
    ]


def is_live(workspace: Workspace, view: View) -> bool:
    """Whether the split is being answered: by a job of the page, or by a command that somebody typed."""
    name, split = run_and_split(workspace, view)
    job = last_job(workspace, name, split)
    if job is not None and job.active:
        return True
    run = RunDir(workspace.runs / name)
    fresh = time.time() - changed_s(run.predictions(split)) < STILL_WRITTEN_S
    return fresh and count_lines(run.predictions(split)) < questions_of(run, split)


def changed(
    workspace: Workspace, t: Words, name: str, split: str, batch: float | None, answers: str, restart: bool
) -> list[Any]:
    """The command and the button as the form now has it."""
    run = workspace.run(name)
    commands = prediction_commands(run, split, settings_of_form(run, batch, answers), restart=restart)
    job = last_job(workspace, name, split)
    active = job is not None and job.active
    return [_shown(commands), _start_button(t, run, split, restart=restart, active=active)]


def settings_of_form(run: RunDir, batch: float | None, answers: str) -> PredictSettings:
    """The run's own settings with those of the form; an InputError names what can't be."""
    if batch is None or batch != int(batch):
        raise InputError(f"--batch-questions takes a whole number, not {batch!r}.")
    return PredictSettings(**settings_used(run).to_dict() | {"batch_questions": int(batch), "answers": answers})


def _shown(commands: list[tuple[str, ...]]) -> str:
    return " && \\\n".join(map(shown_command, commands))


def _start_button(t: Words, run: RunDir, split: str, *, restart: bool, active: bool) -> gr.Button:
    done, total = count_lines(run.predictions(split)), questions_of(run, split)
    over = done >= total and not restart
    key = "score" if done and over else "go_on" if done and not restart else "start"
    some = total > 0 and (not over or len(prediction_commands(run, split, PredictSettings())) > 1)
    return gr.Button(t(f"predict.{key}"), variant="secondary" if over else "primary", interactive=some and not active)


def _answered(t: Words, done: int, total: int) -> str:
    if not total:
        return t("predict.no_questions")
    if done >= total:
        return t("predict.all_answered", total=f"{total:,}")
    return t("predict.answered", done=f"{done:,}", total=f"{total:,}")


def _score(run: RunDir, split: str) -> dict[str, Any] | None:
    try:
        return score_of(run, split)
    except InputError:  # a score.json that is none; eval.score tells of it
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
