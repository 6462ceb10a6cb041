"""The Runs tab by its handlers: any view draws, texts stay texts, numbers come with what they are worth."""

import csv
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.support.run_files import DATASET, SCORE, TRAIN, answer, made, questions
from ui.components.tab import Page
from ui.components.wiring import Wiring
from ui.components.words import LANGUAGES, Words
from ui.jobs.jobs import Job
from ui.runs import tab as runs
from ui.runs.details import draw_details, status_text
from ui.workspace.workspace import Workspace
from vqa_core.analysis.run_table import RunRow, pinned, read_rows
from vqa_core.files import InputError, write_json
from vqa_core.progress import Progress

KO, EN = Words("ko"), Words("en")
PAYLOAD = "<img src=x onerror=alert(1)>[x](javascript:alert(2))"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "runs", tmp_path / "data")


@pytest.fixture
def three(workspace: Workspace) -> Workspace:
    for name, stage in (("first", "lora"), ("second", "full"), ("third", "lora")):
        made(workspace.runs / name, train=TRAIN | {"stage": stage})
    write_json(workspace.runs / "second" / "score.json", {"val": SCORE})
    return workspace


def drawn(workspace: Workspace, t: Words = EN, **view: str) -> dict[str, Any]:
    return runs.draw(workspace, t, view)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("t", [EN, KO], ids=LANGUAGES)
def test_without_runs_the_next_step_is_a_button(workspace: Workspace, t: Words) -> None:
    page = drawn(workspace, t)
    assert page["none"].visible
    assert not page["some"].visible


@pytest.mark.parametrize(
    "view",
    [
        {},
        {"run": "nobody"},
        {"run": "../first", "sort": "9", "q": "zzz", "page": "-1"},
        {"run": "\x00", "q": "(", "sort": "score"},
        {"run": "first", "q": " FIRST lora ", "sort": "name"},
    ],
)
def test_any_view_draws(three: Workspace, view: dict[str, str]) -> None:
    page = drawn(three, KO, **view)
    assert page["details"].visible == (view.get("run") == "first")
    assert page["sort"] in runs.SORTS
    assert all(len(row) == len(page["table"]["head"]) for row in page["table"]["rows"])


def test_a_view_draws_every_part_of_the_tab(three: Workspace) -> None:
    with gr.Blocks(analytics_enabled=False):
        tab = runs.build(Page(three, EN, Wiring(EN)))
    for view in ({}, {"run": "first"}):
        assert tab.parts.checked(tab.show(view))
    assert tab.name == "runs"


def test_rows_are_found_by_every_word_and_ordered(three: Workspace) -> None:
    def names(**view: str) -> list[str]:
        return drawn(three, **view)["table"]["keys"]

    assert names(sort="name") == ["first", "second", "third"]
    assert names(sort="score")[0] == "second"
    assert names(q="lora", sort="name") == ["first", "third"]
    assert names(q="lora thi") == ["third"]
    assert names(q="scored") == ["second"]
    assert names(q="nothing like it") == []
    assert drawn(three, q="lora")["count"] == "2 of 3 runs"


def test_moving_gives_the_view_and_all_but_what_is_being_typed(three: Workspace) -> None:
    moved = runs.move(three, EN, {"q": "lora", "run": "first"}, run="third", sort=None)
    assert moved["view"] == {"q": "lora", "run": "third"}
    assert moved.keys() - {"view"} == runs.draw(three, EN, moved["view"]).keys() - {"search", "sort"}
    assert moved["table"]["keys"] == drawn(three, q="lora")["table"]["keys"]
    assert runs.toggle_pin(three, EN, moved["view"]).keys() == moved.keys()


def test_a_score_comes_with_interval_and_n(three: Workspace) -> None:
    row = next(row for row in read_rows(three.runs) if row.name == "second")
    assert runs.measure_text(EN, row.validation) == "0.5000 (0.4000–0.6000), n 40"
    assert runs.measure_text(EN, None) == ""


def test_a_pinned_baseline_gets_differences_and_claims_none_that_was_not_tested(three: Workspace) -> None:
    write_json(three.runs / "third" / "score.json", {"val": SCORE})
    assert runs.toggle_pin(three, EN, {"run": "second"})["view"] == {"run": "second"}
    assert pinned(three.runs) == "second"
    page = drawn(three, run="third")
    rows = dict(zip(page["table"]["keys"], page["table"]["rows"]))
    assert rows["second"][0] == "★ second"
    assert "+0.0000, not tested" in rows["third"]
    assert rows["third"][-1] == "train.stage = lora"
    assert page["settings"]["rows"] == [["train.stage", "full", "lora"]]
    assert page["paired"]["empty"] == EN("runs.not_paired")
    runs.toggle_pin(three, EN, {"run": "second"})
    assert pinned(three.runs) == ""


def test_answers_to_the_same_questions_are_compared_in_pairs(three: Workspace) -> None:
    good, bad = three.run("first"), three.run("third")
    answer(good, questions(60, 20), set(range(60)))
    answer(bad, questions(60, 20), set(range(0, 60, 2)))
    runs.toggle_pin(three, EN, {"run": "third"})
    page = drawn(three, run="first")
    told = dict(zip(page["table"]["keys"], page["table"]["rows"]))["first"][3]
    assert told.startswith("+0.5000 (+0.")
    assert told.endswith("better")
    cells = list(texts(page["paired"]["rows"]))
    assert "30 / 0" in cells
    assert "n 60" in cells
    worse = drawn(three, run="third")
    assert worse["settings"]["empty"] == EN("runs.is_baseline")


def test_pinning_nobody_is_a_sentence(three: Workspace) -> None:
    with pytest.raises(InputError, match="there is no run ''"):
        runs.toggle_pin(three, EN, {})


def test_hostile_texts_reach_widgets_as_they_are_and_markdown_never(workspace: Workspace) -> None:
    name = PAYLOAD.replace("/", "")
    run = made(workspace.runs / name, train={"stage": PAYLOAD, PAYLOAD: PAYLOAD})
    run.score.write_text(PAYLOAD, encoding="utf-8")
    run.log.write_bytes(PAYLOAD.encode() + b"\xff\n")
    runs.toggle_pin(workspace, EN, {"run": name})
    page = drawn(workspace, run=name, q=PAYLOAD[:4])
    assert page["table"]["keys"] == [name]
    assert page["log"].startswith(PAYLOAD)
    assert json.loads(page["config"])["train"][PAYLOAD] == PAYLOAD
    assert "alert" not in page["count"]
    assert page["table"]["rows"][0][1].endswith("⚠")
    assert any(PAYLOAD.replace("/", "") in text for text in texts(page["facts"]))


def test_half_characters_and_endless_texts_can_be_sent_to_a_browser(workspace: Workspace) -> None:
    """JSON may hold them, and one run that does may not keep the others from being shown."""
    half, endless = chr(0xD800), "x" * 500_000
    config = {"dataset": DATASET | {"source": half}, "train": {half: half, "stage": endless}}
    for name in "ab":
        made(workspace.runs / name)
    (workspace.runs / "a" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    runs.toggle_pin(workspace, EN, {"run": "b"})
    for view in ({"run": "a"}, {"run": "b"}):
        told = "".join(texts(runs.draw(workspace, EN, view)))
        assert told.encode("utf-8")
        assert len(told) < 300_000
    for kind in ("csv", "json"):
        assert Path(runs.download(workspace, EN, kind, {})["file"]).read_text(encoding="utf-8-sig")


def test_an_active_job_is_the_status_and_keeps_the_timer_on(three: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(done=34, total=100, unit="steps", rate=None, eta_s=None, text="")
    job = Job("1", "train", "first", (), 0.0, "running", progress=progress)
    row = RunRow("first", "prepared")
    assert status_text(EN, row, job) == "training, 34%"
    assert status_text(KO, row, Job("1", "predict", "first", (), 0.0, "queued")) == "대기 중 (예측 중)"
    assert status_text(KO, row, Job("1", "demo", "first", (), 0.0, "running", progress=progress)) == "데모 실행 중, 34%"
    assert not drawn(three)["timer"].active
    monkeypatch.setattr(type(three.jobs), "list", lambda _: [job])
    page = drawn(three, run="first")
    assert page["timer"].active
    assert ["Status", "training, 34%"] in page["facts"]["rows"]
    ticked = runs.tick(three, EN, {"run": "first"})
    assert ticked["table"] == page["table"]
    assert ticked["facts"] == page["facts"]


def test_a_job_s_ill_end_is_told_until_the_run_s_files_or_another_job_are_newer(
    three: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = RunRow("first", "partly trained", changed=1000.0)
    ends = {"failed": "Training failed", "crashed": "Training crashed", "stopped": "Training stopped"}
    for status, told in ends.items():
        job = Job("1", "train", "first", (), 900.0, status, ended=1000.0)
        assert status_text(EN, row, job) == f"partly trained · {told}"
        assert status_text(EN, row, replace(job, ended=900.0)) == "partly trained"
    assert status_text(KO, row, job) == "일부 학습됨 · 학습 중지됨"
    now = time.time()
    jobs = [Job("1", "train", "first", (), now, "failed", ended=now)]
    monkeypatch.setattr(type(three.jobs), "list", lambda _: jobs)
    page = drawn(three, run="first")
    assert any("Training failed" in text for text in texts(page["table"]))
    assert any("Training failed" in text for text in texts(page["facts"]))
    assert not page["timer"].active
    jobs.insert(0, Job("2", "train", "first", (), now, "done", ended=now))
    assert not any("failed" in text for text in texts(drawn(three)["table"]))


def test_a_run_that_goes_while_it_is_shown_is_no_error(three: Workspace) -> None:
    (three.runs / "first" / "config.json").unlink()
    assert not drawn(three, run="first")["details"].visible
    ticked = runs.tick(three, EN, {"run": "first"})
    assert (ticked["facts"], ticked["log"]) == ({}, "")


def test_the_table_is_saved_as_data_and_for_a_spreadsheet(
    three: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    (tmp_path / "files").mkdir()
    made(three.runs / "=cmd|calc", dataset=DATASET | {"source": "-1+1"})
    view = {"sort": "name"}
    plain = runs.download(three, EN, "json", view)["file"]
    rows = json.loads(Path(plain).read_text(encoding="utf-8"))
    assert [row["run"] for row in rows] == ["=cmd|calc", "first", "second", "third"]
    assert rows[2]["validation_value"] == 0.5
    sheet = runs.download(three, EN, "csv", view)["file"]
    data = Path(sheet).read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    cells = list(csv.DictReader(data.decode("utf-8-sig").splitlines()))
    assert (cells[0]["run"], cells[0]["data"]) == ("'=cmd|calc", "'-1+1")
    assert cells[2]["validation_low"] == "0.4"
    empty = runs.download(three, EN, "csv", {"q": "nothing like it"})["file"]
    assert Path(empty).read_bytes() == b"\xef\xbb\xbf\r\n"


def test_details_of_a_bare_run(workspace: Workspace) -> None:
    run = made(workspace.runs / "bare")
    row = read_rows(workspace.runs)[0]
    shown = draw_details(workspace, KO, row, [row], "", None)
    assert shown["card"] == KO("runs.no_card")
    assert shown["log"] == ""
    assert [link["view"]["run"] for link in shown["links"]["links"]] == ["bare"] * 4
    assert str(run.root) in list(texts(shown["facts"]))
