"""The file for the competition: predictions joined by id to sample_submission.csv, checked, written and kept.

In: predictions and the sample. Out: submission.csv as the answers are, never normalised, with its card; or the same
answers in the files that other scorers read.

card.py        the card: hashes, versions, validation score, command
choices.py     multiple choice: only choices are answers, named as the sample names them
history.py     past submissions with their public scores, and the difference of two
results.py     LLaVA's answers JSON lines and VQAv2's results
staging.py     a file and its card take their places together
submission.py  Submission, and the doctor that looks through it
submit.py      a run's answers written in any format, with a card beside them

May import: the ground, runs, data and scoring. A new check of the doctor is a sentence in `diagnose` of submission.py,
a new file for a scorer goes to results.py.
"""
