"""A competition folder becomes a prepared run: read, checked, split by image, written in every form the stages read.

In: what sources.py tells apart. Out: a DataReport, the examples of each split and the training rows.

archives.py     unpacks a zip safely
competition.py  CSV files and image folders become examples
copies.py       which picture files show the same picture
easy_vqa.py     the embedded dataset in the layout of a competition
encodings.py    the encoding of a text file, detected
findings.py     what is wrong or odd in the data
images.py       the one image decoder
pixels.py       a picture becomes the square that the vision tower sees
prepare.py      fills a run
priors.py       answers without looking at the picture
questions.py    the questions that eval.predict answers
references.py   known answers: solution.csv or VQA annotations
report.py       DataReport: statistics and findings
sources.py      what --data may name
tables.py       CSV as text, with its encoding detected
values.py       numbers, truth values, dates and lists as text
choices/        multiple choice: which choices, named in which form
formats/        data formats of other people, in and out
index/          lookup in a dataset of any size, for the page

May import: the ground and runs. A new check of the data is a function in findings.py, a new format goes to formats/.
"""
