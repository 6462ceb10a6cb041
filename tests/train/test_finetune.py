"""Training as processes: killed, stopped, damaged, shared among several; the weights at its end are always the same."""

import importlib.util
import json
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.processes import TIMEOUT_S, command, forked, run_forked
from tests.support.tiny import losses, tiny_run
from tests.support.trainings import assert_same_training, at_step, end, run_in_two, start_two, training_flags, when
from train import finetune as finetune_command
from vqa_core.files import InputError, read_json, read_json_lines
from vqa_core.runs.checkpoints import problem_with
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

STEPS = 30


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return training_flags(tmp_path_factory.mktemp("parts"), max_steps=STEPS)


@pytest.fixture(scope="module")
def undisturbed(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The run that all others are held against, trained by the command as a person gives it."""
    run = tiny_run(tmp_path_factory.mktemp("undisturbed"))
    done = command("train.finetune", "--run", run.root, *arguments)
    assert done.returncode == 0, done.stderr
    assert f"Wrote {run.model}" in done.stderr
    return run


def test_metrics_tell_every_step_once_and_every_validation(undisturbed: RunDir) -> None:
    rows = list(read_json_lines(undisturbed.metrics))
    assert list(losses(undisturbed)) == list(range(1, STEPS + 1))
    validated = [row for row in rows if "eval_accuracy" in row]
    assert [row["step"] for row in validated] == [8, 16, 24, STEPS]
    assert all(0 <= row["eval_accuracy"] <= 1 and row["eval_questions"] == 9 for row in validated)
    assert set(rows[0]) == {"step", "epoch", "loss", "grad_norm", "learning_rate", "seconds"}
    assert losses(undisturbed)[STEPS] < losses(undisturbed)[1]


@pytest.mark.parametrize("attempt", range(2))
def test_killed_twice_and_resumed_it_ends_with_the_same_weights(
    attempt: int, arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run, output = tiny_run(tmp_path), tmp_path / "output"
    first, second = random.randrange(2, 12), random.randrange(12, 20)
    process = forked("train.finetune", "--run", run.root, *arguments, output=output)
    when(at_step(run, first), process)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    process = forked("train.finetune", "--run", run.root, "--resume", output=output)
    when(at_step(run, second), process)
    if attempt:  # in the middle of a checkpoint
        when(lambda: any(run.checkpoints.glob(".writing-*")) or at_step(run, STEPS - 6)(), process)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    assert run_forked("train.finetune", "--run", run.root, "--resume", output=output) == 0, output.read_text()
    assert_same_training(run, undisturbed)
    assert not list(run.checkpoints.glob(".writing-*"))


def test_sigterm_saves_and_exits_with_a_sentence_and_a_damaged_checkpoint_is_passed_over(
    arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run, output, kept = tiny_run(tmp_path), tmp_path / "output", tmp_path / "kept"
    process = forked("train.finetune", "--run", run.root, *arguments, output=output)
    when(at_step(run, 4), process)
    assert end(process, signal.SIGTERM) == 143
    (earlier,) = run.checkpoints.iterdir()
    stopped = int(earlier.name.removeprefix("checkpoint-"))
    assert f"Stopped at step {stopped} of {STEPS}. Give the same command with --resume" in output.read_text()
    assert not run.model.exists()

    shutil.copytree(earlier, kept / earlier.name)
    process = forked("train.finetune", "--run", run.root, "--resume", output=output)
    when(at_step(run, stopped + 3), process)
    assert end(process, signal.SIGTERM) == 143
    shutil.copytree(kept, run.checkpoints, dirs_exist_ok=True)
    later = max(run.checkpoints.iterdir(), key=lambda path: int(path.name.removeprefix("checkpoint-")))
    assert later.name != earlier.name
    weights = later / "trained.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    assert run_forked("train.finetune", "--run", run.root, "--resume", output=output) == 0, output.read_text()
    said = output.read_text()
    assert f"Skipping {later}: trained.safetensors is not what was written." in said
    assert f"Going on from {earlier}." in said
    assert_same_training(run, undisturbed)


def test_resuming_a_finished_training_leaves_it_as_it_is(undisturbed: RunDir, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    shutil.copytree(undisturbed.root, run.root)
    shutil.rmtree(run.model)  # as if killed just before the end
    assert run_forked("train.finetune", "--run", run.root, "--resume", output=tmp_path / "output") == 0
    assert_same_training(run, undisturbed)


def test_resume_auto_starts_where_there_is_nothing_to_go_on_from_and_later_goes_on(
    arguments: list[str], undisturbed: RunDir, tmp_path: Path
) -> None:
    run, output = tiny_run(tmp_path), tmp_path / "output"
    given = ["--run", run.root, *arguments, "--resume", "auto"]
    process = forked("train.finetune", *given, output=output)
    when(at_step(run, 5), process)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    assert run_forked("train.finetune", *given, output=output) == 0, output.read_text()  # the same command
    assert "There is no checkpoint to go on from; starting at step 0." in output.read_text()
    assert "Going on from" in output.read_text()
    assert_same_training(run, undisturbed)


def test_a_new_schedule_starts_from_a_checkpoint_with_its_parts_and_with_resume_auto_from_it_once(
    undisturbed: RunDir, tmp_path: Path
) -> None:
    run, output = tiny_run(tmp_path), tmp_path / "output"
    checkpoint = undisturbed.checkpoints / f"checkpoint-{STEPS}"
    given = ["--run", run.root, "--init-from", checkpoint, "--resume", "auto", "--max-steps", 3, "--learning-rate", 0]
    given += ["--precision", "fp32"]
    for _ in range(2):
        assert run_forked("train.finetune", *given, output=output) == 0, output.read_text()
    before, after = (load_file(folder / "trained.safetensors") for folder in (checkpoint, run.model))
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    described, theirs = (read_json(each.model / "vqa.json") for each in (run, undisturbed))
    assert (described["model"], described["stage"]) == (theirs["model"], theirs["stage"])


def test_earlier_checkpoints_are_neither_overwritten_nor_taken_up_unasked(
    arguments: list[str], undisturbed: RunDir
) -> None:
    with pytest.raises(InputError, match="Add --resume to go on from the newest, --restart to throw them away"):
        finetune_command.main(["--run", str(undisturbed.root), *arguments])
    with pytest.raises(InputError, match="exclude each other"):
        finetune_command.main(["--run", str(undisturbed.root), "--resume", "--restart"])


def test_restarting_begins_anew(undisturbed: RunDir, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    shutil.copytree(undisturbed.root, run.root)
    args = ["--run", run.root, "--restart", "--config", run.config, "--max-steps", 2]
    assert run_forked("train.finetune", *args, output=tmp_path / "output") == 0
    assert list(losses(run)) == [1, 2]
    assert [path.name for path in run.checkpoints.iterdir()] == ["checkpoint-2"]
    assert losses(run)[1] == losses(undisturbed)[1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--stage", "algin"], "Did you mean 'align'?"),
        (["--projector", "mpl2x_gelu"], "--projector 'mpl2x_gelu' is not known"),
        (["--attention", "flash_attention_2"], "--attention flash_attention_2 can't run packed rows"),
        (["--load-in", "4bit"], "--load-in 4bit needs a CUDA device, and there is none here"),
        (["--load-in", "4bit", "--stage", "full"], "--stage full trains the language model, which --load-in 4bit"),
        (["--trust-remote-code", "org/x"], "--trust-remote-code names 'org/x', which is no part here"),
        (["--lora-targets", "query"], "--lora-targets 'query' is no linear layer"),
        (["--vision-tower", "/no/such"], "The vision tower '/no/such' can't be loaded"),
        (["--parallel", "fsdp2"], "--parallel fsdp2 spreads the model over processes"),
        (["--max-steps", "0", "--epochs", "0"], "There is nothing to train"),
        (["--text-token-budget", "8"], "Raise --text-token-budget"),
    ],
)
def test_what_can_not_be_trained_is_refused_in_a_sentence(
    wrong: list[str], said: str, arguments: list[str], tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    with pytest.raises(InputError) as error:
        finetune_command.main(["--run", str(run.root), *arguments, *wrong])
    assert said in str(error.value)
    assert not run.model.exists()


def test_a_typo_in_a_flag_or_a_run_that_is_not_there_is_an_error(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        finetune_command.main(["--run", str(tmp_path), "--batch-question", "5"])
    with pytest.raises(InputError, match="is not a run"):
        finetune_command.main(["--run", str(tmp_path), *arguments])


def test_wandb_works_offline_without_a_key_and_trackio_that_is_not_installed_is_left_out(
    arguments: list[str], tmp_path: Path
) -> None:
    short = [*arguments, "--max-steps", "3"]
    run, output = tiny_run(tmp_path / "wandb"), tmp_path / "output"
    assert run_forked("train.finetune", "--run", run.root, *short, "--report-to", "wandb", output=output) == 0
    assert "failed" not in output.read_text()
    (log,) = (run.root / "wandb").glob("offline-run-*/run-*.wandb")
    assert log.stat().st_size > 1000
    assert b"eval_accuracy" in log.read_bytes()

    run, output = tiny_run(tmp_path / "trackio"), tmp_path / "output-of-trackio"
    assert run_forked("train.finetune", "--run", run.root, *short, "--report-to", "trackio", output=output) == 0
    if importlib.util.find_spec("trackio") is None:
        assert "trackio failed (No module named 'trackio')" in output.read_text()
    assert len(losses(run)) == 3


@pytest.fixture(scope="module")
def accumulated(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """What two processes are held against: one with twice the batches a step. No dropout: it differs by process."""
    folder = tmp_path_factory.mktemp("accumulated")
    run = tiny_run(folder)
    args = ["--run", run.root, *arguments, "--lora-dropout", 0, "--accumulate", 2, "--max-steps", 5]
    assert run_forked("train.finetune", *args, output=folder / "output") == 0
    return run


def assert_close_training(run: RunDir, expected: RunDir) -> None:
    assert losses(run) == pytest.approx(losses(expected), rel=1e-5)
    ours, theirs = (load_file(each.model / "trained.safetensors") for each in (run, expected))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-5)


def test_two_processes_under_torchrun_train_as_one_does(
    arguments: list[str], accumulated: RunDir, tmp_path: Path
) -> None:
    run = tiny_run(tmp_path)
    args = ["--run", run.root, *arguments, "--lora-dropout", 0, "--max-steps", 5]
    done = command("torch.distributed.run", "--nproc_per_node", 2, "-m", "--", "train.finetune", *args)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Training: ") == 1  # the second process is silent
    assert_close_training(run, accumulated)


def test_of_two_processes_one_that_is_told_to_stop_stops_both(arguments: list[str], tmp_path: Path) -> None:
    run, output = tiny_run(tmp_path), tmp_path / "output"
    first, second = start_two(["--run", run.root, *arguments, "--max-steps", 1000], output)
    when(at_step(run, 3), second)
    assert end(second, signal.SIGTERM) == 143, output.read_text()
    first.join(TIMEOUT_S)
    assert first.exitcode == 143
    (stopped,) = run.checkpoints.iterdir()
    assert {f"rng_state_{rank}.pth" for rank in range(2)} <= {path.name for path in stopped.iterdir()}
    assert problem_with(stopped) is None


def test_fsdp2_trains_as_one_process_does_and_its_checkpoints_are_whole(
    arguments: list[str], accumulated: RunDir, tmp_path: Path
) -> None:
    run, output = tiny_run(tmp_path), tmp_path / "output"
    args = ["--run", run.root, *arguments, "--lora-dropout", 0, "--max-steps", 5, "--parallel", "fsdp2"]
    run_in_two(args, output)
    assert_close_training(run, accumulated)
    shapes = [
        {name: tensor.shape for name, tensor in load_file(folder / "checkpoint-5" / "trained.safetensors").items()}
        for folder in (run.checkpoints, accumulated.checkpoints)
    ]
    assert shapes[0] == shapes[1]
    described = [read_json(each.model / "vqa.json") for each in (run, accumulated)]
    assert json.dumps(described[0]["validation"]) == json.dumps(described[1]["validation"])

    longer, single = ["--resume", "--max-steps", 8], tmp_path / "single"
    shutil.copytree(accumulated.root, single)
    run_in_two(["--run", run.root, *longer], output)
    assert run_forked("train.finetune", "--run", single, *longer, output=tmp_path / "output-of-one") == 0
    assert_close_training(run, RunDir(single))
