"""Where answers are wrong and why, and all runs side by side.

In: the files of one run, or of two, or of all. Out: arrays and tables that the page draws. Nothing here changes a run;
the name of the pinned baseline is kept beside the runs.

confusion.py    which answer was given where which one is right
errors.py       Answers: a split beside its right answers; sliced, filtered, counted
near_misses.py  answers that are wrong in form only, and by which rule
paired.py       two runs, question by question
review.py       a CSV of answers for a spreadsheet
run_table.py    one row per run, compared with the baseline
slicing.py      the parts that the questions of a split fall into

May import: the ground, runs, data, scoring and submission. A new way to slice is a function in BY of slicing.py, a new
rule for near-misses goes to near_misses.py, a new column of the table of runs to run_table.py.
"""
