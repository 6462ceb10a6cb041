"""The Train tab: a form from the settings, what the training will take, the exact command; then its curves.

The address holds the settings that differ from the preset's, so the form comes back after a reload.

choices.py     runs and datasets to choose from
curves.py      loss, learning rate and accuracy from metrics.jsonl
estimates.py   steps, memory and time, each with its basis
layout.py      where the parts stand
lengths.py     the lengths of a dataset's rows, from its index where it is large
plan.py        names, presets and the commands of a training
quick_demo.py  the button that other tabs show where there is no run
tab.py         events of the form and the buttons
view.py        the form in the address, and back
watch.py       a training as it runs, and how to resume it
wish.py        the form's values: drawn as a plan, started, loaded and saved

May import: vqa_core, ui.jobs, ui.workspace, ui.components and ui.explore. A new setting needs nothing here: the form
draws every field of the settings in vqa_core.config.
"""
