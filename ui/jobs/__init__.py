"""Long work: the commands a person would type, run as processes that outlive the page, its browser and its server.

A job is a folder on disk. The page writes it and starts a runner. The runner waits for its turn, runs the commands and
writes their state into the folder, where the page reads it, after a restart too.

folder.py     JobFolder: the files of a job, which page and runner share
jobs.py       Jobs: start, list, follow, stop and kill jobs
processes.py  which process is meant, even if its number was given to another; how it ends with all that it started
runner.py     the process that runs a job's commands: python -m ui.jobs.runner
saved.py      what a job's command has saved, by the files of its run

May import: vqa_core. A new kind of job needs nothing here: `jobs.start(kind, run, commands)` takes any command line.
The words for its kind stand in components/texts/jobs.json.
"""
