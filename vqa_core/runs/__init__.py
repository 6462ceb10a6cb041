"""The files of a run, where the stages meet: one stage writes them, the next one reads them.

`train.prepare` writes examples and training rows, `train.finetune` checkpoints and the model folder, `eval.predict`
predictions. A killed command leaves each file whole or absent; a file that grows by lines may end with a torn line,
which is dropped when the file is opened again. docs/formats.md describes every file.

checkpoints.py    checkpoints with a manifest of hashes, whole or absent
choices.py        which choice of a multiple-choice question an answer names
examples.py       Example: one question about one image; reading, writing, splitting by image
metrics.py        the lines of metrics.jsonl, the seconds of a step
model_folder.py   what a model folder says about itself, read without torch
predictions.py    Prediction, and the file of predictions that survives a kill
run_dir.py        RunDir: the files of one run by name
run_lock.py       one training a run: who holds it
tags.py           what people think of single questions
training_rows.py  the training rows as an Arrow table, one row per image
watching.py       how many answers a growing file has, and the newest

May import: the ground. A new file of a run gets its name in run_dir.py and its line in docs/formats.md.
"""
