"""Multiple choice: the choices of a question, from wherever a source keeps them, and how its answers name one.

In: columns of a table or fields of a record. Out: examples with `choices` and `answer_form`, and what to report.

easy_vqa.py  the embedded dataset as multiple choice, with a letter bias in training
facts.py     what the choices of a data set are like, and what is wrong with them
forms.py     how answers name a choice (letter, number, text), found over a whole data set
priors.py    a choice without looking at the picture
reading.py   where a source keeps choices: columns, a list, the question's own text
tables.py    the choices in the CSV files of a competition

A new notation of choices is a case in reading.py. `vqa_core.runs.choices` has the forms themselves.
"""
