"""Jobs of the page that a test has to catch before their end."""

import signal
import time

from ui.jobs.folder import JobFolder
from ui.jobs.jobs import Job, Jobs
from ui.jobs.processes import ProcessId


def stopped_at_a_step(jobs: Jobs, job: Job) -> ProcessId:
    """The training of a job, held by SIGSTOP at one of its first steps: a fast machine would end it before anybody
    looks. SIGCONT lets it go on.
    """
    while not ((told := jobs.get(job.id).progress) and told.unit == "steps"):
        assert jobs.get(job.id).active, jobs.log_tail(job.id)
        time.sleep(0.05)
    command = JobFolder(jobs.folder / job.id).state().command
    assert command
    command.send(signal.SIGSTOP)
    return command
