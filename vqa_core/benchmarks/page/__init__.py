"""`eval.benchmark page`: the page with a made-up competition of Dacon's size, in headless Chromium.

The server is started as a person starts it and knows nothing of the measurement. The browser takes the times, the
operating system says how much memory the server has; a Report comes out.

page.py    the benchmark: its order, its figures and their limits
runs.py    two runs of the made-up competition
server.py  starts app.py and Chromium
visits.py  what is done in the browser, and what is measured meanwhile

May import: the ground, runs and vqa_core.benchmarks, never ui. A new figure: visits.py measures it, page.py reports it.
"""
