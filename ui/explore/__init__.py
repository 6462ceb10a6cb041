"""The Explore tab: look through a dataset of any size, by text and by kind, and at one sample with all its questions.

The view names dataset, run, filters, page and sample; scene.py reads them, panel.py draws them.

layout.py  where the parts stand
panel.py   draws pictures, one sample, counts, the report and the state of the index
scene.py   Scene: what a view stands for; nonsense in an address becomes a notice
tab.py     events, and what each of them changes in the view

May import: vqa_core, ui.jobs, ui.workspace and ui.components. A new filter is a facet in vqa_core.data.index.selection
and a name in BARS of panel.py.
"""
