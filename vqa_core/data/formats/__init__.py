"""Formats of other people: a reader turns each into examples, a writer turns examples into it.

In: `importing.import_data` picks the reader and writes a competition folder, so nothing else has to know the format.
Records that an example cannot hold are counted and kept. Out: `exporting.export_run` picks the writer by name.

conversations.py    LLaVA's conversation JSON, question and answer JSON lines, as we write them ourselves
exporting.py        a prepared run becomes parquet, LLaVA's JSON or VQAv2's JSON
hf_dataset.py       `datasets` from disk or the hub, and parquet
importing.py        any of these becomes a competition folder
joining.py          the questions of all sources as one, each with an id of its own
linking.py          pictures that lie elsewhere, behind links
llava.py            LLaVA's files as other people write them
parquet.py          a split as parquet with the pictures inside
picture_paths.py    pictures by paths of any machine, by web addresses, or inside as base64
readers.py          which reader takes a JSON file
roles.py            which split a file belongs to by its name
split_data.py       SplitData: what a reader found, and what it had to leave out
turns.py            the turns of a conversation in any chat format
vqav2.py            VQA's questions, annotations and results
rows/               rows of a dataset or of a table with pictures inside
layouts/            JSON of other data sets, by the keys of their records

May import: the ground, runs and vqa_core.data. JSON with other keys is an entry in layouts/; another format to read a
file whose reader returns SplitData, called in readers.py; one to write a function in EXPORTS of exporting.py.
"""
