"""The Ask tab: questions about one picture. The answer streams; then come the likeliest ones and the model's input.

The view names the picture, the model and the answer to look at; the answers lie in the workspace's history.

about.py          what a model was trained on, in one line
answering.py      asks the model, for the tab and for the API
examples.py       pictures to try, from easy-VQA's test set
layout.py         where the parts stand
model_input.py    what the model was given: the picture, and the part of it that it sees
panel.py          draws the picture, the model and the answers
picture_input.py  PictureInput: an upload that nothing decodes before it is checked
scene.py          what a view stands for: picture, model, answer
tab.py            events, and the stream of answers

May import: vqa_core, ui.jobs, ui.workspace, ui.components and the tabs before it. A new way to name a picture is an
entry in SOURCES and a branch of `find_subject`, both in scene.py.
"""
