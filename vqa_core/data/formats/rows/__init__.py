"""Rows of named columns, of a dataset or of a table with its pictures inside, become questions.

In: rows as objects by column, from hf_dataset.py and from tables.py. Out: SplitData, and pictures as files.

column_names.py  which column holds what, by the names that are set and those that people use
reader.py        rows become questions, and their pictures files
tables.py        a CSV or TSV file with its pictures inside, or named alone

May import: the rest of formats, but importing.py and readers.py. Another usual name of a column is a word in USUAL.
"""
