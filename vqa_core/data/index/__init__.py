"""An index of a dataset of any size: one SQLite file that the page filters, counts and pages through.

A child process writes it from the competition folder, so that the page's server never holds all texts in memory.

finding_rows.py  the rows that a finding is about
index.py         DataIndex: rows, texts and files by number, id or text
run_layer.py     what a run adds: held-out rows, tags, predictions
selection.py     Selection: the rows that pass a filter, page by page, with counts
writer.py        writes the index

May import: the ground, runs and vqa_core.data. A new filter is a field of Filter and a name in FACETS of selection.py;
where it needs a new column, writer.py writes it and VERSION goes up.
"""
