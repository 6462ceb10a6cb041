"""How right the answers are, and how sure that number is: metrics, intervals, scores, the comparison of two runs.

In: predictions and reference answers, joined by question id. Out: numbers between 0 and 1 with 95 % intervals, over all
questions and by slice, beside the question-only baseline.

choices.py     multiple choice: answers compared as choices, letter bias, what guessing scores
comparison.py  two runs' answers to the same questions: which is better, and where
intervals.py   intervals and paired tests that respect images
metrics.py     METRICS: how right one answer is
score.py       Score: a split in all and by slice

May import: the ground, runs and data. A new metric is a function in metrics.py with its source, and a name in METRICS.
"""
