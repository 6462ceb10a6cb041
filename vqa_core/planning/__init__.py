"""What a training will be, known before torch is loaded: settings, steps, memory, time, and the state of the run.

In: settings, the tokens of each training row, config.json files, the files of runs. Out: a plan of batches, which
training follows to the letter; estimates, which the page shows; and what may be started in a run's folder.

batches.py     which questions of which images make up each batch
estimates.py   steps, memory and time of a training, each with its basis
lengths.py     about how many tokens the questions of each row have
part_sizes.py  the sizes of a model's parts, from their config.json alone
resolve.py     which settings win when a training starts
resume.py      which settings a resumed training keeps
run_state.py   what a run's folder holds: may a training start there, continue, or start over

May import: the ground, runs, data and prompts; no torch. A new figure for the Train tab is a function in estimates.py,
with the measurements it was checked against in tests/planning.
"""
