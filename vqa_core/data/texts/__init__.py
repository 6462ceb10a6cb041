"""Which encoding a text is in: that of a file, or of the names in a zip; and which names a file can have.

encodings.py    the encoding of a text file, detected
entry_names.py  names of a zip's entries in any encoding
file_names.py   names that Windows refuses
letters.py      how often the letters of a language are

May import: the ground. Another language is a table of its letters in letters.py.
"""
