"""Proofs of what survives what, beyond single tests: `make soak`, or one by one `python -m tests.soak NAME`.

kills.py      predict and train as processes, killed at random moments and started again
subjects.py   what is killed: its arguments, its moments, what of it must never be lost
disk.py       FailingDisk: counts the calls that change files below a folder and lets one of them go wrong
faults.py     one fault at every call of a case, and what is read back afterwards
writes.py     the cases: whatever the core and the page write that somebody would miss
learning.py   the cases that need torch: checkpoints and model folders
pictures.py   hundreds of damaged pictures in one predict
figures.py    the figures of these runs as tables, for a terminal and for docs/reliability.md

test_kills.py runs some of the kills with the other tests, test_faults.py and test_training_faults.py all of the faults.
"""
