"""The Errors tab: where a run is wrong and why, sample by sample, and how it compares with another run.

A view is read as a Scene, a click changes the view (a plain function in moves.py), and the new scene is drawn.

compare.py  another run: which is better, and which settings differ
layout.py   where the parts stand
moves.py    what each choice and click changes, as functions in three tables
panels.py   the upper half: score, slices, confusion matrix, near misses
samples.py  the lower half: the samples found, and one in full
scene.py    Scene: what a view stands for, read from the files
tab.py      events, tags and the review file

May import: vqa_core, ui.jobs, ui.workspace, ui.components and the tabs before it. A new button is a part in layout.py
and a function in a table of moves.py.
"""
