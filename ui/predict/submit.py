"""The submission of a run: what the doctor says of it, and the button that writes and downloads it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from ui.components.parts import Drawn, Parts
from ui.components.sentences import translate
from ui.components.tab import Page, View, change_view
from ui.components.widgets import facts
from ui.components.words import Words
from ui.jobs.jobs import format_command
from ui.predict.commands import choose_run_and_split, last_job
from ui.predict.past import past_section
from vqa_core import ROOT
from vqa_core.commands import shell_word
from vqa_core.files import InputError, read_json, sha256_of, stamp_of, write_atomically
from vqa_core.runs.predictions import read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.watching import count_lines
from vqa_core.submission.card import card_path
from vqa_core.submission.history import KeptSubmission, keep_submission, writing
from vqa_core.submission.submission import submission_of

PATIENCE_S = 600.0  # the card has the hash of every file of the model
AT_ONCE = 2  # commands that write a submission, over all runs
_WRITING = threading.BoundedSemaphore(AT_ONCE)
CLICK = "() => { document.querySelector('#predict-file').click(); }"


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the tab: `draw(view)` draws each of `parts`."""

    parts: Parts
    draw: Callable[[View], Drawn]


def submit_section(page: Page, picked: Parts) -> Section:
    """Draw and wire the section; `picked` are the components of the view, the run and the split."""
    t, workspace = page.t, page.workspace
    file = gr.DownloadButton(visible="hidden", elem_id="predict-file")
    chosen = gr.Textbox(visible="hidden", elem_id="predict-chosen")
    own = Parts()
    with own.add("submit", gr.Column(visible=False, elem_id="predict-submit")):
        gr.Markdown(f"## {t('submit.title')}")
        own.add("ready", gr.Markdown(elem_id="predict-ready"))
        own.add("findings", facts("predict-findings", t("submit.findings")))
        own.add("download", gr.Button(t("submit.download"), variant="primary", elem_id="predict-download"))
        own.add("anyway", gr.Button(visible=False, elem_id="predict-anyway"))
        own.add("written", facts("predict-written", t("submit.written")))
        with gr.Accordion(t("submit.by_hand"), open=False):
            by_hand = gr.Textbox(
                show_label=False, label=t("submit.by_hand"), buttons=["copy"], lines=1, elem_classes=["wb-mono"]
            )
            own.add("by_hand", by_hand)
        past = past_section(page, picked | Parts(chosen=chosen))
    parts = own | past.parts

    def draw(view: View) -> Drawn:
        name, split = choose_run_and_split(workspace, view)
        if split != "test" or name not in workspace.run_names():
            return parts.unchanged() | {"submit": gr.Column(visible=False)}
        job = last_job(workspace, name, split)
        active = job is not None and job.active
        return {"submit": gr.Column(visible=True)} | draw_own(name, active=active) | past.draw(name, view)

    def draw_own(name: str, *, active: bool) -> Drawn:
        run = workspace.run(name)
        failed = 0 if active else count_left_empty(run)
        by_hand = format_command(build_submit_command(run, allow_failed=failed > 0))
        return {
            **(_draw_verdict(t, t("submit.coming")) if active else draw_ready(t, run)),
            "anyway": gr.Button(t("submit.anyway", failed=f"{failed:,}"), visible=failed > 0),
            "written": _written(t, run),
            "by_hand": by_hand,
        }

    def download(allow_failed: bool, view: View, name: str) -> Drawn:
        kept = write_submission(workspace.run(name), allow_failed=allow_failed)
        view = change_view(view, run=name, split="test", submission=kept.id, **{"with": ""})
        return {"file": offer_file(kept.path), "view": view} | draw(view)

    outputs = Parts(file=file) | picked.only("view") | parts
    for button, allow_failed in (("download", False), ("anyway", True)):
        handler = partial(download, allow_failed)
        clicked = page.wire(
            own[button].click, handler, [picked["view"], picked["run"]], outputs, show_progress="minimal"
        )
        page.wire(clicked.success, None, None, None, js=CLICK)
    return Section(parts, draw)


def build_submit_command(run: RunDir, *, allow_failed: bool = False) -> tuple[str, ...]:
    return ("-m", "eval.submit", "--run", str(run.root), *(["--allow-failed"] if allow_failed else []))


def write_submission(run: RunDir, *, allow_failed: bool = False) -> KeptSubmission:
    """Run the command that writes submission.csv, wait for it, and return the submission as it is kept.

    Raises InputError with the command's own sentence where it refuses, where others are writing, or after PATIENCE_S.
    """
    if not _WRITING.acquire(blocking=False):
        raise InputError("other submissions are being written. Try again in a moment.")
    try:
        done = _run_command(run, build_submit_command(run, allow_failed=allow_failed))
        if done.returncode == 2 and done.stderr.startswith("error: "):
            raise InputError(done.stderr.removeprefix("error: ").strip())
        if done.returncode:
            raise RuntimeError(f"eval.submit ended with {done.returncode}: {done.stderr[-2000:]}")
        with writing(run):
            return keep_submission(run, run.submission)
    finally:
        _WRITING.release()


def _run_command(run: RunDir, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    try:
        return subprocess.run(
            [sys.executable, *command],
            env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"writing the submission of {run.name!r} took longer than {PATIENCE_S:.0f} seconds and was stopped. "
            f"Write it in a terminal: `python -m eval.submit --run {shell_word(run.root)}`."
        ) from None


def offer_file(path: Path) -> str:
    """A copy called submission.csv in Gradio's own folder, which is the only one it serves files from."""
    copy = Path(get_upload_folder()) / "submissions" / path.stem / "submission.csv"
    write_atomically(copy, path.read_bytes())  # another may be downloading the same one
    return str(copy)


def draw_ready(t: Words, run: RunDir) -> Drawn:
    """Whether the run's answers make a submission, what the doctor says of it, and the button."""
    done, total = count_lines(run.predictions("test")), count_lines(run.test)
    if done < total:
        return _draw_verdict(t, t("submit.missing", missing=f"{total - done:,}", total=f"{total:,}"))
    try:
        rows, findings = check_submission(run)
    except InputError as error:
        return _draw_verdict(t, t("submit.refused"), [str(error)])
    text = t("submit.odd" if findings else "submit.sound", rows=f"{rows:,}", findings=len(findings))
    return _draw_verdict(t, text, findings, ready=True)


def _draw_verdict(t: Words, text: str, findings: Sequence[str] = (), *, ready: bool = False) -> Drawn:
    return {
        "ready": text,
        "findings": {"rows": [[translate(finding, t)] for finding in findings]},
        "download": gr.Button(interactive=ready),
    }


def count_left_empty(run: RunDir) -> int:
    """The number of failed questions that a submission would leave empty; 0 if it would be refused anyway."""
    try:
        predictions = read_predictions(run.predictions("test"))
        failed = sum(item.status not in ("ok", "empty") and not item.answer for item in predictions.values())
        if failed:
            submission_of(run, run.data_root(), predictions, allow_failed=True)
    except InputError:
        return 0
    return failed


def check_submission(run: RunDir) -> tuple[int, list[str]]:
    """Rows of the submission that the run's answers make, and what the doctor says; nothing is written.

    Raises InputError where they make none.
    """
    data = run.data_root()
    files = (data / "sample_submission.csv", run.predictions("test"), run.train, run.val)
    rows, findings = _checked(run, data, tuple(stamp_of(file) for file in files))
    return rows, list(findings)


@lru_cache(maxsize=8)
def _checked(run: RunDir, data: Path, _stamps: tuple[tuple[int, int], ...]) -> tuple[int, tuple[str, ...]]:
    submission, findings = submission_of(run, data, read_predictions(run.predictions("test")))
    return len(submission.rows), tuple(findings)


def _written(t: Words, run: RunDir) -> dict[str, Any]:
    """The run's submission.csv: its rows, its hash and its time."""
    card = card_path(run.submission)
    if not (run.submission.is_file() and card.is_file()):
        return {"rows": []}
    try:
        content = read_json(card)
        count, created = str(content["submission"]["rows"]), str(content["created"])
    except (InputError, KeyError, TypeError):
        count = created = "–"
    rows = [[t("submit.rows"), count], [t("submit.sha256"), sha256_of(run.submission)], [t("submit.created"), created]]
    return {"head": [t("submit.written"), ""], "rows": rows}
