"""What the page does with jobs, for a system that a test plays: python -m tests.support.jobs_visit FOLDER

Each step is asserted; the last line printed is `all of it`.
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from ui.jobs.folder import JobFolder
from ui.jobs.jobs import Job, Jobs
from vqa_core import ROOT
from vqa_core.files import InputError

WAIT_S = 60
FOREVER = "import time; print('begun', flush=True)\nwhile True: time.sleep(0.05)"
SAVES = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(0.3); pathlib.Path(sys.argv[1]).write_text('saved'); sys.exit(0)
for name in ("SIGTERM", "SIGBREAK", "SIGUSR2"):  # the last is Ctrl-Break where Linux plays Windows
    if hasattr(signal, name): signal.signal(getattr(signal, name), save)
print('begun', flush=True)
while True: time.sleep(0.05)
"""
DEAF = """
import signal, subprocess, sys, time
for name in ("SIGTERM", "SIGBREAK", "SIGUSR2"):
    if hasattr(signal, name): signal.signal(getattr(signal, name), signal.SIG_IGN)
if len(sys.argv) > 1: print(subprocess.Popen([sys.executable, "-c", sys.argv[1]]).pid, flush=True)
print('begun', flush=True)
while True: time.sleep(0.05)
"""


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        time.sleep(0.02)


def begun(jobs: Jobs, job: Job, times: int = 1) -> None:
    until(lambda: jobs.log_tail(job.id).splitlines().count("begun") == times, "the command's first line")


def ended(jobs: Jobs, job: Job) -> Job:
    until(lambda: not jobs.get(job.id).active, f"the end of {jobs.get(job.id)}: {jobs.log_tail(job.id)}")
    return jobs.get(job.id)


def runs_to_its_end(jobs: Jobs, folder: Path) -> None:
    code = "import os, sys; print('여기는', os.getcwd()); print('\\U0001f600 \\ud55c')"
    job = ended(jobs, jobs.start("train", "a", [("-c", code), ("-c", "print('둘')")], cwd=folder))
    assert (job.status, job.exit_code, job.at) == ("done", 0, 1), jobs.log_tail(job.id)
    assert jobs.log_tail(job.id).splitlines()[-1] == "둘"
    assert f"여기는 {folder}" in jobs.log_tail(job.id)


def waits_its_turn_and_is_stopped(jobs: Jobs, folder: Path) -> None:
    first = jobs.start("train", "a", [("-c", SAVES, str(folder / "saved"))])
    begun(jobs, first)
    second = jobs.start("train", "b", [("-c", FOREVER)])
    time.sleep(0.5)
    assert [job.status for job in jobs.list()[:2]] == ["queued", "running"]
    said = ""
    try:
        jobs.start("train", "a", [("-c", FOREVER)])
    except InputError as error:
        said = str(error)
    assert "'a' is in use" in said
    assert jobs.stop(second.id).status == "stopped"
    assert jobs.stop(first.id).status == "stopping"
    assert (ended(jobs, first).status, ended(jobs, first).killed) == ("stopped", False)
    assert (folder / "saved").read_text() == "saved"


def is_killed_with_its_children(jobs: Jobs) -> None:
    job = jobs.start("train", "a", [("-c", DEAF, DEAF)])
    begun(jobs, job, 2)
    number = next(int(line) for line in jobs.log_tail(job.id).splitlines() if line.isdecimal())
    jobs.stop(job.id)
    time.sleep(0.5)
    assert jobs.get(job.id).status == "stopping", "it takes as long as it takes"
    jobs.kill(job.id)
    assert (ended(jobs, job).status, ended(jobs, job).killed) == ("stopped", True)
    until(lambda: not lives(number), "the death of its child")


def outlives_its_server(jobs: Jobs) -> None:
    """A server that is killed, and then the runner: the command lives, and a new runner ends it."""
    code = (
        f"import time; from pathlib import Path; from ui.jobs.jobs import Jobs\n"
        f"Jobs(Path({str(jobs.folder)!r})).start('train', 'c', [('-c', {FOREVER!r})]); time.sleep(60)"
    )
    server = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    until(lambda: jobs.active("c"), "the job")
    job = jobs.active("c")[0]
    begun(jobs, job)
    server.kill()
    server.wait()
    folder = JobFolder(jobs.folder / job.id)
    assert jobs.get(job.id).status == "running"
    assert folder.held()
    runner, command = folder.state().runner, folder.state().command
    assert runner
    assert command
    psutil.Process(runner.pid).kill()
    until(lambda: not runner.alive, "the runner's death")
    assert jobs.get(job.id).status == "running"
    assert folder.held(), "its command lives"
    jobs.stop(job.id)
    if hasattr(signal, "CTRL_BREAK_EVENT"):  # where there is no console to join, it says so
        said = "can't be asked to stop"
        until(lambda: not jobs.get(job.id).active or said in jobs.log_tail(job.id), "an end or a word")
        jobs.kill(job.id)
    assert ended(jobs, job).status == "stopped"
    assert not command.alive
    assert not folder.held()


def lives(number: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    return False


def visit(folder: Path) -> None:
    jobs = Jobs(folder / "jobs")
    runs_to_its_end(jobs, folder)
    waits_its_turn_and_is_stopped(jobs, folder)
    is_killed_with_its_children(jobs)
    outlives_its_server(jobs)
    assert not jobs.active()
    assert Jobs(folder / "jobs").list() == jobs.list(), "another server sees the same"


if __name__ == "__main__":
    visit(Path(sys.argv[1]))
    print("all of it")
