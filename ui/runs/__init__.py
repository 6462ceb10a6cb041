"""The Runs tab: all runs in a table, a pinned baseline to compare with, and what the files of one run say.

details.py  the lower half: one run, its job, how it compares with the baseline, its files
tab.py      the table, its filter and order, and the files to save it

May import: vqa_core, ui.jobs, ui.workspace, ui.components and the tabs before it. A new column is a field of RunRow in
vqa_core.analysis.run_table and a cell in `draw_table`.
"""
