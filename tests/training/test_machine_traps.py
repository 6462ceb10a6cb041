"""The machine as it is: variables of a cluster, several GPUs, a small /dev/shm, workers that die, no home."""

import errno
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from eval.predict import main as predict
from tests.support.processes import TIMEOUT_S, environment
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, tiny_parts, tiny_run, tiny_vlm
from train.finetune import main as finetune_command
from vqa_core import places, processes
from vqa_core.commands import run_command
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.model import vlm as models
from vqa_core.model.hub.inputs import HubPicture
from vqa_core.model.packing import Prefix
from vqa_core.runs.checkpoints import steps_below
from vqa_core.runs.run_dir import RunDir
from vqa_core.training import arguments as trainer_args
from vqa_core.training.arguments import trainer_arguments
from vqa_core.training.feed import transport
from vqa_core.training.feed.deaths import death_of_worker
from vqa_core.training.finetune import Outcome, finetune
from vqa_core.training.task import TrainingTask

slow = pytest.mark.slow
GROUP = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
KNOWN = [*processes.NUMBERS, "MASTER_ADDR", *processes.OTHER_LAUNCHERS]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KNOWN:
        monkeypatch.setenv(name, "")  # so that it is put back, whatever the code takes out
        monkeypatch.delenv(name)


def train(run: RunDir, *, resume: bool = False, **settings: Any) -> Outcome:
    chosen = TrainSettings(**TINY_TRAIN | {"max_steps": 6, "eval_every": 0} | settings)
    return finetune(TrainingTask.of_run(run, ModelSettings(), chosen, resume=resume), tiny_vlm())


# -- variables of a cluster --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two' in the environment, which is not a number"),
        ({"WORLD_SIZE": "2.0"}, "WORLD_SIZE is '2.0'"),
        ({"RANK": "r1"}, "RANK is 'r1'"),
        ({"LOCAL_RANK": "$SLURM_LOCALID"}, "LOCAL_RANK is '\\$SLURM_LOCALID'"),
        (GROUP | {"MASTER_PORT": "http"}, "MASTER_PORT is 'http'"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is 0 in the environment, and there is at least one process"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE is -1"),
        ({"WORLD_SIZE": "4"}, "without RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT, so 4 processes"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "without MASTER_ADDR, MASTER_PORT"),
        ({**GROUP, "MASTER_ADDR": ""}, "without MASTER_ADDR,"),
        ({**GROUP, "LOCAL_RANK": ""}, "without LOCAL_RANK,"),
        ({**GROUP, "MASTER_PORT": "0"}, "MASTER_PORT is 0"),
        ({**GROUP, "MASTER_PORT": "70000"}, "MASTER_PORT is 70000"),
        ({**GROUP, "RANK": "2"}, "RANK is 2 in the environment, and WORLD_SIZE is 2: ranks go from 0 to 1"),
        ({**GROUP, "RANK": "-1"}, "RANK is -1"),
        ({"WORLD_SIZE": "1", "RANK": "3"}, "RANK is 3 in the environment, and WORLD_SIZE is 1"),
        ({"RANK": "3"}, "RANK is 3 in the environment, and WORLD_SIZE is not set"),
        ({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "3"}, "LOCAL_RANK is 3 in the environment"),
        ({**GROUP, "LOCAL_WORLD_SIZE": "1"}, "LOCAL_RANK is 1 in the environment, and a machine has 1"),
        ({**GROUP, "LOCAL_WORLD_SIZE": "8"}, "LOCAL_WORLD_SIZE is 8 in the environment, and WORLD_SIZE is 2"),
        ({**GROUP, "LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE is 0"),
        ({"PMI_SIZE": "4"}, "PMI_SIZE is 4 in the environment: mpirun or srun has started 4 processes"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "RANK": "0"}, "OMPI_COMM_WORLD_SIZE is 2"),
        ({"SLURM_STEP_NUM_TASKS": "3"}, "SLURM_STEP_NUM_TASKS is 3 in the environment: srun has started 3"),
    ],
    ids=str,
)
def test_variables_that_do_not_fit_are_a_sentence_before_anything_is_written(
    given: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=said) as raised:
        finetune_command(["--run", str(tmp_path / "run")])
    assert "torchrun --nproc_per_node" in str(raised.value)
    assert "nset " in str(raised.value)
    assert not (tmp_path / "run").exists()
    assert processes.process_count() in (1, 2)  # and nobody who only asks gets a traceback
    assert processes.local_rank() >= 0
    assert processes.local_count() >= 1
    processes.is_first_process()


@pytest.mark.parametrize(
    "given",
    [
        {}, {"WORLD_SIZE": ""}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"},
        {"RANK": "0"}, {"LOCAL_RANK": "-1"}, {"LOCAL_RANK": "0"}, {"WORLD_SIZE": "1", "MASTER_ADDR": "node1"},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, {"SLURM_STEP_NUM_TASKS": "1", "PMI_SIZE": "1"},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_cluster_sets_for_one_process_is_taken_away_and_it_trains_alone(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    processes.check_processes()
    assert (processes.process_count(), processes.is_first_process(), processes.local_rank()) == (1, True, 0)
    assert not {"WORLD_SIZE", "RANK", "LOCAL_RANK", "PMI_SIZE"} & os.environ.keys()


def test_a_whole_group_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (GROUP | {"LOCAL_WORLD_SIZE": "2", "PMI_SIZE": "2"}).items():
        monkeypatch.setenv(name, value)
    processes.check_processes()
    assert (processes.process_count(), processes.is_first_process(), processes.local_rank()) == (2, False, 1)


@slow
@pytest.mark.parametrize("left", [{"WORLD_SIZE": "2", "RANK": "3"}, {"WORLD_SIZE": "x"}, {"RANK": "1"}], ids=str)
def test_what_is_left_in_a_shell_is_no_matter_to_commands_that_run_alone(
    left: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(tmp_path)
    train(run)
    tower, language_model = tiny_parts(tmp_path)
    from tests.support.trained import write_model

    write_model(run.model, tmp_path)
    del tower, language_model
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    predict(["--run", str(run.root), "--precision", "fp32", "--max-new-tokens", "2"])
    assert run.predictions("test").is_file()
    assert "questions" in capsys.readouterr().err  # and it says what it does


# -- several GPUs ------------------------------------------------------------------------------------------------------


def test_of_two_gpus_one_process_uses_one_and_says_how_to_use_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(trainer_args, "best_device", lambda: torch.device("meta"))
    with caplog.at_level(logging.INFO, logger="vqa"):
        arguments = trainer_arguments(RunDir(tmp_path), TrainSettings(), 3, validates=False)
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 1)
    assert "2 GPUs, and one process uses one of them" in caplog.text
    assert "torchrun --nproc_per_node 2 -m -- train.finetune" in caplog.text


@slow
def test_with_two_gpus_a_training_is_the_same_as_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tiny_run(tmp_path / "1"), tiny_run(tmp_path / "2")
    train(one)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(trainer_args, "best_device", lambda: torch.device("meta"))
    train(two)
    ours, theirs = (load_file(run.model / "trained.safetensors") for run in (two, one))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_more_processes_than_gpus_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in GROUP.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"LOCAL_RANK is 1, but this machine has 1 GPU, .*--nproc_per_node 1"):
        models.best_device()
    monkeypatch.delenv("MASTER_ADDR")
    assert models.best_device().index == 0  # what is left in a shell does not count


def test_processes_that_do_not_find_each_other_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_: Any, **__: Any) -> Any:
        raise torch.distributed.DistNetworkError("The server socket has failed to listen: EADDRINUSE\nmore")

    monkeypatch.setattr(trainer_args, "_arguments", taken)
    for name, value in GROUP.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"did not find each other at 127\.0\.0\.1:29500 .*EADDRINUSE\. Is the first"):
        trainer_arguments(RunDir(tmp_path), TrainSettings(), 3, validates=False)


# -- /dev/shm ----------------------------------------------------------------------------------------------------------


def batch() -> dict[str, Any]:
    picture = HubPicture(Prefix([1, 2]), {"pixel_values": torch.randn(2, 3)}, {}, None)  # type: ignore[arg-type]
    return {
        "input_ids": torch.arange(6).reshape(2, 3),
        "halves": torch.randn(2, 2).bfloat16(),
        "none": torch.zeros(0, 4),
        "one": torch.tensor(3),
        "turned": torch.randn(3, 2).T,
        "pictures": [picture],
        "words": ("a", 1),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")
def test_a_batch_that_is_moved_past_shared_memory_arrives_as_it_was() -> None:
    from multiprocessing.reduction import ForkingPickler

    given = batch()
    found = ForkingPickler.loads(ForkingPickler.dumps(transport._Moved(given)))
    for name in ("input_ids", "halves", "none", "one", "turned"):
        assert torch.equal(found[name], given[name])
        assert found[name].dtype == given[name].dtype
    assert torch.equal(found["pictures"][0].pixels["pixel_values"], given["pictures"][0].pixels["pixel_values"])
    assert found["words"] == ("a", 1)
    assert len(list(transport._tensors(given))) == 6


@slow
def test_a_small_shared_memory_changes_no_weight_and_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = tiny_run(tmp_path / "here"), tiny_run(tmp_path / "there")
    train(here)
    monkeypatch.setattr(transport, "free_shared", lambda: 1000)
    transport._say_moved.cache_clear()
    with caplog.at_level(logging.INFO, logger="vqa"):
        train(there, workers=2)
    ours, theirs = (load_file(run.model / "trained.safetensors") for run in (here, there))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert caplog.text.count("are copied past /dev/shm") == 1


@slow
def test_a_real_shared_memory_of_64_kb_is_survived(tmp_path: Path) -> None:
    run, output = tiny_run(tmp_path), tmp_path / "output"
    tower, language_model = tiny_parts(tmp_path)
    settings = TINY_MODEL | TINY_TRAIN | {"vision_tower": tower, "language_model": language_model}
    flags = [
        part
        for name, value in (settings | {"max_steps": 4, "workers": 2, "image_side_px": 64}).items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    source = (
        "import sys; from tests.support.namespace import enter_with_small_shm as enter; "
        "problem = enter(1 << 16)\n"
        "if problem: print('cannot:', problem); sys.exit(77)\n"
        "from vqa_core.commands import run_command; from train.finetune import main; run_command(main, sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source, "--run", str(run.root), *flags],
        env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    output.write_text(done.stdout + done.stderr)
    if done.returncode == 77:
        pytest.skip(done.stdout)
    assert done.returncode == 0, output.read_text()
    assert "are copied past /dev/shm" in done.stderr


# -- workers that die --------------------------------------------------------------------------------------------------


@slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_ends_the_training_with_a_sentence_and_its_steps_are_kept(
    number: signal.Signals, tmp_path: Path
) -> None:
    run, output = tiny_run(tmp_path), tmp_path / "output"
    tower, language_model = tiny_parts(tmp_path)
    settings = TINY_MODEL | TINY_TRAIN | {"vision_tower": tower, "language_model": language_model}
    settings |= {"max_steps": 100_000, "workers": 2, "save_every": 100_000, "eval_every": 0}
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    with output.open("wb") as file:  # not forked: its workers are then started in another way
        command = [sys.executable, "-m", "train.finetune", "--run", str(run.root), *flags]
        process = subprocess.Popen(command, env=environment(), stdout=file, stderr=file)
    deadline = time.monotonic() + TIMEOUT_S
    while not run.metrics.is_file() or run.metrics.read_text().count("\n") < 3:
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = [child for child in psutil.Process(process.pid).children() if child.status() != psutil.STATUS_ZOMBIE]
    os.kill(workers[-1].pid, number)
    assert process.wait(TIMEOUT_S) == 2, output.read_text()
    said = output.read_text()
    assert "Traceback" not in said
    assert "One of the 2 processes of --workers has died" in said
    assert "--workers 0 needs none" in said
    ((step, _),) = steps_below(run.checkpoints)
    assert step >= 3
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in workers)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), r"has died \(Killed\).*memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible"), "--shm-size"),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "has died"),
        (RuntimeError("CUDA error"), None),
        (ValueError("DataLoader worker (pid 7) exited"), None),
    ],
)
def test_only_the_death_of_a_worker_is_taken_for_one(error: Exception, said: str | None) -> None:
    found = death_of_worker(error, 2)
    assert (found is None) == (said is None)
    if said:
        assert __import__("re").search(said, str(found))


# -- folders of the system ---------------------------------------------------------------------------------------------


def test_the_variable_of_a_folder_is_that_of_the_innermost_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in places.PLACES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = tmp_path / ".cache"
    expected = {
        cache / "vqa-workbench" / "x": "VQA_CACHE", cache / "huggingface": "HF_HOME",
        cache / "huggingface" / "hub" / "models--a": "HF_HUB_CACHE", cache / "other": "XDG_CACHE_HOME",
        tmp_path / ".triton": "TRITON_CACHE_DIR", tmp_path: "HOME", tmp_path.parent: "HOME",
        tmp_path / "data" / "train.csv": None, Path("/"): None, Path("/data"): None,
    }  # fmt: skip
    assert {path: places.variable_of(path) for path in expected} == expected
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert places.variable_of(tmp_path / "hf" / "modules" / "a") == "HF_MODULES_CACHE"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.ENOSPC])
def test_a_cache_that_can_not_be_written_is_named_with_its_variable(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    def fails(_: Any) -> None:
        try:
            raise OSError(number, os.strerror(number), str(tmp_path / "hf" / "hub"))
        except OSError as error:
            raise RuntimeError("the library's own words") from error

    with pytest.raises(SystemExit):
        run_command(fails)
    said = capsys.readouterr().err
    assert f"error: {tmp_path}/hf/hub can't be used ({os.strerror(number)}). Set HF_HUB_CACHE to a folder" in said


def test_no_folder_for_temporary_files_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/no/tmp", "/no/var/tmp"])
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(SystemExit):
        run_command(lambda _: tempfile.mkdtemp())  # type: ignore[arg-type, return-value]
    assert "tried: /no/tmp, /no/var/tmp. Set TMPDIR" in capsys.readouterr().err


def test_a_user_without_a_home_is_told_to_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("VQA_CACHE", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(InputError, match="Set HOME to a folder"):
        places.place("VQA_CACHE")
    assert places.variable_of(Path("/x")) is None
