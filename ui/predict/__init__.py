"""The Predict & submit tab: a run answers a split, the page shows the answers as they come, and writes a submission.

A click starts a job (`eval.predict`, then `eval.score`); a timer draws the run's files while they grow.

commands.py  the commands of a prediction, and what the run's files say about it
layout.py    where the parts of the upper half stand
newest.py    the newest answers, and the picture of one
past.py      past submissions: the table, the public score, what changed between two
submit.py    whether the answers make a submission, and the button that writes it
tab.py       events, and what is drawn while a split is answered

May import: vqa_core, ui.jobs, ui.workspace, ui.components and the tabs before it. Another section is a function like
`submit_section` in submit.py: it returns its parts, and a `draw` that draws each of them.
"""
