"""JSON of the data sets that people have: one table says what their records are called, one reader reads them all.

In: a file of JSON. Out: examples by split, as SplitData, with what was left out.

json_values.py     a file of JSON or JSON lines, whatever its suffix
picture_finder.py  the file of a picture, in whichever folder below --images
reader.py          records of a layout become examples
records.py         the records of a JSON file, however it keeps them
table.py           LAYOUTS: each data set by the keys of its records

May import: what formats/ may, and its split_data.py and picture_paths.py. A data set whose JSON has other keys is an
entry of LAYOUTS.
"""
