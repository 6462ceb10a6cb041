"""The page as a whole: six tabs in two languages on one server, who may see it, and what programs may call.

A request passes the guard and the upload limit, then the languages, then Gradio, whose errors become our sentences.

api.py        the named endpoints, for programs
blocks.py     PageBlocks: Gradio's Blocks, with every failure as one of our sentences
guard.py      Guard: Host, Origin and password of every request
languages.py  Languages: English at /, Korean at /ko/
page.py       builds the tabs, opens the one that the address names, mounts the server
style.py      fonts and colours
tools.py      the endpoints that only look, as tools for assistants (--mcp)
uploads.py    where uploads lie, and how many there may be
assets/       the page's own script and style sheet

May import: everything else in ui. A new endpoint is a method of Endpoints in api.py and its name in PUBLIC.
"""
