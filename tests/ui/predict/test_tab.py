"""Predict and submit, its handlers called as the page calls them, on real runs of a part of easy-VQA."""

import json
import os
import shutil
import time
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from eval import submit as submit_command
from tests.support.processes import TIMEOUT_S
from tests.support.workspaces import answered_run, easy_competition
from ui.components.tab import Page, View
from ui.components.wiring import Wiring
from ui.components.words import Words
from ui.jobs.jobs import Job
from ui.predict import commands as predicting
from ui.predict import newest, past, submit
from ui.predict import tab as predict
from ui.workspace.workspace import Workspace
from vqa_core.config import PredictSettings
from vqa_core.files import InputError, write_json
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.history import list_submissions, set_public_score, writing

T = Words("en")
Draw = Callable[[View], dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data` and a run `mine`, answered, scored and submitted; its model is none that could be loaded."""
    folder = tmp_path_factory.mktemp("made")
    data = easy_competition(folder / "data", 12, 4)
    run = answered_run(folder / "runs" / "mine", data)
    for file in run.submissions.iterdir():  # written long ago
        file.rename(file.with_name("20250101T000000Z-" + file.name.partition("-")[2]))
    write_json(run.model / "vqa.json", {})
    (run.model / "trained.safetensors").touch()
    run.write_section("predict", PredictSettings(max_new_tokens=8).to_dict())
    return folder


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made / "runs", tmp_path / "runs")
    return Workspace(tmp_path / "runs", tmp_path / "none")


@pytest.fixture
def run(workspace: Workspace) -> RunDir:
    return workspace.run("mine")


def drawing(workspace: Workspace, language: str = "en") -> Draw:
    """What the tab shows for a view, by part."""
    t = Words(language)
    with gr.Blocks(analytics_enabled=False):
        tab = predict.build(Page(workspace, t, Wiring(t)))

    return lambda view: tab.parts.checked(tab.show(view))


def job(status: str, run: str = "mine", split: str = "test") -> Job:
    return Job("20260101-000000-000000", "predict", run, (("-m", "eval.predict", "--split", split),), 1.0, status)


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(
    "view",
    [
        {},
        {"run": "../mine", "split": "train"},
        {"run": "<b>", "split": "<b>", "submission": "../x", "with": "y"},
        {"run": "mine", "split": "val"},
        {"run": "mine", "split": "test", "submission": "20260101T000000Z-00000000", "with": "<script>"},
    ],
)
def test_any_address_draws_a_run(workspace: Workspace, view: View, language: str) -> None:
    shown = drawing(workspace, language)(view)
    assert shown["run"].value == "mine"
    assert shown["split"].value == ("val" if view.get("split") == "val" else "test")
    assert shown["work"].visible is True
    assert shown["empty"].visible is False


def test_without_a_run_one_button_starts_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "runs", tmp_path / "data")
    shown = drawing(workspace)({"run": "gone"})
    assert shown["empty"].visible is True
    assert shown["demo"].visible is True
    assert shown["work"].visible is False
    assert shown["submit"].visible is False
    assert shown["train"] == {"links": [{"text": T("predict.to_train_own"), "view": {"tab": "train"}}]}
    started: list[Any] = []
    monkeypatch.setattr(workspace.jobs, "start", lambda *given: started.append(given))
    assert predicting.start_demo(workspace) == {"run": "demo", "split": "test"}
    (kind, name, commands), *_ = started
    assert (kind, name) == ("demo", "demo")
    assert [given[1] for given in commands] == ["train.prepare", "eval.predict", "eval.score", "eval.submit"]
    assert "demo/model" in commands[1]


def test_a_run_without_a_model_leads_to_training_it(workspace: Workspace, run: RunDir) -> None:
    shutil.rmtree(run.model)
    shown = drawing(workspace)({"run": "mine"})
    assert shown["empty"].visible is True
    assert shown["demo"].visible is False
    assert shown["train"]["links"][0]["view"] == {"tab": "train", "run": "mine"}
    with pytest.raises(InputError, match="no trained model"):
        predicting.start_prediction(workspace, "mine", "test", PredictSettings())


def test_what_is_shown_is_what_is_started_and_keeps_the_runs_settings(
    workspace: Workspace, run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = drawing(workspace)({"run": "mine", "split": "val"})["command"]
    place = f"--run {run.root} --split val"
    expected = [f"python -m eval.predict {place} --max-new-tokens 8", f"python -m eval.score {place}"]
    assert shown.replace(" \\\n", " ").split(" && ") == expected
    drawn = predict.draw_command(workspace, T, "mine", "val", 32, "train", True)
    text, button = drawn["command"], drawn["start"]
    assert "--answers train --batch-questions 32 --max-new-tokens 8 --restart" in text
    assert (button.value, button.interactive) == (T("predict.start"), True)
    started: list[Any] = []
    monkeypatch.setattr(workspace.jobs, "start", lambda *given: started.append(given))
    settings = predict.settings_of_form(run, 32, "train")
    predicting.start_prediction(workspace, "mine", "val", settings, restart=True)
    assert text == predict._shown(started[0][2])
    assert started[0][:2] == ("predict", "mine")


def test_test_questions_are_scored_where_the_dataset_has_their_answers(run: RunDir, made: Path) -> None:
    commands = predicting.build_prediction_commands(run, "test", PredictSettings())
    assert commands[1][-2:] == ("--answers", str(made / "data" / "solution.csv"))
    run.write_section("dataset", {"root": str(run.root)})
    assert len(predicting.build_prediction_commands(run, "test", PredictSettings())) == 1


@pytest.mark.parametrize("batch", [None, 0, 1.5, -3])
def test_a_batch_that_can_not_be_is_refused(run: RunDir, batch: float | None) -> None:
    with pytest.raises(InputError, match="--batch-questions"):
        predict.settings_of_form(run, batch, "open")


def test_the_button_says_what_it_would_do(workspace: Workspace, run: RunDir) -> None:
    def button(restart: bool = False) -> tuple[Any, Any]:
        drawn = predict.draw_command(workspace, T, "mine", "test", 128, "open", restart)["start"]
        return drawn.value, drawn.interactive

    assert button() == (T("predict.score"), True)
    assert button(restart=True) == (T("predict.start"), True)
    path = run.predictions("test")
    path.write_bytes(path.read_bytes()[:300])
    assert button() == (T("predict.go_on"), True)
    path.unlink()
    assert button() == (T("predict.start"), True)


def test_while_a_job_runs_the_page_looks_each_second_and_starts_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job("running")]
    monkeypatch.setattr(workspace.jobs, "list", lambda: jobs)
    monkeypatch.setattr(workspace.jobs, "log_tail", lambda *_: "")
    draw = drawing(workspace)
    shown = draw({"run": "mine", "split": "test"})
    assert predict.is_live(workspace, {"run": "mine", "split": "test"})
    assert shown["start"].interactive is False
    assert shown["job"].visible is True
    assert shown["score"] == {"rows": []}
    assert not predict.is_live(workspace, {"run": "mine", "split": "val"})
    jobs[:] = [job("done")]
    shown = draw({"run": "mine", "split": "test"})
    assert not predict.is_live(workspace, {"run": "mine", "split": "test"})
    assert shown["start"].interactive is True
    assert shown["job"].visible is False
    assert len(shown["score"]["rows"]) == 2


def test_a_command_that_somebody_typed_is_followed_too(workspace: Workspace, run: RunDir) -> None:
    view = {"run": "mine", "split": "test"}
    path = run.predictions("test")
    path.write_bytes(path.read_bytes()[:300])
    assert predict.is_live(workspace, view)
    long_ago = time.time() - 2 * predict.STILL_WRITTEN_S
    os.utime(path, (long_ago, long_ago))
    assert not predict.is_live(workspace, view)


def test_the_score_stands_beside_the_baseline_with_n_and_interval(workspace: Workspace, run: RunDir) -> None:
    score = drawing(workspace)({"run": "mine", "split": "val"})["score"]
    n = len(run.examples("val"))
    assert f"n = {n}" in score["title"]
    model, baseline = score["rows"]
    assert model["low"] <= model["share"] <= model["high"]
    assert baseline["label"] == T("predict.baseline")
    write_json(run.score, {"val": {"metric": "exact", "overall": "nonsense", "baseline": None}})
    assert drawing(workspace)({"run": "mine", "split": "val"})["score"] == {"rows": []}


def test_the_newest_answers_come_first_one_a_picture_with_right_and_wrong(workspace: Workspace, run: RunDir) -> None:
    examples = run.examples("val")
    path = run.predictions("val")
    path.unlink()
    with PredictionLog.open(path) as log:
        for example in examples[:-1]:
            log.append([Prediction(example.question_id, str(example.answer), "", 0.5)])
        log.append([Prediction(examples[-1].question_id, "<b>x</b>", "", None)])
    cells = newest.list_newest(workspace, T, run, "val")
    assert (cells[0]["key"], cells[0]["note"], cells[0]["mark"]) == (examples[-1].question_id, "<b>x</b>", "wrong")
    assert all(cell["mark"] == "right" and "50.0%" in cell["note"] for cell in cells[1:])
    assert len({cell["src"] for cell in cells}) == len(cells) > 1
    chosen = newest.find_picture(workspace, T, run, "val", examples[-1].question_id)
    assert T("predict.right_answer", answer=examples[-1].answer) in chosen["caption"]
    assert newest.find_picture(workspace, T, run, "val", "../x") == {}


def test_what_is_downloaded_is_what_the_command_writes(
    workspace: Workspace,
    run: RunDir,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    submit_command.main(["--run", str(run.root), "--out", str(tmp_path / "by-hand.csv")])
    drawn = submit.draw_ready(T, run)
    warnings = [
        line.removeprefix("warning: ") for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")
    ]
    assert [row[0] for row in drawn["findings"]["rows"]] == warnings
    assert drawn["download"].interactive is True
    kept = submit.write_submission(run)
    file = Path(submit.offer_file(kept.path))
    assert file.name == "submission.csv"
    assert file.is_relative_to(tmp_path / "gradio")
    assert file.read_bytes() == (tmp_path / "by-hand.csv").read_bytes() == run.submission.read_bytes()
    facts = drawing(workspace)({"run": "mine"})["written"]["rows"]
    assert facts[0][1] == str(len(run.examples("test")))
    assert facts[1][1].startswith(kept.id.rpartition("-")[2])


@pytest.mark.slow
def test_two_who_download_at_once_get_the_same_bytes_one_after_the_other(run: RunDir) -> None:
    run.submission.unlink()
    with ThreadPool(2) as pool:
        with writing(run):  # a third, in a terminal
            coming = pool.map_async(submit.write_submission, [run, run])
            coming.wait(6)  # a command takes 3 s
            assert not coming.ready()
            assert not run.submission.exists()
            with pytest.raises(InputError, match="Try again in a moment"):
                submit.write_submission(run)
        first, second = coming.get(TIMEOUT_S)
    assert first == second
    assert first.path.read_bytes() == run.submission.read_bytes()


def test_a_submission_that_takes_too_long_is_told_in_a_sentence(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PATIENCE_S", 0.01)
    with pytest.raises(InputError, match=r"`python -m eval\.submit --run .*mine`"):
        submit.write_submission(run)


def test_missing_answers_are_counted_and_nothing_is_written(run: RunDir) -> None:
    path = run.predictions("test")
    before = run.submission.read_bytes()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    drawn = submit.draw_ready(T, run)
    assert drawn["ready"].startswith("Not ready: 2 of ")
    assert drawn["download"].interactive is False
    with pytest.raises(InputError, match=r"2 of the .* ids .* have no prediction"):
        submit.write_submission(run)
    assert run.submission.read_bytes() == before


def test_answers_to_other_questions_are_refused_in_the_commands_words(run: RunDir) -> None:
    with PredictionLog.open(run.predictions("test")) as log:
        log.append([Prediction("<i>other</i>", "yes", "yes", 1.0)])
    drawn = submit.draw_ready(T, run)
    assert (drawn["ready"], drawn["download"].interactive) == (T("submit.refused"), False)
    assert "<i>other</i>" in drawn["findings"]["rows"][0][0]


def test_failed_questions_can_be_submitted_empty_by_a_button_that_counts_them(
    workspace: Workspace, run: RunDir
) -> None:
    assert drawing(workspace)({"run": "mine"})["anyway"].visible is False
    path = run.predictions("test")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[:2] = [row | {"answer": "", "generated": "", "status": "bad_image"} for row in rows[:2]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = drawing(workspace)({"run": "mine"})
    assert shown["download"].interactive is False
    assert shown["anyway"].visible is True
    assert shown["anyway"].value == T("submit.anyway", failed=2)
    with pytest.raises(InputError, match="2 questions failed"):
        submit.write_submission(run)
    kept = submit.write_submission(run, allow_failed=True)
    assert [line for line in kept.path.read_text().splitlines() if line.endswith(",")] == [
        f"{row['question_id']}," for row in rows[:2]
    ]


def test_two_submissions_are_set_against_each_other(workspace: Workspace, run: RunDir) -> None:
    (first,) = list_submissions(run)
    path = run.predictions("test")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    flip = {"yes": "no", "no": "yes"}
    rows = [row | {"answer": flip.get(row["answer"], row["answer"])} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.write_section("predict", {"answers": "train"})
    second = submit.write_submission(run)
    set_public_score(run, first.id, "0.500")
    shown = drawing(workspace)({"run": "mine"})
    table = shown["past"]
    assert table["keys"] == [second.id, first.id]
    assert [row[3] for row in table["rows"]] == ["–", "0.500"]
    flipped = sum(row["answer"] in flip for row in rows)
    assert shown["changed"].startswith(f"{flipped} of {len(rows)} answers changed")
    moves = {row["label"]: int(row["text"]) for row in shown["transitions"]["rows"]}
    assert moves.keys() == {"no → yes", "yes → no"}
    assert sum(moves.values()) == flipped
    assert all(0 < row["share"] <= 1 for row in shown["types"]["rows"])
    assert ["predict.answers", "–", "train"] in shown["settings"]["rows"]
    older = drawing(workspace)({"run": "mine", "submission": first.id})
    assert older["public"] == "0.500"
    assert older["changed"] == ""
    named = drawing(workspace)({"run": "mine", "submission": first.id, "with": second.id})
    assert named["changed"] == shown["changed"]
    assert ["predict.answers", "train", "–"] in named["settings"]["rows"]


def test_a_past_that_can_not_be_read_or_compared_is_said_and_the_tab_stays(workspace: Workspace, run: RunDir) -> None:
    (first,) = list_submissions(run)
    shutil.copyfile(first.path, first.path.with_name("20990101T000000Z-00000000.csv"))
    run.test.write_text("")
    shown = drawing(workspace)({"run": "mine"})
    assert "prepared again" in shown["settings"]["rows"][0][0]
    first.path.with_suffix(".card.json").write_text("[")
    shown = drawing(workspace)({"run": "mine"})
    assert "is not valid JSON" in shown["past"]["rows"][0][0]
    assert shown["one"].visible is False


@pytest.mark.parametrize("text", ['{"dataset": {}}', '{"dataset": null}', "[1]", '"x"', "null"])
def test_a_damaged_config_and_a_file_named_by_no_date_leave_the_tab(
    workspace: Workspace, run: RunDir, text: str
) -> None:
    run.config.write_text(text)
    (kept,) = list_submissions(run)
    shutil.copyfile(kept.path, kept.path.with_name("20209901T000000Z-00000000.csv"))
    for split in ("val", "test"):
        shown = drawing(workspace, "ko")({"run": "mine", "split": split})
        assert shown["run"].value == "mine"
    assert shown["past"]["keys"] == [kept.id]
    assert "손상" in shown["findings"]["rows"][0][0]


def test_a_long_list_says_how_many_are_left() -> None:
    rows = [{"label": str(n), "share": 1.0, "text": ""} for n in range(past.MOST + 3)]
    assert past._first(T, rows)[-1]["label"] == T("submit.more", more=3)
    assert len(past._first(T, rows)) == past.MOST + 1
