"""Jobs: real processes, killed by real signals."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.processes import environment
from ui.jobs import folder as job_folder
from ui.jobs.folder import JobFolder, job_ids
from ui.jobs.jobs import Job, Jobs
from ui.jobs.processes import Family, ProcessId
from vqa_core import ROOT
from vqa_core.files import InputError, read_json, write_json

pytestmark = pytest.mark.slow

WAIT_S = 30
FOREVER = "import time\nwhile True: time.sleep(0.05)"
NOTED = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2] + '\\n')"


def python(code: str, *args: object) -> tuple[str, ...]:
    return ("-c", code, *map(str, args))


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        time.sleep(0.02)


def ended(jobs: Jobs, job: Job) -> Job:
    until(lambda: not jobs.get(job.id).active, f"the end of {jobs.get(job.id)}: {jobs.log_tail(job.id)}")
    return jobs.get(job.id)


def folder_of(jobs: Jobs, job: Job) -> JobFolder:
    return JobFolder(jobs.folder / job.id)


def runner_of(jobs: Jobs, job: Job) -> ProcessId:
    until(lambda: folder_of(jobs, job).state().runner, "the runner's first word")
    runner = folder_of(jobs, job).state().runner
    assert runner
    return runner


def command_of(jobs: Jobs, job: Job) -> ProcessId:
    until(lambda: folder_of(jobs, job).state().command, "the start of the command")
    command = folder_of(jobs, job).state().command
    assert command
    return command


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Jobs in a folder with blanks and Hangul; whatever of them lives is killed when the test ends."""
    made = Jobs(tmp_path / "작업 폴더" / "jobs")
    yield made
    for job in made.list():
        folder = folder_of(made, job)
        folder.ask_to_kill()
        folder.ask_to_stop()  # heard by a runner that has not said its first word yet
        while folder.held():
            for process in filter(None, (folder.state().runner, folder.state().command)):
                process.kill_group()
            time.sleep(0.02)


def test_commands_run_one_after_another_in_the_folder_given(jobs: Jobs, tmp_path: Path) -> None:
    first = python("import os, time; time.sleep(0.3); open('가 나.txt', 'w').write(os.getcwd())")
    second = python("print('두 번째:', open('가 나.txt').read())")
    job = ended(jobs, jobs.start("train", "내 런 1", [first, second], cwd=tmp_path))
    assert (job.status, job.exit_code, job.run, job.at) == ("done", 0, "내 런 1", 1)
    assert jobs.log_tail(job.id).splitlines()[-1] == f"두 번째: {tmp_path}"
    assert job.started
    assert job.ended
    assert job.created <= job.started <= job.ended


def test_a_command_that_fails_is_the_last(jobs: Jobs, tmp_path: Path) -> None:
    commands = [python("print('before'); raise SystemExit(3)"), python(NOTED, tmp_path / "ran", "yes")]
    job = ended(jobs, jobs.start("train", "", commands))
    assert (job.status, job.exit_code, job.at) == ("failed", 3, 0)
    assert jobs.log_tail(job.id).endswith("before")
    assert not (tmp_path / "ran").exists()


def test_a_killed_command_is_told_by_its_signal(jobs: Jobs) -> None:
    job = jobs.start("train", "a", [python(FOREVER)])
    os.kill(command_of(jobs, job).pid, signal.SIGKILL)
    assert (ended(jobs, job).status, ended(jobs, job).exit_code) == ("failed", -signal.SIGKILL)


def test_a_job_survives_sigkill_of_the_server_that_started_it(jobs: Jobs) -> None:
    """And of all its group, as a terminal that is closed ends it."""
    slow = "import time; print('begun', flush=True); time.sleep(1.5); print('finished')"
    code = (
        f"import time; from pathlib import Path; from ui.jobs.jobs import Jobs\n"
        f"Jobs(Path({str(jobs.folder)!r})).start('train', 'a', [('-c', {slow!r})]); time.sleep(60)"
    )
    server = subprocess.Popen([sys.executable, "-c", code], env=environment(), cwd=ROOT, start_new_session=True)
    until(lambda: jobs.list() and "begun" in jobs.log_tail(jobs.list()[0].id).splitlines(), "the command's first line")
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    assert jobs.list()[0].status == "running"
    job = ended(jobs, jobs.list()[0])
    assert job.status == "done"
    assert jobs.log_tail(job.id).splitlines()[-1] == "finished"


def test_one_job_at_a_time_in_the_order_of_creation(jobs: Jobs, tmp_path: Path) -> None:
    """From two servers."""
    notes, other = tmp_path / "notes", Jobs(jobs.folder)
    code = NOTED + "; time.sleep(0.2); pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2] + ' over\\n')"
    started = [(jobs, other)[n % 2].start("train", f"r{n}", [python(code, notes, n)]) for n in range(5)]
    assert [job.id for job in jobs.list()] == [job.id for job in reversed(started)]
    assert [job.status for job in jobs.list()[:3]] == ["queued"] * 3
    for job in started:
        ended(jobs, job)
    assert notes.read_text().splitlines() == [line for n in range(5) for line in (f"{n}", f"{n} over")]


def test_an_older_job_that_died_does_not_block_the_queue(jobs: Jobs) -> None:
    first, second = (jobs.start("train", run, [python(FOREVER)]) for run in "ab")
    third = jobs.start("train", "c", [python("pass")])
    command = command_of(jobs, first)
    os.kill(runner_of(jobs, second).pid, signal.SIGKILL)  # while it waits
    os.kill(runner_of(jobs, first).pid, signal.SIGKILL)
    assert jobs.get(third.id).status == "queued"
    os.kill(command.pid, signal.SIGKILL)
    assert ended(jobs, third).status == "done"
    assert [job.status for job in jobs.list()] == ["done", "crashed", "crashed"]
    assert jobs.start("train", "a", [python("pass")]).active, "the run is free again"


def test_a_job_without_its_runner_is_running_until_its_command_is_gone(jobs: Jobs) -> None:
    code = "import time\nfor n in range(1, 20): print(f'step {n} of 20: ', flush=True); time.sleep(0.1)"
    first, second = jobs.start("train", "a", [python(code), python("pass")]), jobs.start("train", "b", [python("pass")])
    command = command_of(jobs, first)
    os.kill(runner_of(jobs, first).pid, signal.SIGKILL)
    until(lambda: not runner_of(jobs, first).alive, "the runner's death")  # a zombie: this process has not reaped it
    assert jobs.get(first.id).status == "running"
    with pytest.raises(InputError, match="'a' is in use"):
        jobs.start("train", "a", [python("pass")])
    until(lambda: (told := jobs.get(first.id).progress) and told.done > 3, "progress")
    assert jobs.get(second.id).status == "queued"
    until(lambda: not command.alive, "the end of the command")
    assert jobs.get(first.id).status == "crashed"
    assert ended(jobs, second).status == "done"


def test_a_job_without_its_runner_can_be_stopped(jobs: Jobs, tmp_path: Path) -> None:
    code = f"import signal, sys\n{SAVES}"
    job = jobs.start("train", "a", [python(code, tmp_path / "saved"), python(NOTED, tmp_path / "ran", "yes")])
    command = command_of(jobs, job)
    until(lambda: "ready" in jobs.log_tail(job.id).splitlines(), "the command's handler")
    os.kill(runner_of(jobs, job).pid, signal.SIGKILL)
    until(lambda: not runner_of(jobs, job).alive, "the runner's death")
    assert jobs.stop(job.id).status == "stopping"
    assert ended(jobs, job).status == "stopped"
    assert not command.alive
    assert (tmp_path / "saved").read_text() == "saved"
    assert not (tmp_path / "ran").exists()


SAVES = """
import pathlib, time
def save(*_):
    time.sleep(0.3); pathlib.Path(sys.argv[1]).write_text('saved'); sys.exit(0)
signal.signal(signal.SIGTERM, save)
print('ready', flush=True)
while True: time.sleep(0.05)
"""


def test_a_running_command_is_let_save_when_it_is_stopped(jobs: Jobs, tmp_path: Path) -> None:
    commands = [python(f"import signal, sys\n{SAVES}", tmp_path / "saved"), python(NOTED, tmp_path / "ran", "yes")]
    job = jobs.start("train", "a", commands)
    until(lambda: "ready" in jobs.log_tail(job.id).splitlines(), "the command's handler")
    assert jobs.stop(job.id).status == "stopping"
    assert jobs.active("a")
    assert not jobs.active("b")
    assert (ended(jobs, job).status, ended(jobs, job).exit_code) == ("stopped", 0)
    assert (tmp_path / "saved").read_text() == "saved"
    assert not (tmp_path / "ran").exists()
    assert jobs.stop(job.id).status == "stopped", "once more changes nothing"


def test_a_queued_job_is_stopped_at_once_and_never_starts(jobs: Jobs, tmp_path: Path) -> None:
    first = jobs.start("train", "a", [python(FOREVER)])
    second = jobs.start("train", "b", [python(NOTED, tmp_path / "ran", "yes")])
    stopped = jobs.stop(second.id)
    assert (stopped.status, stopped.started) == ("stopped", None)
    assert jobs.get(first.id).active
    jobs.stop(first.id)
    ended(jobs, first)
    assert not (tmp_path / "ran").exists()


def test_a_command_that_is_asked_to_stop_in_a_terminal_is_stopped_and_the_last(jobs: Jobs, tmp_path: Path) -> None:
    code = f"import signal, sys\n{SAVES.replace('sys.exit(0)', 'sys.exit(143)')}"
    job = jobs.start("train", "a", [python(code, tmp_path / "saved"), python(NOTED, tmp_path / "ran", "yes")])
    until(lambda: "ready" in jobs.log_tail(job.id).splitlines(), "the command's handler")
    os.kill(command_of(jobs, job).pid, signal.SIGTERM)
    job = ended(jobs, job)
    assert (job.status, job.exit_code, job.killed) == ("stopped", 143, False)
    assert not (tmp_path / "ran").exists()


DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(90)"


def deaf_with_a_child(jobs: Jobs, *, child_leads: bool = False) -> tuple[Job, ProcessId]:
    """A job whose command does not heed SIGTERM, and that command's child, which does not either."""
    how = f"start_new_session={child_leads}"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {DEAF!r}], {how}).pid, flush=True)"
    job = jobs.start("train", "a", [python(f"{code}\n{DEAF}")])
    until(lambda: jobs.log_tail(job.id).splitlines().count("deaf") == 2, "both being deaf")
    number = next(line for line in jobs.log_tail(job.id).splitlines() if line.isdecimal())
    return job, ProcessId.of(int(number))


@pytest.mark.parametrize("child_leads", [False, True])
def test_what_does_not_heed_a_stop_is_waited_for_and_killed_with_its_children_only_when_asked(
    jobs: Jobs, child_leads: bool
) -> None:
    job, child = deaf_with_a_child(jobs, child_leads=child_leads)
    jobs.stop(job.id)
    time.sleep(2)
    assert jobs.get(job.id).status == "stopping", "it may be saving"
    jobs.kill(job.id)
    job = ended(jobs, job)
    assert (job.status, job.exit_code, job.killed) == ("stopped", -signal.SIGKILL, True)
    until(lambda: not child.alive, "the death of the command's child")


def test_a_kill_needs_no_stop_before(jobs: Jobs) -> None:
    first, second = jobs.start("train", "a", [python(FOREVER)]), jobs.start("train", "b", [python(FOREVER)])
    command_of(jobs, first)
    assert (jobs.kill(second.id).status, jobs.get(second.id).killed) == ("stopped", False), "it had not started"
    jobs.kill(first.id)
    assert (ended(jobs, first).status, ended(jobs, first).killed) == ("stopped", True)
    assert jobs.kill(first.id).status == "stopped", "once more changes nothing"


def test_a_job_without_its_runner_can_be_killed(jobs: Jobs) -> None:
    job, child = deaf_with_a_child(jobs)
    os.kill(runner_of(jobs, job).pid, signal.SIGKILL)
    until(lambda: not runner_of(jobs, job).alive, "the runner's death")
    jobs.stop(job.id)
    time.sleep(1)
    assert jobs.get(job.id).status == "stopping"
    jobs.kill(job.id)
    assert (ended(jobs, job).status, ended(jobs, job).killed) == ("stopped", True)
    until(lambda: not child.alive, "the death of the command's child")


def test_a_job_of_an_earlier_version_is_judged_as_it_is(jobs: Jobs) -> None:
    """Its processes are named by clock ticks since the boot, and its record holds a patience."""
    job = jobs.start("train", "a", [python(FOREVER)])
    command_of(jobs, job)
    folder = folder_of(jobs, job)
    record = read_json(folder.root / "job.json") | {"patience_s": 60.0}
    values = read_json(folder.root / "state.json")
    for name in ("runner", "command"):
        fields = Path(f"/proc/{values[name]['pid']}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")
        values[name] |= {"started": int(fields[19]), "machine": f"{boot} {namespace}"}
    del values["killed"]
    other = JobFolder(jobs.folder / "20260101-000000-000000")
    shutil.copytree(folder.root, other.root)
    write_json(other.root / "job.json", record)
    write_json(other.root / "state.json", values)
    assert other.state() == folder.state()
    assert jobs.get(other.id).status == "running"
    values["runner"]["started"] -= 1
    write_json(other.root / "state.json", values)
    assert jobs.get(other.id).status == "running", "its command lives"
    values["command"] = None
    write_json(other.root / "state.json", values)
    assert jobs.get(other.id).status == "crashed"


def test_a_job_of_an_earlier_version_that_is_over_opens(tmp_path: Path) -> None:
    old = ROOT / "tests" / "support" / "old_runs" / ".page" / "jobs"
    shutil.copytree(old, tmp_path / "jobs")
    found = Jobs(tmp_path / "jobs").list()
    assert [job.status for job in found] == ["done"] * len(job_ids(old))
    assert not any(job.killed for job in found)


def test_where_no_lock_is_inherited_the_state_tells_what_lives(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setattr(job_folder, "INHERITS", False)
    first, second = (jobs.start("train", run, [python(FOREVER)]) for run in "ab")
    command = command_of(jobs, first)
    folder = folder_of(jobs, first)
    assert not (folder.root / "lock").exists()
    assert folder.held()
    os.kill(runner_of(jobs, first).pid, signal.SIGKILL)
    until(lambda: not runner_of(jobs, first).alive, "the runner's death")
    assert folder.held(), "its command lives"
    assert jobs.get(second.id).status == "queued"
    os.kill(command.pid, signal.SIGKILL)
    until(lambda: not folder.held(), "the end of all of it")
    until(lambda: jobs.get(second.id).status == "running", "the turn of the second")


def test_a_process_is_the_same_whatever_the_clock_says() -> None:
    """psutil's own time of a start moves when somebody sets the clock; what is compared does not."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    assert ProcessId.of(os.getpid()).started == int(fields[19]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("pidfd", [True, False])
def test_no_signal_reaches_a_later_process_with_the_number(pidfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open")
    with subprocess.Popen([sys.executable, "-c", FOREVER], process_group=0) as process:
        known = ProcessId.of(process.pid)
        other = replace(known, started=known.started - 1)
        other.send(signal.SIGKILL)
        Family(other).head.ask_to_end()
        time.sleep(0.2)
        assert process.poll() is None
        known.send(signal.SIGTERM)
        assert process.wait(WAIT_S) == -signal.SIGTERM
        known.send(signal.SIGKILL)


def test_children_left_behind_do_not_hold_the_machine(jobs: Jobs) -> None:
    code = f"import os\nif os.fork(): os._exit(0)\n{FOREVER}"
    first, second = jobs.start("train", "a", [python(code)]), jobs.start("train", "b", [python("pass")])
    assert ended(jobs, second).status == "done"
    assert jobs.get(first.id).status == "done"


def test_a_reused_process_number_is_not_the_old_process(jobs: Jobs) -> None:
    job = jobs.start("train", "a", [python(FOREVER)])
    command, runner = command_of(jobs, job), runner_of(jobs, job)
    for process in (runner, command):
        os.kill(process.pid, signal.SIGKILL)
        until(lambda process=process: not process.alive, "its death")
    folder, me = folder_of(jobs, job), ProcessId.of(os.getpid())
    assert me.alive
    folder.write_state(replace(folder.state(), runner=replace(me, started=me.started - 1), command=None))
    assert jobs.get(job.id).status == "crashed"
    replace(me, started=me.started - 1).send(signal.SIGKILL)  # or this test would end here
    folder.write_state(replace(folder.state(), runner=me))
    assert jobs.get(job.id).status == "running"


def test_on_another_machine_the_heartbeat_tells(jobs: Jobs) -> None:
    job = jobs.start("train", "a", [python(FOREVER)])
    command_of(jobs, job)
    folder = folder_of(jobs, job)
    beaten = folder.heartbeat()
    until(lambda: folder.heartbeat() > beaten, "a heartbeat")
    processes = (runner_of(jobs, job), command_of(jobs, job))
    for process in processes:
        process.kill_group()
        until(lambda process=process: not process.alive, "its death")
    folder.write_state(replace(folder.state(), runner=replace(processes[0], machine="another")))
    assert jobs.get(job.id).status == "running"
    old = time.time() - job_folder.STALE_S - 1
    os.utime(folder.root / "state.json", (old, old))
    assert jobs.get(job.id).status == "crashed"
    assert jobs.get(job.id).ended == pytest.approx(old)


def test_a_job_whose_runner_never_came_is_crashed_after_a_while(jobs: Jobs) -> None:
    """A server that is killed in the midst of `start`."""
    jobs.folder.mkdir(parents=True)
    folder = JobFolder(jobs.folder / "20260101-000000-000000")
    record = {"kind": "train", "run": "a", "commands": [["-c", "pass"]], "cwd": ".", "created": 0.0}
    lock = folder.create(record)
    assert lock
    lock.release()
    assert jobs.get(folder.id).status == "queued"
    assert not folder.held()
    old = time.time() - job_folder.START_S - 1
    os.utime(folder.root / "state.json", (old, old))
    assert jobs.get(folder.id).status == "crashed"


def test_of_two_starts_on_one_run_one_is_refused(jobs: Jobs) -> None:
    """By servers that ask at the same moment."""
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        server = Jobs(jobs.folder)
        barrier.wait()
        try:
            outcomes.append(server.start("train", "내 런", [python(FOREVER)]).status)
        except InputError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [job] = jobs.list()
    assert sorted(job.id in outcome and "'내 런' is in use" in outcome for outcome in outcomes) == [
        False,
        True,
        True,
        True,
    ]
    assert jobs.start("predict", "other", [python("pass")]).active, "another run may wait in the queue"


def test_progress_is_that_of_the_command_that_runs(jobs: Jobs) -> None:
    first = "print('Checking images: 9 of 9 images, 5.0 images/s, 0.0 min left')"
    second = f"print('Loading', flush=True)\n{FOREVER}"
    job = jobs.start("demo", "a", [python(first), python(second)])
    until(lambda: "Loading" in jobs.log_tail(job.id).splitlines(), "the second command")
    assert jobs.get(job.id).at == 1
    assert jobs.get(job.id).progress is None


def test_progress_is_read_through_carriage_returns_and_after_the_end(jobs: Jobs) -> None:
    code = r"print('Load: 10%\rLoad: 100%\r3 of 9 questions, 2.0 questions/s, 0.1 min left\r'); raise ValueError"
    job = ended(jobs, jobs.start("predict", "a", [python(code)]))
    assert job.progress is not None
    assert (job.progress.done, job.progress.total, job.progress.rate, job.progress.eta_s) == (3, 9, 2.0, 3.0)
    assert "Load: 10" not in jobs.log_tail(job.id).partition("\n")[2].partition("Traceback")[0]


def test_the_tail_of_a_huge_log_costs_nothing(jobs: Jobs) -> None:
    job = ended(jobs, jobs.start("train", "a", [python("pass")]))
    with folder_of(jobs, job).log.open("r+b") as log:
        log.truncate(1 << 32)
        log.seek(0, os.SEEK_END)
        log.write("\n한글\x1b[31m red\x1b[0m\n7 of 8 images\n".encode())
    began = time.monotonic()
    assert jobs.log_tail(job.id, lines=2) == "한글 red\n7 of 8 images"
    told = Jobs(jobs.folder).get(job.id).progress
    assert told
    assert told.done == 7
    assert time.monotonic() - began < 0.5


def test_a_tail_that_begins_within_a_character_begins_with_a_whole_line(jobs: Jobs) -> None:
    job = ended(jobs, jobs.start("train", "a", [python("pass")]))
    folder_of(jobs, job).log.write_text("가나다라\n" * 3000, encoding="utf-8")
    assert set(jobs.log_tail(job.id, lines=10_000).splitlines()) == {"가나다라"}


@pytest.mark.parametrize("id", ["", "..", "../jobs", "20260101-000000-000000", "20260101-000000-000000/..", "x\0"])
def test_an_unknown_job_is_a_sentence(jobs: Jobs, id: str) -> None:
    jobs.folder.mkdir(parents=True)
    for ask in (jobs.get, jobs.stop, jobs.log_tail):
        with pytest.raises(InputError, match="there is no job"):
            ask(id)


def test_a_folder_that_is_no_job_hides_no_other(jobs: Jobs) -> None:
    job = ended(jobs, jobs.start("train", "a", [python("pass")]))
    for name, content in (("20260101-000000-000000", "{"), ("20260101-000000-000001", "{}")):
        (jobs.folder / name).mkdir()
        for file in ("job.json", "state.json"):
            (jobs.folder / name / file).write_text(content)
        with pytest.raises(InputError):
            jobs.get(name)
    (jobs.folder / "notes").mkdir()
    assert [found.id for found in jobs.list()] == [job.id]


def test_the_newest_finished_jobs_are_kept(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs", kept=2)
    made = [ended(jobs, jobs.start("train", "a", [python("pass")])).id for _ in range(4)]
    (jobs.folder / ".new-20260101-000000-000000").mkdir()  # a start that was killed
    made.append(ended(jobs, jobs.start("train", "a", [python("pass")])).id)
    assert job_ids(jobs.folder) == made[-3:], "two, and the one that was started then"
    assert not list(jobs.folder.glob(".new-*"))
    assert {job.id for job in jobs.list()} == set(jobs._over)


def test_ids_follow_the_order_of_creation_whatever_the_clock_does(jobs: Jobs) -> None:
    clock = iter([2e9, 1e9, 1e9, 3e9])
    names = []
    for _ in range(4):
        names.append(jobs._next_id(next(clock)))
        (jobs.folder / names[-1]).mkdir(parents=True)
    assert names == sorted(set(names))


def test_what_a_person_would_type_can_be_copied() -> None:
    commands = [("-m", "train.prepare", "--data", "내 data.zip"), ("-m", "train.finetune", "--run", "runs/it's")]
    job = Job("id", "train", "a", tuple(commands), 0.0, "queued")
    assert (
        job.shown
        == "python -m train.prepare --data '내 data.zip' && \\\npython -m train.finetune --run 'runs/it'\"'\"'s'"
    )


def test_looking_costs_neither_memory_nor_files(jobs: Jobs) -> None:
    """Ten pages that look each second for ten minutes look 6,000 times."""
    done = ended(jobs, jobs.start("train", "a", [python("pass")]))
    code = f"for n in range(400): print(f'step {{n}} of 400: loss 1.0', flush=True)\n{FOREVER}"
    job = jobs.start("train", "b", [python(code)])
    until(lambda: (told := jobs.get(job.id).progress) and told.done == 399, "progress")

    def look(times: int) -> None:
        for _ in range(times):
            assert jobs.get(job.id).active
            assert not jobs.get(done.id).active
            assert len(jobs.active()) == 1
            jobs.log_tail(job.id)

    look(200)
    files, memory = len(os.listdir("/proc/self/fd")), resident_bytes()
    began = time.thread_time()
    look(3000)
    assert (time.thread_time() - began) / 3000 < 0.01
    assert len(os.listdir("/proc/self/fd")) <= files
    assert resident_bytes() < memory + 2_000_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_start_that_fails_leaves_nothing(jobs: Jobs, tmp_path: Path) -> None:
    with contextlib.suppress(OSError):
        jobs.start("train", "a", [python("pass")], cwd=tmp_path / "nowhere")
    assert jobs.list() == []
