"""From the text of a CSV file to its columns, as people really write such files.

Each table is looked at by itself: which character separates its fields, which column holds what, and what a spreadsheet
did to its ids. What is not clear is an InputError that lists the columns and names the flag.

column_names.py  the names that people give to columns, in several languages
columns.py       which column of a table holds which field
ids.py           what spreadsheets do to ids
separators.py    the character between the fields
table_reader.py  tables and image folders become examples
values.py        numbers, truth values, dates and lists as text

May import: the ground, runs and vqa_core.data. Another usual name is a word in USUAL of column_names.py.
"""
