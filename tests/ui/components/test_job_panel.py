"""The panel of a job: every state in words, in both languages."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from ui.components.job_panel import draw_job, duration, facts, job_panel, kill_job, stop_job
from ui.components.tab import Page
from ui.components.wiring import Wiring
from ui.components.words import FOLDER, LANGUAGES, Words
from ui.jobs.jobs import Job, Jobs
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError, write_json, write_json_lines
from vqa_core.progress import Progress
from vqa_core.runs.run_dir import RunDir

EN, KO = (Words(language) for language in LANGUAGES)
RUNNING = Job(
    id="20260101-000000-000000",
    kind="train",
    run="<b>내 런</b>",
    commands=(("-m", "train.finetune", "--run", "runs/a"),),
    created=0.0,
    status="running",
    started=100.0,
    progress=Progress(50, 200, "steps", 1.5, 100.0, "step 50 of 200: ..."),
)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path / "jobs")
    yield made
    for job in made.active():
        made.stop(job.id)


def test_a_running_job_says_how_far_how_fast_and_how_long(jobs: Jobs) -> None:
    drawn = facts(jobs, EN, replace(RUNNING, started=time.time() - 62))
    assert drawn["title"] == "Training · <b>내 런</b>: running for 1 min 2 s"
    assert drawn["share"] == 0.25
    assert drawn["text"] == "50 of 200 steps · 1.5 steps/s · about 1 min 40 s left"
    assert "close this page" in drawn["note"]
    assert "1분 40초 남음" in facts(jobs, KO, RUNNING)["text"]


def test_of_several_commands_it_says_which(jobs: Jobs) -> None:
    job = replace(RUNNING, commands=RUNNING.commands * 3, at=1, progress=None)
    assert facts(jobs, EN, job)["text"] == "command 2 of 3"
    assert facts(jobs, EN, job)["share"] is None, "a bar without a length: it has told of no progress yet"


@pytest.mark.parametrize(
    ("changes", "title", "mark"),
    [
        ({"status": "done", "ended": RUNNING.started}, "finished in 0 s", "right"),
        ({"status": "failed", "exit_code": 2}, "failed with exit code 2", "wrong"),
        ({"status": "failed", "exit_code": -9}, "killed by SIGKILL", "wrong"),
        ({"status": "failed", "exit_code": -99}, "killed by -99", "wrong"),
        ({"status": "crashed"}, "crashed", "wrong"),
        ({"status": "stopping"}, "stopping: finishing this step, then saving", ""),
        ({"status": "stopping", "commands": (("-m", "train.prepare", "--run", "runs/a"),)}, "stopping", ""),
        ({"status": "stopped", "ended": RUNNING.started}, "stopped after 0 s", ""),
        ({"status": "stopped", "ended": RUNNING.started, "killed": True, "exit_code": -9}, "killed after 0 s", ""),
        ({"status": "stopped", "started": None}, "stopped before it started", ""),
        ({"status": "queued", "started": None, "progress": None}, "queued", ""),
    ],
)
def test_every_end_has_its_words(jobs: Jobs, changes: dict[str, Any], title: str, mark: str) -> None:
    drawn = facts(jobs, EN, replace(RUNNING, **changes))
    assert drawn["title"].endswith(f": {title}")
    assert drawn["mark"] == mark
    assert ("share" in drawn) == (changes["status"] == "stopping"), "a bar only where something moves"
    for value in facts(jobs, KO, replace(RUNNING, **changes)).values():
        assert not isinstance(value, str) or re.search("[가-힣]", value) or value in ("", "right", "wrong")


def test_a_waiting_job_names_those_before_it(jobs: Jobs) -> None:
    first, second, third = (jobs.start("train", run, [("-c", "import time; time.sleep(60)")]) for run in "abc")
    assert facts(jobs, EN, jobs.get(third.id))["note"].endswith("Ahead of this one: Training · a, Training · b")
    assert "share" not in facts(jobs, EN, jobs.get(third.id))
    assert first.id < second.id < third.id


def test_the_stop_button_is_there_while_there_is_something_to_stop(jobs: Jobs) -> None:
    job = jobs.start("train", "a", [("-c", "import time; time.sleep(60)")])
    drawn = draw_job(jobs, EN, job)
    button = drawn["job_stop"]
    assert (drawn["job_id"], drawn["job"].visible, button.visible, button.interactive) == (job.id, True, True, True)
    assert drawn["job_commands"] == "python -c 'import time; time.sleep(60)'"
    button = stop_job(jobs, EN, job.id)["job_stop"]
    assert not (button.visible and button.interactive)
    while jobs.get(job.id).active:
        time.sleep(0.02)
    assert not draw_job(jobs, EN, jobs.get(job.id))["job_stop"].visible
    for ask in (stop_job, kill_job):
        with pytest.raises(InputError):
            ask(jobs, EN, "nonsense")


def test_a_job_that_is_stopping_can_be_killed(jobs: Jobs) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    job = jobs.start("train", "a", [("-c", code)])
    while "deaf" not in jobs.log_tail(job.id).splitlines():
        time.sleep(0.02)
    assert not draw_job(jobs, EN, jobs.get(job.id))["job_kill"].visible
    drawn = stop_job(jobs, EN, job.id)
    assert drawn["job_kill"].visible
    assert "Kill now" in drawn["job_status"]["note"]
    kill_job(jobs, EN, job.id)
    while jobs.get(job.id).active:
        time.sleep(0.02)
    drawn = draw_job(jobs, EN, jobs.get(job.id))
    assert "killed after" in drawn["job_status"]["title"]
    assert not drawn["job_kill"].visible


ENDS: list[dict[str, Any]] = [
    {"status": "stopped", "exit_code": 0},
    {"status": "stopped", "exit_code": -9, "killed": True},
    {"status": "failed", "exit_code": -9},
    {"status": "crashed"},
]


@pytest.mark.parametrize("changes", ENDS)
def test_what_is_saved_is_read_from_the_files_of_the_run(jobs: Jobs, tmp_path: Path, changes: dict[str, Any]) -> None:
    run = RunDir(tmp_path / "runs" / "a")
    job = replace(RUNNING, ended=200.0, cwd=str(tmp_path), **changes)

    def note(t: Words, **other: Any) -> str:
        return str(facts(jobs, t, replace(job, **other))["note"])

    assert note(EN).endswith("Nothing is saved: there is no checkpoint yet, so a new start begins at the first step.")
    assert "저장된 것이 없습니다" in note(KO)
    (run.checkpoints / ".writing-9").mkdir(parents=True)
    write_json(run.checkpoints / "checkpoint-1040" / "trainer_state.json", {"max_steps": 2000})
    assert note(EN).endswith("Saved: the checkpoint of step 1,040 of 2,000, from which a resumed training goes on.")
    assert "1,040/2,000" in note(KO)
    predicting = (("-m", "eval.predict", "--run", "runs/a", "--split", "val"),)
    assert note(EN, commands=predicting).endswith("Nothing is saved: no question is answered yet.")
    write_json_lines(run.predictions("val"), [{}, {}])
    write_json_lines(run.val, [{}, {}, {}])
    assert "Saved: the answers to 2 of 3 questions." in note(EN, commands=predicting)
    assert "질문 3개 중 2개" in note(KO, commands=predicting)
    preparing = (("-m", "train.prepare", "--run", "runs/a"), *RUNNING.commands)
    assert note(EN, commands=preparing).endswith("Nothing is saved: this command writes its results at its end.")
    assert "checkpoint of step 1,040" in note(EN, commands=preparing, at=1)


def test_a_failure_while_it_was_stopping_is_told(jobs: Jobs) -> None:
    job = jobs.start("train", "a", [("-c", "import sys; print('error: no room'); sys.exit(2)")])
    while (job := jobs.get(job.id)).active:
        time.sleep(0.02)
    note = facts(jobs, EN, replace(job, status="stopped"))["note"]
    assert note.startswith("no room")
    assert note.endswith("writes its results at its end.")
    assert "end of the log" in facts(jobs, EN, replace(job, status="stopped", exit_code=1))["note"]


def test_a_failure_opens_the_log(jobs: Jobs) -> None:
    job = jobs.start("train", "a", [("-c", "raise ValueError('왜냐하면')")])
    while jobs.get(job.id).active:
        time.sleep(0.02)
    drawn = draw_job(jobs, KO, jobs.get(job.id))
    assert drawn["job_log_box"].open
    assert drawn["job_log"].endswith("ValueError: 왜냐하면")


def test_no_job_is_nothing(jobs: Jobs) -> None:
    drawn = draw_job(jobs, EN, None)
    assert (drawn["job_id"], drawn["job"].visible, drawn["job_status"]) == ("", False, {})


def test_a_panel_draws_each_of_its_parts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    with gr.Blocks(analytics_enabled=False) as blocks:
        panel = job_panel(Page(workspace, EN, Wiring(EN)), "train")
    job = workspace.jobs.start("train", "a", [("-c", "pass")])
    assert panel.parts.checked(panel.draw(None)).keys() == panel.parts.checked(panel.draw(job)).keys()
    assert [event.api_visibility for event in blocks.fns.values()] == ["private", "private"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (2700, "45 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(EN, seconds) == text


def test_a_kind_and_a_unit_without_words_are_shown_as_they_are(jobs: Jobs) -> None:
    told = Progress(1, 2, "parsecs", 0.04, None, "")
    drawn = facts(jobs, EN, replace(RUNNING, kind="bench", run="", progress=told))
    assert drawn["title"].startswith("bench: ")
    assert drawn["text"] == "1 of 2 parsecs · 0.04 parsecs/s"


def test_both_languages_take_the_same_values() -> None:
    for texts in json.loads((FOLDER / "jobs.json").read_text(encoding="utf-8")).values():
        named = {language: set(re.findall(r"{(\w+)}", texts[language])) for language in LANGUAGES}
        assert named["en"] == named["ko"]


def test_an_expected_error_is_in_the_note_in_the_readers_language(jobs: Jobs) -> None:
    said = "runs/a has no questions of the split 'val': val.jsonl is missing. "
    said += "Write it with `python -m train.prepare --data DIR --run runs/a`."
    job = jobs.start("train", "a", [("-c", f"import sys; print('error: an old one'); sys.exit({'error: ' + said!r})")])
    while (job := jobs.get(job.id)).active:
        time.sleep(0.05)
    assert "end of the log" in facts(jobs, EN, job)["note"], "an unexpected one is in the log only"
    job = replace(job, exit_code=2)
    assert facts(jobs, EN, job)["note"] == said
    note = facts(jobs, KO, job)["note"]
    assert "runs/a" in note
    assert "is missing" not in note
