"""Runs: the table of all runs, a pinned baseline, and what the files of the chosen one say."""

import csv
import io
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from ui.components.parts import Drawn, Parts
from ui.components.tab import Page, Tab, View, change_view, view_of
from ui.components.widgets import facts
from ui.components.words import Words
from ui.jobs.jobs import Job
from ui.runs.details import cut_text, draw_details, lay_out_details, status_text
from ui.train.quick_demo import quick_demo_button
from ui.workspace.workspace import Workspace
from vqa_core.analysis.review import cell
from vqa_core.analysis.run_table import Measure, RunRow, against, differences, pin, pinned, read_rows

NAME = "runs"
SHOWN = 200  # rows of the table; the filter finds the others
PATIENCE_S = 0.5  # what the paired intervals of one drawing may take; they are kept, so the next one has more of them
SEEN = "() => { document.querySelector('#runs-details')?.scrollIntoView({ behavior: 'smooth' }); }"
SORTS: dict[str, Callable[[RunRow], Any]] = {
    "date": lambda row: -row.changed,
    "score": lambda row: -row.validation.value if row.validation else 1.0,
    "name": lambda row: row.name.casefold(),
}


def build(page: Page) -> Tab:
    """Draw and wire the tab."""
    t, workspace = page.t, page.workspace
    parts, saves = lay_out(page)
    view = parts["view"]
    typed = ("search", "sort")  # stay as they are while they are being typed or chosen
    moving, ticking = parts.without("file", *typed), parts.only("table", "timer", "facts", "log")

    def choose(view: View, event: gr.EventData) -> Drawn:
        return move(workspace, t, view, run=event.key)

    def search(view: View, text: str) -> Drawn:
        return move(workspace, t, view, q=text)

    def sort(view: View, name: str) -> Drawn:
        return move(workspace, t, view, sort=name)

    page.wire(parts["search"].input, search, [view, parts["search"]], moving, trigger_mode="always_last")
    page.wire(parts["sort"].input, sort, [view, parts["sort"]], moving)
    page.wire(parts["table"].select, choose, view, moving).success(None, None, None, js=SEEN)
    page.wire(parts["pin"].click, partial(toggle_pin, workspace, t), view, moving)
    page.wire(parts["timer"].tick, partial(tick, workspace, t), view, ticking)
    for kind, button in saves.items():
        made = page.wire(button.click, partial(download, workspace, t, kind), view, parts.only("file"))
        made.success(None, None, None, js="() => { document.querySelector('#runs-file').click(); }")
    return Tab(NAME, view, parts.without("view", "file"), partial(draw, workspace, t))


def lay_out(page: Page) -> tuple[Parts, dict[str, gr.Button]]:
    """Draw every part of the tab, and a button to save the table for each format."""
    t, parts = page.t, Parts(view=view_of(NAME))
    with parts.add("none", gr.Column(visible=False, elem_id="runs-none")):
        gr.Markdown(t("runs.none"))
        quick_demo_button(page, "runs-start")
    with parts.add("some", gr.Column(elem_id="runs-some")):
        with gr.Row():
            search = gr.Textbox(
                label=t("runs.search"), placeholder=t("runs.search_hint"), elem_id="runs-search",
                elem_classes=["key-search"], scale=3, min_width=220,
            )  # fmt: skip
            sort = gr.Dropdown(
                [(t(f"runs.sort_{name}"), name) for name in SORTS], label=t("runs.sort"), elem_id="runs-sort",
                scale=1, min_width=160,
            )  # fmt: skip
        parts.add("search", search)
        parts.add("sort", sort)
        parts.add("count", gr.Markdown(elem_id="runs-count"))
        parts.add("table", facts("runs-table", t("runs.tab")))
        with gr.Row():
            saves = {
                kind: gr.Button(t(f"runs.save_{kind}"), size="sm", elem_id=f"runs-save-{kind}", scale=0, min_width=150)
                for kind in ("csv", "json")
            }
        lay_out_details(t, parts)
    parts.add("file", gr.DownloadButton(visible="hidden", elem_id="runs-file"))
    parts.add("timer", gr.Timer(2.0, active=False))
    return parts, saves


def draw(workspace: Workspace, t: Words, view: View) -> Drawn:
    """The whole tab."""
    sort = view.get("sort", "")
    sort = sort if sort in SORTS else next(iter(SORTS))
    return draw_runs(workspace, t, view) | {"search": view.get("q", ""), "sort": sort}


def draw_runs(workspace: Workspace, t: Words, view: View) -> Drawn:
    """The tab but for the filter and the order."""
    rows, jobs, baseline = read_rows(workspace.runs), jobs_to_show(workspace), pinned(workspace.runs)
    found = choose_rows(rows, t, view)
    row = next((row for row in rows if row.name == view.get("run")), None)
    return {
        "none": gr.Column(visible=not rows),
        "some": gr.Column(visible=bool(rows)),
        "count": count_text(t, len(found), len(rows)),
        "table": draw_table(workspace, t, found, baseline, jobs),
        "timer": gr.Timer(active=any(job.active for job in jobs.values())),
        **draw_details(workspace, t, row, rows, baseline, jobs.get(row.name) if row else None),
    }


def move(workspace: Workspace, t: Words, view: View, **changes: object) -> Drawn:
    """The new view and what it draws, but for the filter and the order: what is being typed stays as it is."""
    new = change_view(view, **changes)
    return {"view": new} | draw_runs(workspace, t, new)


def tick(workspace: Workspace, t: Words, view: View) -> Drawn:
    """The table, the timer, and of the chosen run its facts and its log, while jobs are active."""
    drawn = draw_runs(workspace, t, view)
    return {name: drawn[name] for name in ("table", "timer", "facts", "log")}


def toggle_pin(workspace: Workspace, t: Words, view: View) -> Drawn:
    """Make the chosen run the baseline, or no longer."""
    run = workspace.run(view.get("run", ""))
    pin(workspace.runs, "" if pinned(workspace.runs) == run.root.name else run.root.name)
    return move(workspace, t, view)


def jobs_to_show(workspace: Workspace) -> dict[str, Job]:
    """The last job of each run, by run, if it is active or did not end well."""
    last = {job.run: job for job in reversed(workspace.jobs.list()) if job.run}
    return {name: job for name, job in last.items() if job.status != "done"}


def choose_rows(rows: Sequence[RunRow], t: Words, view: View) -> list[RunRow]:
    """The rows that have every word of the search in name, data, stage or status, in the chosen order."""
    words = view.get("q", "").casefold().split()
    texts = {row.name: f"{row.name} {row.data} {row.stage} {t(f'runs.is_{row.status}')}".casefold() for row in rows}
    found = [row for row in rows if all(word in texts[row.name] for word in words)]
    return sorted(found, key=SORTS.get(view.get("sort", ""), SORTS["date"]))


def count_text(t: Words, found: int, total: int) -> str:
    if found > SHOWN:
        return t("runs.first", shown=SHOWN, found=f"{found:,}")
    return t("runs.count", found=f"{found:,}", total=f"{total:,}") if found < total else ""


def draw_table(
    workspace: Workspace, t: Words, rows: Sequence[RunRow], baseline: str, jobs: Mapping[str, Job]
) -> dict[str, Any]:
    """The value of the table. Differences to the baseline are there where one is pinned."""
    pinned_row = next((row for row in read_rows(workspace.runs) if row.name == baseline), None)
    keys = ("run", "status", "validation", "test", "public", "data", "stage", "speed", "changed")
    head = [t(f"runs.{key}") for key in keys]
    if pinned_row:
        head[3:3] = [t("runs.difference")]
        head.append(t("runs.settings"))
    until = time.monotonic() + PATIENCE_S
    cells = []
    for row in rows[:SHOWN]:
        line = [
            f"★ {row.name}" if row.name == baseline else row.name,
            status_text(t, row, jobs.get(row.name)),
            measure_text(t, row.validation),
            measure_text(t, row.test),
            cut_text(row.public_score),
            cut_text(row.data),
            cut_text(row.stage),
            f"{row.speed:,.1f}" if row.speed else "",
            datetime.fromtimestamp(row.changed)
            .strftime("%Y-%m-%d %H:%M")
            .replace("-", "\u2011"),  # not to be broken there
        ]
        if pinned_row:
            line[3:3] = [difference_text(workspace, t, row, pinned_row, paired=time.monotonic() < until)]
            line.append(settings_text(pinned_row, row))
        cells.append(line)
    return {"head": head, "rows": cells, "keys": [row.name for row in rows[:SHOWN]], "empty": t("runs.no_match")}


def measure_text(t: Words, measure: Measure | None) -> str:
    """`0.9975 (0.9956–0.9991), n 9,673`, the metric before it unless it is exact match."""
    if measure is None:
        return ""
    name = "" if measure.metric == "exact" else f"{cut_text(measure.metric)} "
    if measure.low is None or measure.high is None:
        return t("runs.measure_training", value=f"{name}{measure.value:.4f}", n=f"{measure.n:,}")
    span = f"{measure.low:.4f}–{measure.high:.4f}"
    return t("runs.measure", value=f"{name}{measure.value:.4f}", span=span, n=f"{measure.n:,}")


def difference_text(workspace: Workspace, t: Words, row: RunRow, baseline: RunRow, *, paired: bool) -> str:
    """The validation score minus the baseline's, with its interval if both answered the same questions."""
    if row.name == baseline.name:
        return ""
    both = against(workspace.run(row.name), workspace.run(baseline.name)) if paired else None
    if both:
        span = f"{both.difference.low:+.4f} … {both.difference.high:+.4f}"
        return f"{both.difference.value:+.4f} ({span}), {t(f'runs.verdict_{both.verdict}')}"
    ours, theirs = row.validation, baseline.validation
    if ours is None or theirs is None or ours.metric != theirs.metric:
        return ""
    return t("runs.untested", value=f"{ours.value - theirs.value:+.4f}")


def settings_text(baseline: RunRow, row: RunRow, most: int = 3) -> str:
    """`train.seed = 1, train.epochs = 2 +4`: the run's values where they are not the baseline's."""
    found = differences(baseline.config, row.config)
    some = [f"{cut_text(name)} = {cut_text(new, 40)}" for name, (_, new) in list(found.items())[:most]]
    return ", ".join(some) + (f" +{len(found) - most}" if len(found) > most else "")


def download(workspace: Workspace, t: Words, kind: str, view: View) -> Drawn:
    """Write a file with the rows as they are filtered and sorted: `csv` for a spreadsheet, or `json`."""
    records = [_record(row) for row in choose_rows(read_rows(workspace.runs), t, view)]
    path = Path(tempfile.mkdtemp(dir=gr.utils.get_upload_folder())) / f"runs.{kind}"
    if kind == "json":
        path.write_text(json.dumps(records, ensure_ascii=False, indent=2) + "\n", "utf-8", "backslashreplace")
        return {"file": str(path)}
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(records[0] if records else [])
    writer.writerows([_cell(value) for value in record.values()] for record in records)
    path.write_text(text.getvalue(), "utf-8-sig", "backslashreplace", newline="")
    return {"file": str(path)}


def _record(row: RunRow) -> dict[str, Any]:
    found: dict[str, Any] = {"run": row.name, "status": row.status}
    for split, measure in (("validation", row.validation), ("test", row.test)):
        for name in ("metric", "value", "low", "high", "n"):
            found[f"{split}_{name}"] = getattr(measure, name) if measure else None
    return found | {
        "public_score": row.public_score,
        "data": row.data,
        "stage": row.stage,
        "questions_per_second": row.speed,
        "changed": datetime.fromtimestamp(row.changed).astimezone().isoformat(timespec="seconds"),
        "config": row.config,
    }


def _cell(value: Any) -> str:
    if value is None or isinstance(value, int | float):
        return "" if value is None else repr(value)
    return cell(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
