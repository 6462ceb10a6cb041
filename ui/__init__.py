"""The page: what a browser shows of the runs and datasets in two folders, and what it starts there.

The page has no state of its own. A tab is drawn from its view (its part of the address) and the files, so a reload, a
second window and a restarted server show the same. All knowledge about models and data is vqa_core's.

jobs/        commands as processes that outlive the page
workspace/   the folders that the page shows, and what it keeps beside the runs
components/  what tabs are made of: parts, wiring, words, widgets, forms
explore/     tab: a dataset, by text and by kind
train/       tab: a training, planned, started and watched
ask/         tab: questions about one picture
predict/     tab: the answers to a split, and the submission
errors/      tab: where a run is wrong
runs/        tab: all runs in a table
server/      the page as a whole, and who may see it

A room may import vqa_core and the rooms above it; only `train` lends its quick demo button to the tabs after it. A new
tab is a room with a tab.py, whose `build(page)` returns a Tab, and a line in TABS of server/page.py.
"""
