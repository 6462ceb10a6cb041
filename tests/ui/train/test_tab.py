"""The Train tab without a browser: the plan before a start, exact commands, what a folder holds, watching a run."""

import json
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.support.jobs import stopped_at_a_step
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, tiny_competition, tiny_parts
from tests.support.workspaces import find_source
from ui.components.form import Form
from ui.components.parts import Drawn
from ui.components.tab import Page
from ui.components.wiring import Wiring
from ui.components.words import Words
from ui.train import tab as train
from ui.train import watch as train_watch
from ui.train.choices import list_runs_to_show
from ui.train.curves import DRAWN, draw_curves, interval, read_curves, thin
from ui.train.plan import (
    QUICK_DEMO,
    check_name,
    find_free_name,
    list_presets,
    make_default_name,
    start_quick_demo,
)
from ui.train.wish import DEFAULTS, Values, about_preset, draw_plan, load_config, save_config, show_preset, start_wish
from ui.workspace.workspace import Workspace
from vqa_core import machine
from vqa_core.config import DataSettings, ModelSettings, TrainSettings, read_config
from vqa_core.data.prepare import prepare
from vqa_core.files import InputError, write_json, write_json_lines
from vqa_core.machine import Free
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.intervals import mean_interval

T, KO = Words("en"), Words("ko")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A page started in a folder with the data `toy` and no runs; what it started is stopped."""
    monkeypatch.chdir(tmp_path)
    tiny_competition(tmp_path / "data" / "toy")
    workspace = Workspace(Path("runs"), Path("data"))
    yield workspace
    for job in workspace.jobs.active():
        workspace.jobs.stop(job.id)
    wait(lambda: not workspace.jobs.active())


def wait(done: Any, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def wish(
    workspace: Workspace,
    form: Form,
    *,
    data: str = "",
    preset: str = DEFAULTS,
    name: str = "a",
    way: str = "",
    **train: Any,
) -> Values:
    """What the form sends."""
    sections = {
        "data": DataSettings(val_fraction=train.pop("val_fraction", 0.05)),
        "model": ModelSettings(),
        "train": TrainSettings(**train),
    }
    return head(data or find_source(workspace, "toy"), preset, name, way) | form.show(sections)


def head(data: str, preset: str, name: str, way: str = "") -> Drawn:
    return {"view": {}, "data": data, "preset": preset, "name": name, "way": way}


def plan(workspace: Workspace, form: Form, values: Values, t: Words = T) -> Drawn:
    return draw_plan(workspace, t, form, values)


def prepared(workspace: Workspace, name: str = "a", val_fraction: float = 0.05) -> RunDir:
    run = RunDir(workspace.runs / name)
    prepare(run, "data/toy", DataSettings(val_fraction=val_fraction))
    return run


def trained(workspace: Workspace, name: str = "a", step: int = 3, steps: int = 9) -> RunDir:
    """A run with a checkpoint, as far as the page looks at it."""
    run = prepared(workspace, name)
    write_json(run.checkpoints / f"checkpoint-{step}" / "trainer_state.json", {"max_steps": steps})
    write_json_lines(run.metrics, [{"step": 1, "loss": 2.0, "learning_rate": 1e-3, "seconds": 2.0}])
    return run


def test_the_tab_is_built_in_both_languages(workspace: Workspace) -> None:
    for t in (T, KO):
        with gr.Blocks(analytics_enabled=False):
            tab = train.build(Page(workspace, t, Wiring(t)))
            for view in ({}, {"run": "../../etc"}, {"run": "가", "preset": "nonsense"}, {"preset": "demo"}):
                assert tab.parts.checked(tab.show(view))


def test_the_command_prepares_and_trains_with_what_differs_from_the_preset(workspace: Workspace, form: Form) -> None:
    wanted = head(find_source(workspace, "toy"), "demo", "가-1")
    values = show_preset(workspace, form, wanted)
    sections = form.read(values)
    assert sections["train"] == TrainSettings(**read_config(list_presets()["demo"])["train"])
    drawn = plan(workspace, form, wanted | values)
    config = shlex.split(drawn["command"].splitlines()[1])
    assert drawn["command"].splitlines()[0] == "python -m train.prepare --data data/toy --run 'runs/가-1' && \\"
    assert config[:5] == ["python", "-m", "train.finetune", "--run", "runs/가-1"]
    assert config[5] == "--config"
    assert Path(config[6]).samefile(list_presets()["demo"])
    assert config[7:] == []

    sections["train"] = TrainSettings(**sections["train"].to_dict() | {"lora_rank": 4, "gradient_checkpointing": True})
    sections["data"] = DataSettings(val_fraction=0.2)
    drawn = plan(workspace, form, wanted | form.show(sections))
    assert "--val-fraction 0.2 &&" in drawn["command"]
    assert drawn["command"].endswith("demo.json --lora-rank 4 --gradient-checkpointing")
    assert drawn["start"].interactive


def test_only_what_is_missing_is_started(workspace: Workspace, form: Form) -> None:
    prepared(workspace)
    drawn = plan(workspace, form, wish(workspace, form, lora_rank=2))
    assert drawn["command"] == "python -m train.finetune --run runs/a --lora-rank 2"
    assert drawn["there"]["title"].startswith("a is already prepared with this data (")


def test_a_trained_run_is_never_written_over_unasked(workspace: Workspace, form: Form) -> None:
    trained(workspace)
    drawn = plan(workspace, form, wish(workspace, form))
    assert drawn["there"]["title"] == (
        "a exists. It was trained with this data (data/toy); its latest checkpoint is at step 3."
    )
    assert [value for _, value in drawn["way"].choices] == ["resume", "restart"]
    assert (drawn["command"], drawn["start"].interactive) == ("", False)
    assert drawn["other_name"].value == "Use the name a-2"
    with pytest.raises(InputError, match="use another name such as a-2"):
        start_wish(workspace, T, form, wish(workspace, form))
    assert not workspace.jobs.list()

    resumed = plan(workspace, form, wish(workspace, form, way="resume", lora_rank=2))
    assert resumed["command"] == "python -m train.finetune --run runs/a --resume"
    again = plan(workspace, form, wish(workspace, form, way="restart", lora_rank=2))
    assert again["command"] == "python -m train.finetune --run runs/a --lora-rank 2 --restart"


def test_a_model_without_checkpoints_is_not_written_over_either(workspace: Workspace, form: Form) -> None:
    prepared(workspace).model.mkdir()
    drawn = plan(workspace, form, wish(workspace, form))
    assert (
        drawn["there"]["title"]
        == "a exists. It holds a model for this data (data/toy), and no checkpoint to resume from."
    )
    assert ([value for _, value in drawn["way"].choices], drawn["command"]) == (["restart"], "")


def test_other_data_are_put_under_an_untrained_run_only_when_asked(workspace: Workspace, form: Form) -> None:
    run = prepared(workspace, val_fraction=0.3)
    drawn = plan(workspace, form, wish(workspace, form))
    assert "other data or another split (data/toy)" in drawn["there"]["title"]
    assert [value for _, value in drawn["way"].choices] == ["anew"]
    assert drawn["command"] == ""
    assert "train.prepare" in plan(workspace, form, wish(workspace, form, way="anew"))["command"]
    run.model.mkdir()
    drawn = plan(workspace, form, wish(workspace, form, way="anew"))
    assert drawn["there"]["title"].endswith("Choose another name.")
    assert (drawn["way"].choices, drawn["command"]) == ([], "")


def test_a_folder_with_files_that_are_no_runs_is_not_free(workspace: Workspace, form: Form) -> None:
    run = RunDir(workspace.runs / "a")
    (run.root / "notes.txt").parent.mkdir(parents=True)
    assert plan(workspace, form, wish(workspace, form))["there"] == {}, "an empty folder is"
    (run.root / "notes.txt").write_text("mine", encoding="utf-8")
    drawn = plan(workspace, form, wish(workspace, form))
    assert "files that no run has written" in drawn["there"]["title"]
    assert ([way for _, way in drawn["way"].choices], drawn["command"]) == (["anew"], "")
    assert "train.prepare" in plan(workspace, form, wish(workspace, form, way="anew"))["command"]
    write_json_lines(run.predictions("test"), [{}])
    assert plan(workspace, form, wish(workspace, form, way="anew"))["there"]["title"].endswith("Choose another name.")


def test_a_run_that_was_deleted_is_not_offered_and_the_quick_demo_is(workspace: Workspace) -> None:
    job = workspace.jobs.start("train", "gone", [("-c", "raise SystemExit(1)")])
    assert ("gone", "gone") in list_runs_to_show(workspace, T, {}) or not workspace.jobs.get(job.id).active
    wait(lambda: not workspace.jobs.active())
    assert list_runs_to_show(workspace, T, {}) == [("New run", "")]
    assert ("gone", "gone") in list_runs_to_show(workspace, T, {"run": "gone"}), "it shows why it was not made"
    workspace.jobs.start("train", "gone", [("-c", "")])
    wait(lambda: not workspace.jobs.active())
    assert list_runs_to_show(workspace, T, {"run": "gone"}) == [("New run", "")]
    drawn = train.draw_head(workspace, T, {"run": "gone"})
    assert drawn["lost"]["title"].startswith("There is no run")
    assert drawn["new"].visible
    assert drawn["empty"].visible
    prepared(workspace)  # not trained
    assert train.draw_head(workspace, T, {})["empty"].visible
    model = RunDir(workspace.runs / "a").model
    write_json(model / "vqa.json", {})
    (model / "trained.safetensors").touch()
    assert not train.draw_head(workspace, T, {})["empty"].visible


def test_a_run_that_a_job_works_on_is_left_alone(workspace: Workspace, form: Form) -> None:
    workspace.jobs.start("train", "a", [("-c", "import time; time.sleep(60)")])
    drawn = plan(workspace, form, wish(workspace, form))
    assert drawn["there"]["title"].startswith("A job is running on a.")
    with pytest.raises(InputError, match="A job is already running on a"):
        start_wish(workspace, T, form, wish(workspace, form))


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", ".page", "-x", "a b", "a\n", "a\0", "", "<b>", "x" * 65])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="can't be the name of a run"):
        check_name(T, name)


@pytest.mark.parametrize("name", ["a", "가나다-2", "1.5_b", "x" * 64])
def test_letters_of_any_script_make_a_name(name: str) -> None:
    assert check_name(T, name) == name


def test_a_free_name_is_nobodys(workspace: Workspace) -> None:
    assert find_free_name(workspace, "a") == "a"
    (workspace.runs / "a").mkdir(parents=True)
    (workspace.runs / "a-2").mkdir()
    assert find_free_name(workspace, "a") == find_free_name(workspace, "a-2") == "a-3"
    assert make_default_name(workspace, "내 data/<b>", "demo") == "내-data-b-demo"


def test_a_wrong_value_is_a_sentence_in_place_and_nothing_can_start(workspace: Workspace, form: Form) -> None:
    for values in (wish(workspace, form, name="a/b"), wish(workspace, form, data="gone")):
        drawn = plan(workspace, form, values)
        assert drawn["there"]["mark"] == "wrong"
        assert (drawn["command"], drawn["start"].interactive) == ("", False)
    values = {**wish(workspace, form), "train.epochs": -1}
    assert "“Epochs” is -1.0; it must be at least 0." in plan(workspace, form, values)["there"]["title"]


def test_estimates_say_what_they_rest_on(workspace: Workspace, form: Form) -> None:
    rows = {row[0]: row[1:] for row in plan(workspace, form, wish(workspace, form))["figures"]["rows"]}
    assert rows["Steps"][0].startswith("about 1 (")
    assert "training questions about 13 images" in rows["Steps"][1]
    assert "GB" in rows["Memory"][0]
    assert "157 M parameters, 554 k trainable" in rows["Memory"][1]
    assert " to " in rows["Time"][0]
    assert "this machine multiplies matrices at " in rows["Time"][1]
    assert "20% to 100%" in rows["Time"][1]
    rows = {row[0]: row[1:] for row in plan(workspace, form, wish(workspace, form, data="easy-vqa"))["figures"]["rows"]}
    assert rows["Steps"][1].startswith("Batches planned for 36,"), "of the package, before it is written"


@pytest.mark.parametrize(
    ("gpu", "known", "basis"),
    [
        ("NVIDIA H200", True, "the datasheet of NVIDIA H200 says 989 TFLOP/s"),
        (
            "NVIDIA RTX A4000",
            False,
            "No run here has trained such a model yet; the time appears after the first steps.",
        ),
    ],
)
def test_the_time_on_a_gpu_is_reckoned_where_its_speed_is_known(
    gpu: str, known: bool, basis: str, workspace: Workspace, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "free_memory", lambda: Free(1 << 36, gpu))
    rows = {row[0]: row[1:] for row in plan(workspace, form, wish(workspace, form))["figures"]["rows"]}
    assert (rows["Time"][0] != "unknown") is known
    assert basis in rows["Time"][1]


def test_data_without_the_columns_named_are_not_started_on_and_korean_says_why(
    workspace: Workspace, form: Form
) -> None:
    values = {**wish(workspace, form), "data.question_column": "text"}
    drawn = plan(workspace, form, values, KO)
    assert (drawn["command"], drawn["start"].interactive) == ("", False)
    title = drawn["there"]["title"]
    assert "'text'" in title
    assert "열" in title
    assert "has no column" not in title
    with pytest.raises(InputError, match="'text'"):
        start_wish(workspace, T, form, values)
    assert not workspace.jobs.list()


def test_a_config_comes_back_from_its_file(workspace: Workspace, form: Form) -> None:
    values = wish(workspace, form, lora_rank=3, lora_targets=("q_proj",), learning_rate=1e-5)
    file = save_config(form, "a", values)
    assert load_config(T, form, file) == {name: values[name] for name in form.parts}
    settings = TrainSettings(**read_config(Path(file))["train"])
    assert (settings.lora_targets, settings.learning_rate) == (("q_proj",), 1e-5)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"train": {"lerning_rate": 1}}', "no setting 'lerning_rate'. Did you mean 'learning_rate'"),
        ('{"trian": {}}', "odd.json: 'trian' is not a section"),
        ('{"train": {"epochs": NaN}}', "must be a number"),
        ('{"train": {"epochs": "<b>"}}', "takes float, not '<b>'"),
        ("{", "odd.json is not valid JSON"),
        ("[" * 100_000, "odd.json is too deeply nested"),
        (
            '{"train": {"trust_remote_code": ["some/model"]}}',
            "odd.json sets --trust-remote-code, which lets a model run its own Python code",
        ),
    ],
)
def test_a_file_that_is_no_config_is_a_sentence_without_the_servers_paths(
    form: Form, tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "odd.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_config(T, form, str(file))
    assert says in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_every_preset_says_in_both_languages_what_it_is_for() -> None:
    for name in (*list_presets(), DEFAULTS):
        assert about_preset(T, name)
        assert about_preset(KO, name) not in ("", about_preset(T, name))
    assert about_preset(T, "no_run") == ""
    assert QUICK_DEMO[0] in list_presets()


def test_the_quick_demo_takes_easy_vqa_and_a_free_name(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(type(workspace.jobs), "start", lambda _, *args: started.append(args))
    (workspace.runs / "quick-demo").mkdir(parents=True)
    assert start_quick_demo(workspace, T) == "quick-demo-2"
    ((kind, run, (preparing, training)),) = started
    assert (kind, run) == ("train", "quick-demo-2")
    assert preparing[:6] == ("-m", "train.prepare", "--data", "easy-vqa", "--run", "runs/quick-demo-2")
    assert training[training.index("--max-steps") + 1] == "30"


def draw_watch(workspace: Workspace, name: str, known: str = "") -> Drawn:
    return train_watch.draw_run(workspace, T, name, train_watch.last_job(workspace, name), known)


@pytest.mark.slow(seconds=25)
def test_a_training_is_started_watched_stopped_and_resumed_to_its_end(
    workspace: Workspace, form: Form, tmp_path: Path
) -> None:
    tower, language = tiny_parts(tmp_path / "parts")
    model = ModelSettings(**TINY_MODEL | {"vision_tower": str(tower), "language_model": str(language)})
    settings = TrainSettings(
        **TINY_TRAIN | {"max_steps": 100, "eval_every": 0, "eval_questions": 4, "save_every": 1000}
    )
    shown = form.show({"data": DataSettings(val_fraction=0.2), "model": model, "train": settings})
    name = start_wish(workspace, T, form, head(find_source(workspace, "toy"), DEFAULTS, "가") | shown)
    assert train_watch.find_watched(workspace, {"run": name}) == "가"
    run = RunDir(workspace.runs / name)
    (job,) = workspace.jobs.active(run=name)
    command = stopped_at_a_step(workspace.jobs, job)
    watch = draw_watch(workspace, name)
    assert watch["timer"].active
    assert not watch["resume"].visible
    assert watch["loss"]["points"][0][0] == 1
    assert watch["onward"] == {"links": []}

    workspace.jobs.stop(job.id)
    command.send(signal.SIGCONT)
    wait(lambda: not workspace.jobs.active(run=name))
    watch = draw_watch(workspace, name)
    step = read_curves(run).last_step
    assert watch["resume"].visible
    assert watch["resume"].value == f"Resume at step {step} of 100"

    write_json(run.checkpoints / f"checkpoint-{step}" / "x.json", {})  # not in the manifest, so it changes nothing
    train_watch.resume(workspace, T, {"run": name})
    assert workspace.jobs.list()[0].commands == (("-m", "train.finetune", "--run", "runs/가", "--resume"),)
    wait(lambda: not workspace.jobs.active(run=name))
    assert workspace.jobs.list()[0].status == "done", workspace.jobs.log_tail(workspace.jobs.list()[0].id)
    watch = draw_watch(workspace, name)
    assert [point[0] for point in watch["loss"]["points"]] == list(range(1, 101))
    assert not watch["resume"].visible
    assert [link["view"]["tab"] for link in watch["onward"]["links"]] == ["predict", "ask"]
    with pytest.raises(InputError, match="nothing to resume"):
        train_watch.resume(workspace, T, {"run": name})
    same = draw_watch(workspace, name, watch["stamp"])
    assert same["loss"] == gr.skip()


def test_a_run_that_was_trained_in_a_terminal_is_shown_too(workspace: Workspace) -> None:
    trained(workspace)
    watch = draw_watch(workspace, "a")
    assert watch["standing"]["title"] == "a is being trained outside this page"
    assert watch["timer"].active
    assert watch["loss"]["x_max"] == 9


def test_a_prepared_run_is_about_to_be_trained_under_its_name_with_its_data(workspace: Workspace) -> None:
    prepared(workspace)
    assert train_watch.find_watched(workspace, {"run": "a"}) == ""
    drawn = train.draw_head(workspace, T, {"run": "a"})
    assert drawn["data"]["value"] == find_source(workspace, "toy")
    assert drawn["name"] == "a"


def test_a_run_that_is_not_there_is_said_to_be_missing(workspace: Workspace) -> None:
    drawn = train.draw_head(workspace, T, {"run": "gone", "preset": "../x"})
    assert drawn["run"].value == ""
    assert drawn["lost"]["title"].startswith("There is no run “gone”.")
    assert drawn["empty"].visible  # nor is there any other: the quick demo is offered
    with pytest.raises(InputError):
        train_watch.resume(workspace, T, {"run": "../gone"})


def test_thousands_of_points_are_thinned_without_losing_a_spike() -> None:
    points = [(step, 1.0) for step in range(10_000)]
    points[5_003] = (5_003, 99.0)
    points[7_777] = (7_777, -3.0)
    kept = thin(points)
    assert len(kept) <= DRAWN
    assert (5_003, 99.0) in kept
    assert (7_777, -3.0) in kept
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert [step for step, _ in kept] == sorted(step for step, _ in kept)
    assert thin(points[:DRAWN]) == points[:DRAWN]


def test_metrics_are_read_as_far_as_they_make_sense(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    lines = [
        '{"step": 1, "loss": 2.5, "learning_rate": 0.001, "seconds": 3}',
        '{"step": 2, "loss": NaN, "learning_rate": 0.002, "seconds": 4}',
        '{"step": "<b>", "loss": 1}', "[]", "nonsense",
        '{"step": 2, "eval_accuracy": 0.5, "eval_questions": 100, "seconds": 9}',
        '{"step": 3, "loss": 2.0, "learni',
    ]  # fmt: skip
    run.metrics.write_text("\n".join(lines), encoding="utf-8")
    curves = read_curves(run)
    assert curves.loss == ((1, 2.5),)
    assert curves.rate == ((1, 0.001), (2, 0.002))
    assert (curves.accuracy, curves.questions, curves.lost) == (((2, 0.5),), (100,), (2,))
    drawn = draw_curves(T, curves, 10)
    accuracy = drawn["accuracy"]
    assert "not finite: 1, first at step 2" in drawn["loss"]["note"]
    assert accuracy["note"].startswith("Best: 50.0% at step 2 (n = 100; 95% interval 40.4% to 59.6%")
    assert accuracy["y_max"] == 1
    json.dumps(drawn, allow_nan=False)


def test_the_interval_of_an_accuracy_is_nearly_that_of_questions_drawn_anew() -> None:
    low, high = interval(0.7, 200)
    drawn_anew = mean_interval([1.0] * 140 + [0.0] * 60, range(200))
    assert (low, high) == pytest.approx((drawn_anew.low, drawn_anew.high), abs=0.015)
    assert interval(0.5, 0) == (0.0, 1.0)
    assert 0 <= interval(0.0, 3)[0] < interval(0.0, 3)[1] < 1
