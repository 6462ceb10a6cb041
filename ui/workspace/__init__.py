"""The two folders that the page shows, `runs` and `data`, and what it keeps beside the runs in `runs/.page`.

Everything in `runs/.page` can be made again: jobs, indexes of datasets, thumbnails, answers given in the Ask tab.

datasets.py   Datasets: which there are, and the index of each
history.py    AnswerHistory: pictures that questions were asked about, with their answers
index_job.py  makes an index in a process of its own: python -m ui.workspace.index_job
memory.py     gives freed memory back to the system
models.py     Models: loads a run's model at its first question; the only file of the page that imports torch
pictures.py   Pictures: images as WebP, under addresses that only this server can make
workspace.py  Workspace: all of these by name

May import: vqa_core and ui.jobs. What else the page keeps gets a file here and a property of Workspace.
"""
