"""What tabs are made of. A tab adds its components to Parts by name; a handler draws `{name: value}` for some of them.

Wiring calls the handler of an event with the values of its inputs. The handler draws parts by name, Parts refuses a
wrong or a missing name, and Wiring turns any error into a sentence in the reader's language.

form.py       Form: settings dataclasses as components, and back
job_panel.py  a job: its progress, commands and log, and the buttons that end it
parts.py      Parts: components by name; Drawn: what a handler draws
sentences.py  translates the core's sentences, with sentences.ko.json
tab.py        Page, Tab and View: what a tab gets and what it returns
widgets.py    components that Gradio lacks: galleries, bars, facts, curves
wiring.py     Wiring: every event, and its errors as sentences
words.py      Words: the page's own texts in one language, from texts/

May import: vqa_core, ui.jobs and ui.workspace. A new widget is a function in widgets.py and a builder of its name in
server/assets/workbench.js.
"""
