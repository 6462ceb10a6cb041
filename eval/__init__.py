"""The commands that use a model and judge it: `python -m eval.predict`, `score`, `submit`, `compare`, `benchmark`.

Each has a `main(argv)` that parses arguments, calls one function of vqa_core and prints or logs the result. An
InputError becomes one sentence and exit code 2. They meet in the files of a run only.

predict.py    questions become predictions
score.py      predictions and known answers become score.json
submit.py     predictions become submission.csv, or another scorer's file, with a card
compare.py    two runs on the same questions: which is better
benchmark.py  how fast the workbench is, measured

May import: vqa_core; benchmark.py alone imports vqa_core.benchmarks. Nothing imports a command. A new command is a file
here with `main` and a place in README; a new benchmark is described in vqa_core/benchmarks.
"""
