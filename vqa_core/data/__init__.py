"""A competition folder becomes a prepared run: read, checked, split by image, written in every form the stages read.

In: a folder, a zip, `easy-vqa` or another format (sources.py). Out: a DataReport, the examples, the training rows.

archives.py     unpacks a zip safely
competition.py  a competition folder: its files and its examples
easy_vqa.py     the embedded dataset in the layout of a competition
findings.py     what is wrong or odd in the data
images.py       the one image decoder
pixels.py       a picture becomes the square that the vision tower sees
prepare.py      fills a run
priors.py       answers without looking at the picture
questions.py    the questions that eval.predict answers
references.py   known answers: solution.csv or VQA annotations
report.py       DataReport: statistics and findings
sources.py      what --data may name
tables.py       CSV as text, with its encoding and separator detected
choices/        multiple choice: which choices, named in which form
columns/        which column of a table holds what
formats/        data formats of other people, in and out
index/          lookup in a dataset of any size, for the page
pictures/       which file a table means; formats, depth, copies
texts/          the encoding of a text

May import: the ground and runs. A new check of the data is a function in findings.py, a new format goes to formats/.
"""
