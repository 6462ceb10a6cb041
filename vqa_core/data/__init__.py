"""A competition folder becomes a prepared run: read, checked, split by image, written in every form the stages read.

In: a folder, a zip, `easy-vqa` or another format (sources.py). Out: a DataReport, the examples, the training rows.

<<<<<<< HEAD
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
=======
archives.py       unpacks a zip safely
competition.py    CSV files and image folders become examples
easy_vqa.py       the embedded dataset in the layout of a competition
encodings.py      the encoding of a text file, detected
entry_names.py    names of a zip's entries in any encoding
findings.py       what is wrong or odd in the data
image_depth.py    samples of more than 8 bits become 8
image_files.py    the image file that an image id means
image_formats.py  formats of pictures and their suffixes
images.py         the one image decoder
letters.py        how often the letters of a language are
pixels.py         a picture becomes the square that the vision tower sees
prepare.py        fills a run
priors.py         answers without looking at the picture
questions.py      the questions that eval.predict answers
references.py     known answers: solution.csv or VQA annotations
report.py         DataReport: statistics and findings
sources.py        what --data may name
tables.py         CSV as text, with its encoding detected
formats/          data formats of other people, in and out
index/            lookup in a dataset of any size, for the page
>>>>>>> h2-e

May import: the ground and runs. A new check of the data is a function in findings.py, a new format goes to formats/.
"""
